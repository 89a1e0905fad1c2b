"""What a report says of the twelve: the elements' own facts, honest bands, and what would help."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from twin import uncertainty, words
from twin.build import build
from twin.conflicts import conflicts
from twin.fleet import fleet
from twin.flight import fly
from twin.load import load
from twin.load import parse as parse_scenario
from twin.problems import InputError
from twin.recorded import Recorded, recorded
from twin.remedies import FACTORS, smallest
from twin.report import batteries, outside
from twin.report_form import Report, parse
from twin.results import Run
from twin.tally import opened


@pytest.fixture(scope="module")
def flown(tmp_path_factory) -> tuple[Run, Report]:
    """The twelve for four orbits, with error bars."""
    overrides = ("run.duration_h=6.4", "run.samples=64", "station=[]")
    return fly(load("scs01", overrides), tmp_path_factory.mktemp("run") / "scs01")


@pytest.fixture(scope="module")
def shed(tmp_path_factory) -> tuple[Run, Report]:
    """Twelve with a worn battery for four hours: two nights and a half."""
    overrides = ("run.duration_h=4", "run.samples=0", "run.record_s=60", "station=[]")
    return fly(load("brownout", overrides), tmp_path_factory.mktemp("run") / "brownout")


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
    assert smallest(np.log(2 / FACTORS)) == pytest.approx(2.0)
    assert smallest(np.ones_like(FACTORS)) is None
    assert smallest(-np.ones_like(FACTORS)) == FACTORS.min()


def test_smallest_factor_is_safe_past_a_knee():
    """Where a throttle flattens what is too hot, the line through what passes decides."""
    true = 40 * np.log(1.5 / FACTORS)
    assert smallest(np.minimum(true, 0.5)) == pytest.approx(1.5, rel=1e-6)


def test_what_was_switched_off_is_what_the_records_show(shed):
    """Hours by level, entries into safe mode and ways out of it, against the recorded levels.

    Records of a minute hold the level at their end: each change is timed to half a record.
    """
    run, said = shed
    with run.dataset() as data:
        level = data.shed.to_numpy()
    record = said.record_s / 3600
    changes = [(np.diff(level >= k, axis=0) != 0).sum() for k in (1, 2, 3)]
    for k, name in enumerate(("payload", "isl", "safe")):
        counted = (level > k).sum() * record
        # As many records begin as end within an hour: errors of single changes mostly cancel.
        assert said.shed_hours[name] == pytest.approx(counted, abs=0.25 * record * changes[k])
        assert said.shed_satellites[name] == 12
    assert said.shed_hours["payload"] > said.shed_hours["isl"] > said.shed_hours["safe"] > 0
    seen = recorded(run)
    assert seen.safe_entries is not None and seen.safe_at_end is not None
    assert (seen.safe_entries >= 1).all(), "every satellite enters safe mode"
    assert not seen.safe_at_end[level[-1] < 3].any() and seen.coldest is None
    left = ((level[:-1] >= 3) & (level[1:] < 3)).sum(axis=0)
    np.testing.assert_array_equal(seen.safe_entries, left + seen.safe_at_end)
    assert said.groups["worn"].safe_fraction * 12 * 4 == pytest.approx(said.shed_hours["safe"])


def test_the_page_says_who_was_switched_off(shed):
    """By consumer and level, in words; nobody is told of what did not happen."""
    _, said = shed
    page = words.page(said)
    for what in ("payload asleep", "laser terminals off too", "safe mode", "not served: radio"):
        assert what in page
    assert "avionics" not in page, "survival is served throughout"
    assert "12 of 12 satellites go into safe mode" in said.verdicts[0].text
    assert said.verdicts[0].answer == "fails"
    assert "mostly to energy" in said.sentence
    entered = said.model_copy(update={"safe_mode_entries": 31, "safe_mode_at_end": 2})
    assert "entered 31 times, left 29 times" in words.page(entered)
    assert len(page.splitlines()) < 50, "one screen"


def test_what_is_lost_is_named_by_its_cause(shed):
    """Shares of the sentence: offered is made plus all that was lost, faults included."""
    _, said = shed
    (group,) = said.groups.values()
    lost = group.lost_to_energy + group.lost_to_heat + group.lost_to_fault
    assert group.lost_to_fault > 0, "who leaves safe mode loads the model anew"
    assert f"{lost:.1%} lost" in said.sentence


def test_pointing_follows_geometry(shed):
    """One-axis wings lose the cosine of the beta angle; wings at the Sun nothing."""
    _, said = shed
    nadir, sun = said.conflicts
    assert (nadir.attitude, sun.attitude) == ("nadir", "sun")
    assert sun.taken == ["in safe mode"] and len(nadir.taken) == 2
    low, high = np.radians(nadir.beta_deg)
    # At 44 degrees the box's shadow takes up to a tenth of the wing behind it.
    assert 0.88 * np.cos(high) < nadir.wings_cosine_worst < np.cos(high) + 0.01
    assert nadir.wings_cosine_worst < nadir.wings_cosine < np.cos(low) + 0.01
    assert nadir.radiator_sunlit == 0, "the radiator is on the side away from the Sun"
    assert sun.wings_cosine == pytest.approx(1.0, abs=0.01)
    assert nadir.links_along_orbit and not sun.links_along_orbit
    emitted = 0.88 * 5.670374e-8 * 300.0**4
    assert nadir.radiator_emits_w_m2 == pytest.approx(emitted, rel=1e-6)
    assert "cannot look along the orbit" in words.page(said)


def test_a_radiator_that_looks_up_meets_the_sun():
    """A plate that looks up at beta b takes cos b · (arc's sine) of the Sun: by quadrature."""

    overrides = ("class.worn.body.radiator_faces=zenith", "class.worn.attitude_safe=nadir")
    loaded = load("brownout", overrides)
    ships = fleet(loaded.scenario)
    constellation, _ = build(loaded.scenario, ships)
    (said,) = conflicts(loaded.scenario, ships, constellation)
    assert said.taken == ["in sunlight", "in eclipse", "in safe mode"]
    beta, angle = np.radians(said.beta_deg[0]), np.linspace(0, 2 * np.pi, 20001)[:-1]
    ratio = 6378.137 / (6378.137 + 550)
    lit = np.cos(beta) * np.cos(angle) > -np.sqrt(1 - ratio**2)
    cosine = np.maximum(np.cos(beta) * np.cos(angle), 0)
    assert said.radiator_sunlit_worst == pytest.approx((cosine > 0.1)[lit].mean(), abs=0.02)
    sun = 1361 * 0.2 / 0.9961**2  # absorptance 0.2; distance on 20 March: 0.9961 AU
    assert said.radiator_solar_w_m2_worst == pytest.approx(sun * cosine[lit].mean(), rel=0.03)


def test_batteries_are_warned_of_when_warm_and_when_cold(shed):
    """Above 45 °C and below 0 °C cells are not charged as they should; between them no word."""
    _, said = shed
    ships = fleet(load("brownout").scenario)
    assert not any("batter" in warning for warning in said.warnings)

    ledger = opened(jnp.ones(12), jnp.full((12, 12), 290.0))
    assert batteries(ships, ledger) == []
    ledger = replace(
        ledger,
        cell_hottest=ledger.cell_hottest.at[3].set(321.15),
        cell_coldest=ledger.cell_coldest.at[7].set(268.15),
    )
    warm, cold = batteries(ships, ledger)
    assert "48.0 °C" in warm and "-5.0 °C" in cold and "battery_heater_w" in cold


def test_a_node_of_ones_own_is_warned_of_when_it_leaves_its_limits():
    """The camera of the shipped scenario: -30 to 40 °C."""
    scenario = load("parts").scenario
    ships = fleet(scenario)
    nodes = ("bus", "camera")
    low, high = np.full((24, 2), 280.0), np.full((24, 2), 300.0)
    low[:, 0], high[:, 0] = 100.0, 400.0  # of the structure, which has no limits
    assert outside(scenario, ships, nodes, Recorded(None, None, low, high)) == []
    low[5, 1], high[6, 1] = 238.15, 318.15
    cold, warm = outside(scenario, ships, nodes, Recorded(None, None, low, high))
    assert "camera" in cold and "cools to -35.0 °C, below -30 °C" in cold
    assert "reaches 45.0 °C, above 40 °C" in warm
    assert outside(scenario, ships, nodes, Recorded()) == []


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
    assert energy.answer == "fails" and "safe mode" not in energy.text
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


def test_a_satellite_without_a_radiator_is_reported_too():
    """Parts need not have one; nothing of it meets the Sun, and the wings are still looked at."""
    text = """
[run]
start = 2025-06-21T12:00:00Z
[class.bare.part]
bus = { size_m = [0.6, 0.6, 0.6], node = "blanket" }
wing = { size_m = [2.0, 1.0], centre_m = [0, 0, 1.0], node = "array", normal = "up", axes = 1 }
[[shell]]
satellites = 2
"""
    scenario = parse_scenario(text)
    ships = fleet(scenario)
    (found,) = conflicts(scenario, ships, build(scenario, ships)[0])
    assert found.radiator_sunlit == found.radiator_emits_w_m2 == 0
    assert 0.3 < found.wings_cosine <= 1
