"""What is visible at a time, as numbers."""

import numpy as np
import pytest
import synthetic
import xarray as xr

from viz import theme
from viz.problem import UsageProblem
from viz.scene import Run, itrf_from_teme, surface_position


@pytest.fixture(scope="module")
def equinox_noon(tmp_path_factory):
    """One ring of 720 satellites through the Sun's direction, at noon in Greenwich."""
    ring = {
        "altitude": np.full(720, 500e3),
        "inclination": np.zeros(720),
        "raan": np.zeros(720),
        "phase": np.arange(720) * 2 * np.pi / 720,
        "name": [f"R{n}" for n in range(720)],
    }
    path = tmp_path_factory.mktemp("ring")
    return Run(synthetic.make_run(path, ring, start="2035-03-20T12:00:00Z", hours=0.1))


def test_the_fullest_satellite_has_the_brightest_colour(twelve):
    frame = Run(twelve).frame(100)
    table = theme.colour_table(frame.legend.colormap)
    full, empty = np.argmax(frame.values), np.argmin(frame.values)
    place = (frame.values - frame.legend.low) / (frame.legend.high - frame.legend.low)

    assert frame.values[full] <= 100
    for satellite in (full, empty):
        expected = table[round(255 * place[satellite])]
        assert (frame.colours[satellite] == expected).all()
    assert frame.colours[full].sum() > frame.colours[empty].sum()


def test_the_sun_stands_over_greenwich_at_equinox_noon(equinox_noon):
    sun = equinox_noon.frame(0).sun_itrf
    # The equation of time is -7.5 minutes then: the Sun is 1.9 degrees east of Greenwich. The
    # made-up Sun and sidereal angle are good to about a tenth of a degree.
    assert np.degrees(np.arctan2(sun[1], sun[0])) == pytest.approx(1.9, abs=0.3)
    assert np.degrees(np.arcsin(sun[2])) == pytest.approx(-0.2, abs=0.2)


def test_the_shadow_takes_the_share_of_a_ring_that_geometry_says(equinox_noon):
    radius = synthetic.RADIUS
    share = np.arcsin(radius / (radius + 500e3)) / np.pi
    assert equinox_noon.frame(0).shadowed.sum() == pytest.approx(720 * share, abs=2)


def test_stations_turn_with_the_earth():
    angle = 0.7
    place = itrf_from_teme(angle).T @ surface_position(np.array(0.0), np.array(0.0))
    assert place == pytest.approx([6378137 * np.cos(angle), 6378137 * np.sin(angle), 0], abs=1e-6)
    pole = surface_position(np.array(np.pi / 2), np.array(0.3))
    assert pole == pytest.approx([0, 0, 6356752.314245], abs=1e-6)


def test_the_telling_record_splits_the_fleet(twelve):
    run = Run(twelve)
    frame = run.frame(run.index_at(None))
    assert 3 <= frame.shadowed.sum() <= 9


def test_what_limits_is_shown_as_it_mostly_is(twelve):
    """A quarter is short of energy but for a moment that has one of each, in the best light."""
    run = Run(twelve)
    rare = run.telling_record("battery_energy")
    limit = np.zeros((run.data.sizes["time"], 12), np.int8)
    limit[:, :3], limit[::2, :6] = 1, 1  # three, six, three, six ...: 0.375 of the time
    limit[100], limit[rare] = [1] * 4 + [0] * 8, [0, 1, 2, 3, 4, 4, 3, 2, 2, 1, 2, 3]
    run.data = run.data.assign(limit=run.data["limit"].copy(data=limit))
    assert run.telling_record("limit") == 100
    assert run.telling_record("battery_energy") == rare != 100


def test_a_moment_is_found_by_hours_and_by_date(twelve):
    run = Run(twelve)
    assert run.index_at("+1.5") == 90
    assert run.index_at("2025-10-04T01:30:20Z") == 90
    assert run.index_at("2025-10-04T03:30:00+02:00") == 90


@pytest.mark.parametrize(
    "moment", ["+4.1", "2025-10-03T23:00:00Z", "2026-10-04", "noon", "+x", "+nan"]
)
def test_a_moment_that_cannot_be_shown_is_refused(twelve, moment):
    with pytest.raises(UsageProblem) as caught:
        Run(twelve).index_at(moment)
    (problem,) = caught.value.problems
    assert problem.where == "--at"
    assert problem.allowed


def test_an_unknown_variable_names_the_known(twelve):
    with pytest.raises(UsageProblem) as caught:
        Run(twelve).quantity("batery_energy")
    assert "battery_energy" in caught.value.allowed
    assert "temperature.radiator" in caught.value.allowed
    assert caught.value.hint == "did you mean battery_energy?"


def test_units_are_those_people_read(twelve):
    run = Run(twelve)
    stored = xr.open_zarr(twelve / "run.zarr", chunks=None, consolidated=False)
    chip = stored["temperature"].values[50, :, synthetic.NODES.index("payload_chip")]
    frame = run.frame(50, "temperature")
    assert frame.values == pytest.approx(chip - 273.15, abs=1e-3)
    assert frame.legend.title == "Payload chip temperature"
    assert frame.legend.unit == "°C"
    assert run.frame(0).values == pytest.approx(100.0)


def test_the_legend_holds_the_whole_run(twelve):
    run = Run(twelve)
    for variable in run.allowed():
        legend = run.legend(variable)
        if legend.categories:
            continue
        values = np.array([run.frame(i, variable, legend).values for i in range(0, 240, 20)])
        assert legend.low <= values.min() and values.max() <= legend.high, variable
        assert legend.ticks[0] == legend.low and legend.ticks[-1] == pytest.approx(legend.high)
        assert 2 <= len(legend.ticks) <= 7


def test_limits_are_categories(twelve):
    frame = Run(twelve).frame(50, "limit")
    fault = np.flatnonzero(frame.values == 4)
    assert len(fault)
    assert (frame.colours[fault] == theme.rgb(theme.LIMIT_COLOURS["fault"])).all()


def test_what_is_switched_off_has_words_and_colours_of_its_own(twelve):
    """The store has levels only; the words are the theme's, those of attitudes the run's."""
    run = Run(twelve)
    stored = xr.open_zarr(twelve / "run.zarr", chunks=None, consolidated=False)
    levels = stored["shed"].values
    record = int(np.argmax((levels == 3).sum(axis=1) * (levels < 3).any(axis=1)))
    frame = run.frame(record, "shed")
    assert [word for word, _ in frame.legend.categories] == list(theme.SHED_COLOURS)
    assert dict(frame.shed) == {
        word: int((levels[record] == level).sum())
        for level, word in enumerate(theme.SHED_COLOURS)
        if (levels[record] == level).any()
    }
    safe = levels[record] == 3
    assert safe.any() and not safe.all()
    assert (frame.colours[safe] == theme.rgb(theme.SHED_COLOURS["safe mode"])).all()
    assert run.meanings("mode") == {0: "nadir", 1: "sun"}
    assert dict(run.counts("mode", record)) == {"nadir": (~safe).sum(), "sun": safe.sum()}
    limits = stored["limit"].values[record]
    assert dict(frame.limited) == {
        word: int((limits == flag).sum())
        for flag, word in enumerate(["nothing", "energy", "heat", "work", "fault"])
        if (limits == flag).any()
    }


def test_a_picture_of_categories_shows_as_many_of_them_as_it_can(twelve):
    run = Run(twelve)
    levels = run.data["shed"].values
    kinds = [len(np.unique(row)) for row in levels]
    chosen = run.index_at(None, "shed")
    assert kinds[chosen] >= max(kinds[len(kinds) // 4 :]) - 1 >= 2


def test_temperatures_are_told_for_the_parts_that_matter(twelve):
    run = Run(twelve)
    stored = run.data["temperature"].values[50] - 273.15
    told = {name: (low, high) for name, low, high in run.frame(50).temperatures}
    assert list(told)[:2] == ["payload chip", "battery"]
    assert set(told) == {"payload chip", "battery", "radiator", "array", "optics"}
    for name, ends in told.items():
        values = stored[:, synthetic.NODES.index(name.replace(" ", "_"))]
        assert ends == pytest.approx((values.min(), values.max()), abs=1e-3)


def test_trails_end_at_the_satellite_and_follow_the_circle(twelve):
    frame = Run(twelve).frame(100)
    assert frame.trails[:, -1] == pytest.approx(frame.position, abs=1.0)
    radius = np.linalg.norm(frame.trails, axis=-1)
    # Float32 positions and the cubic between records: well below a thousandth of a pixel.
    assert radius == pytest.approx(np.full_like(radius, radius[0, -1]), abs=100.0)


def test_a_large_fleet_has_no_trails(many):
    assert Run(many).frame(5).trails.shape[1] == 0


@pytest.mark.parametrize("unwritten", ["time", "sun_position"])
def test_lost_satellites_and_unwritten_records_are_left_out(twelve, tmp_path, unwritten):
    data = xr.open_zarr(twelve / "run.zarr", chunks=None, consolidated=False).load()
    data["alive"][:, 3] = 0
    data["position"][:, 5] = np.nan
    time = data["time"].values.copy()
    if unwritten == "time":
        time[100:] = np.nan
        data = data.assign_coords(time=("time", time))
    else:
        data["sun_position"][100:] = np.nan
    for name in data.variables:
        data[name].encoding.clear()
    data.to_zarr(tmp_path / "run.zarr", consolidated=False)
    run = Run(tmp_path)
    frame = run.frame(50)
    assert run.count == 100
    assert not frame.alive[3] and not frame.alive[5] and frame.alive.sum() == 10
    assert np.isnan(frame.values[3])
    assert (frame.colours[3] == 120).all()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageProblem, match="not a run store"):
        Run(tmp_path)
    (tmp_path / "run.zarr").mkdir()
    with pytest.raises(UsageProblem):
        Run(tmp_path)
