"""What a report says of the twelve: the elements' own facts, honest bands, and what would help."""

import numpy as np
import pytest

from twin import uncertainty, words
from twin.build import build
from twin.fleet import fleet
from twin.flight import fly
from twin.load import load
from twin.problems import InputError
from twin.report import FACTORS, _smallest
from twin.report_form import Report, parse
from twin.results import Run


@pytest.fixture(scope="module")
def flown(tmp_path_factory) -> tuple[Run, Report]:
    """The twelve for four orbits, with error bars."""
    overrides = ("run.duration_h=6.4", "run.samples=64", "station=[]")
    return fly(load("scs01", overrides), tmp_path_factory.mktemp("run") / "scs01")


def test_the_twelve_say_what_their_elements_say(flown):
    """Eclipse on 36 to 38 % of an orbit, 34 to 36 min; six near 503 km, the others lower."""
    run, said = flown
    data = run.dataset()
    orbits = 4 * 94.6 * 60 / 60  # records of four whole orbits of the train
    share = 1 - data.sunlit.isel(time=slice(0, round(orbits))).mean("time").to_numpy()
    assert ((share > 0.355) & (share < 0.385)).all()
    assert 34 * 60 < said.eclipse_longest_s[0] <= said.eclipse_longest_s[1] < 36 * 60
    altitude = fleet(load("scs01").scenario).altitude / 1e3
    assert (altitude > 501).sum() == 6
    assert ((altitude > 501) == (altitude > 500)).all()
    assert altitude.max() == pytest.approx(503.3, abs=0.2), "domain facts, Kozai mean motion"


def test_energy_binds_the_large_and_costs_tokens(flown):
    """The three-module satellites run out of charge on every orbit; the others do not."""
    _, said = flown
    assert said.limits.energy > 0.01
    assert said.groups["large"].lost_to_energy > 0.02
    assert said.groups["small"].lost_to_energy == 0
    offered = 4 * 3 + 8
    made = sum(g.tokens for g in said.groups.values())
    full = said.groups["small"].tokens / 8 * offered
    assert made < 0.99 * full


def test_bands_hold_the_run_and_move_with_the_ranges(flown):
    """The run lies in its bands but for the extremes, which the ranges mostly worsen."""
    _, said = flown
    for name in ("tokens_per_day", "joules_per_token"):
        low, high = said.bands[name]
        assert low < getattr(said, name) < high
    low, high = said.bands["payload_temperature_max_k"]
    assert high - low > 5
    named = said.assumed["joules_per_token"]
    assert any("active_power" in name for name in named)
    assert all(0 < share <= 1 for share in named.values())


@pytest.mark.slow
def test_what_would_help_helps(flown, tmp_path):
    """With the array and battery that the report names, the large satellites lose no work."""
    _, said = flown
    group = said.groups["large"]
    overrides = [
        "run.duration_h=6.4",
        "run.samples=0",
        "station=[]",
        f"class.large.array_m2={group.array_needed_m2 * 1.02}",
        f"class.large.battery_wh={group.battery_needed_wh}",
    ]
    _, then = fly(load("scs01", overrides), tmp_path / "run")
    assert then.groups["large"].lost_to_energy < 2e-3


def test_nominal_variant_is_the_run_itself():
    """The first lane of a batch lives exactly the life of the run: differences are the inputs'."""
    loaded = load("scs01", ("run.duration_h=1", "run.samples=64", "station=[]"))
    ships = fleet(loaded.scenario)
    found = uncertainty.inputs(loaded.scenario, ships)
    rows = uncertainty.draws(found, 64, 7)
    value = uncertainty.varied(loaded.scenario, found, rows[:2])
    lanes = (np.tile(np.arange(12), 2), np.repeat([0, 1], 12))
    alone, _ = build(loaded.scenario, ships)
    many, _ = build(loaded.scenario, ships, value, lanes)
    for one, two in zip(_leaves(alone.satellites), _leaves(many.satellites), strict=True):
        assert np.array_equal(one, two[..., :12], equal_nan=True)
    assert not np.array_equal(many.satellites.panels.area[:12], many.satellites.panels.area[12:])


def test_draws_follow_their_triangles():
    """Within the range, with the mean of a triangle to a hundredth of its width."""
    ships = fleet(load("scs01").scenario)
    found = uncertainty.inputs(load("scs01").scenario, ships)
    rows = uncertainty.draws(found, 512, 7)
    low, high = np.array([i.low for i in found]), np.array([i.high for i in found])
    mean = (low + high + rows[0]) / 3
    assert ((rows >= low) & (rows <= high)).all()
    assert (np.abs(rows[1:].mean(axis=0) - mean) < 0.01 * (high - low)).all()


def test_smallest_factor_lies_between_the_tried_ones():
    """A line that crosses zero at twice the size is found there; one that never does, nowhere."""
    assert _smallest(np.log(2 / FACTORS)) == pytest.approx(2.0)
    assert _smallest(np.ones_like(FACTORS)) is None
    assert _smallest(-np.ones_like(FACTORS)) == FACTORS.min()


def test_smallest_factor_is_safe_past_a_knee():
    """Where a throttle flattens what is too hot, the line through what passes decides."""
    true = 40 * np.log(1.5 / FACTORS)
    assert _smallest(np.minimum(true, 0.5)) == pytest.approx(1.5, rel=1e-6)


@pytest.mark.slow
def test_the_radiator_that_would_hold_it_holds_it(flown, tmp_path):
    """With the radiator that the report names, chip and battery stay below their limits."""
    _, said = flown
    for name in ("large", "small"):
        area = said.groups[name].radiator_needed_m2
        overrides = ["run.duration_h=6.4", "run.samples=0", "station=[]"]
        overrides.append(f"class.{name}.body.radiator_m2={area * 1.01}")
        _, then = fly(load("scs01", overrides), tmp_path / name)
        group = then.groups[name]
        assert group.lost_to_heat == 0
        assert group.battery_temperature_max_k < 318.2
        assert group.payload_temperature_max_k < 358.15


@pytest.mark.slow
def test_eclipses_are_as_long_with_long_records(flown, tmp_path):
    """An eclipse is counted step by step, whatever is written."""
    _, said = flown
    overrides = ("run.duration_h=6", "run.record_s=3600", "run.samples=0", "station=[]")
    _, then = fly(load("scs01", overrides), tmp_path / "run")
    assert then.eclipse_longest_s == pytest.approx(said.eclipse_longest_s, abs=10)


def test_unrelated_inputs_are_not_named():
    """Of sixty inputs the two that matter are named, with their shares, and no other."""
    rng = np.random.default_rng(3)
    rows = rng.random((129, 60))
    values = 3 * rows[:, 7] + 2 * rows[:, 40]
    found = [uncertainty.Input(f"i{k}", 0.5, 0, 1, "assumed") for k in range(60)]
    flat = {name: values for name in uncertainty.HEADLINES}
    batch = uncertainty.Batch(flat, *(np.zeros((1, 129)) for _ in uncertainty.BY_CLASS))
    for shares in uncertainty.influences(batch, found, rows).values():
        assert set(shares) == {"i7", "i40"}
        assert shares["i7"] == pytest.approx(9 / 13, abs=0.1)
        assert sum(shares.values()) <= 1


def test_the_three_sentences_carry_their_numbers(flown):
    """Each verdict names its number, its band and what it would take."""
    _, said = flown
    energy, cooling, minutes = said.verdicts
    assert energy.answer == "fails"
    assert (
        "in shadow" in energy.text
        and "Wh of battery" in energy.text
        and "m² of array" in energy.text
    )
    assert "°C" in cooling.text and "per kilowatt" in cooling.text
    assert minutes.answer == "not tested" and "[[station]]" in minutes.text
    page = words.page(said)
    assert max(map(len, page.splitlines())) < 140
    assert "class large: 4 satellites" in page


def test_a_report_of_another_version_is_named_in_one_line(flown):
    """Old runs stay readable by xarray; their report asks for the version that wrote it."""
    run, said = flown
    old = said.model_dump(mode="json") | {"groups": {"large": {"satellites": 4}}}
    with pytest.raises(InputError, match="another form") as caught:
        parse(old, str(run.folder))
    assert len(caught.value.problems) == 1
    assert parse(said.model_dump(mode="json"), "here") == said


def _leaves(tree):
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
