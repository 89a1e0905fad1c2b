"""The shipped scenarios say what they claim; numbers keep their bounds, ranges and origins."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from twin import scenario as s
from twin.load import load, shipped
from twin.load import sections as inner_sections
from twin.numbers import Number

SHIPPED = sorted(shipped())
FLEETS = {
    "scs01": 12, "scs01_now": 12, "star2035": 2800,
    "brownout": 12, "hot": 12, "starved": 12, "parts": 24,
}  # fmt: skip
BARE = ("array_axes", "radiator_sides", "devices", "axes", "radius_m", "length_m")


def numbers(section: BaseModel, path: str = ""):
    """Every number of a validated scenario, defaults included, with its dotted place."""
    for name in type(section).model_fields:
        yield from _numbers(getattr(section, name), f"{path}.{name}".lstrip("."))


def _numbers(value, path):
    if isinstance(value, Number):
        yield path, value
    elif isinstance(value, BaseModel):
        yield from numbers(value, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}")
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{path}[{i}]")


def size(shell) -> int:
    return len(shell.norad) if isinstance(shell, s.CatalogShell) else shell.satellites


def test_the_scenarios_that_are_shipped():
    assert set(SHIPPED) == set(FLEETS)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_scenario_loads_and_explains_itself(name):
    loaded = load(name)
    assert loaded.name == name
    head = loaded.text.partition("title =")[0]
    assert "What to look for" in head, "the comment on top says what to look for"
    assert max(map(len, head.splitlines())) <= 110, "the comment on top fits a terminal"


@pytest.mark.parametrize("name", SHIPPED)
def test_assumed_numbers_have_ranges_and_written_ones_have_sources(name):
    found = dict(numbers(load(name).scenario))
    assert len(found) > 40
    assert not [where for where, n in found.items() if n.origin == "assumed" and n.range is None]
    written = re.findall(r"= \{ value = .*", load(name).text)
    assert written
    assert not [line for line in written if "origin = " not in line or "source = " not in line]


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_number_is_written_bare_where_a_table_would_do(name):
    """A bare number in a class would hide where it comes from; a few carry a comment."""
    inside = False
    for line in load(name).text.splitlines():
        if line.startswith("["):
            inside = line.startswith("[class.")
        bare = re.match(r"(\w+) = [-+.\d]", line)
        if inside and bare:
            assert bare[1] in BARE, line
            assert "#" in line or name.startswith("scs01"), line


@pytest.mark.parametrize("name", FLEETS)
def test_sizes_of_the_fleets(name):
    assert sum(map(size, load(name).scenario.shell)) == FLEETS[name]


def test_the_twelve_add_up_to_the_published_compute():
    """4 x 744 + 8 x 248 TOPS = 4.96 POPS, published as 5; 248 TOPS is one module."""
    for name in ("scs01", "scs01_now"):
        scenario = load(name).scenario
        by_class = {shell.class_: size(shell) for shell in scenario.shell}
        assert by_class == {"large": 4, "small": 8}
        tops = sum(n * 248 * scenario.class_[c].payload.devices for c, n in by_class.items())
        assert tops == 4960
        flying = sorted(n for shell in scenario.shell for n in shell.norad)
        assert flying == list(range(63982, 63994))
        assert scenario.propagator == "sgp4"
    step = scenario.run
    assert (step.step_s, step.record_s, step.duration_h) == (10, 60, 24)


def test_the_two_classes_of_the_twelve_share_their_bus():
    for name in ("scs01", "scs01_now"):
        large, small = (load(name).scenario.class_[c] for c in ("large", "small"))
        assert large.payload.devices == 3 * small.payload.devices
        same = small.payload.model_copy(update={"devices": 3})
        assert large == small.model_copy(update={"payload": same})


def test_the_plan_for_2035():
    scenario = load("star2035").scenario
    sizes = {"inference": 0, "training": 0}
    for shell in scenario.shell:
        sizes[shell.class_] += shell.satellites
        assert 500 <= shell.altitude_km <= 1000
    assert sizes == {"inference": 2400, "training": 400}
    assert scenario.propagator == "secular"
    training = scenario.class_["training"].payload
    assert training.devices * training.compute_w.value == 20_000
    thors = scenario.class_["inference"].payload.devices
    assert thors * 2.07 == pytest.approx(100_000 / 2400, rel=0.01)  # POPS, sparse FP4; the plan


LOADS = {  # W beside the payload, and W/K from cold plate to radiator: as the comments reckon
    ("scs01", "large"): (173, 20),
    ("scs01_now", "small"): (173, 20),
    ("star2035", "inference"): (700, 200),
    ("star2035", "training"): (2000, 1600),
}


@pytest.mark.parametrize(("name", "which"), LOADS)
def test_loads_and_heat_paths_are_those_of_the_comments(name, which):
    design = load(name).scenario.class_[which]
    watts, conductance = LOADS[name, which]
    assert design.survival_w.value + design.comms_w.value + design.isl_w.value == watts
    joints = design.body.cold_plate_loop_w_k.value, design.body.loop_radiator_w_k.value
    assert 1 / sum(1 / x for x in joints) == pytest.approx(conductance)
    to_radiator = design.body.avionics_radiator_w_k.value + design.body.bus_radiator_w_k.value
    assert to_radiator == pytest.approx({173: 10, 700: 100, 2000: 400}[watts])


def test_the_three_that_fail_do_it_by_their_own_means():
    """What the comments on top say that they lack, and nothing else."""
    worn, hot, starved = (
        load(name).scenario.class_[which]
        for name, which in (("brownout", "worn"), ("hot", "hot"), ("starved", "starved"))
    )
    load_w = sum(getattr(worn, key).value for key in ("survival_w", "comms_w", "isl_w"))
    assert worn.battery_wh.value < (load_w + 50) * 35 / 60, "less than a night"
    assert worn.attitude_safe == "sun"
    assert hot.payload.devices > starved.payload.devices > worn.payload.devices
    cooling = [d.body.radiator_m2.value / d.payload.devices for d in (hot, starved)]
    assert cooling[0] < cooling[1]
    assert starved.array_m2.value < worn.array_m2.value < hot.array_m2.value


def test_the_satellite_from_parts_has_one_of_each():
    design = load("parts").scenario.class_["imager"]
    assert {part.kind for part in design.part.values()} == {"box", "plate", "cylinder"}
    wings = [part for part in design.part.values() if part.axes]
    assert sum(w.size_m[0] * w.size_m[1] for w in wings) == pytest.approx(design.array_m2.value)
    panels = [part for part in design.part.values() if part.node == "radiator"]
    assert sum(p.size_m[0] * p.size_m[1] for p in panels) == pytest.approx(
        design.body.radiator_m2.value
    )
    assert list(design.node) == ["camera"] and design.link[0].between == ("camera", "bus")


@pytest.mark.parametrize(
    "line",
    ["1,000,000 POPS / 400 = 2,500 POPS", "2.5e6 TOPS / 16 = 156 kW", "2.5e6 TOPS / 5.7 = 440 kW"],
)
def test_the_announced_training_power_stands_in_a_comment(line):
    assert line in load("star2035").text.replace("\n#  ", "")
    if left := re.search(r"([\d.e]+) TOPS / ([\d.]+) = (\d+) kW", line):
        assert float(left[1]) / float(left[2]) / 1000 == pytest.approx(float(left[3]), rel=0.01)


def every_section(model=s.Scenario, seen=None):
    seen = set() if seen is None else seen
    if model not in seen:
        seen.add(model)
        yield model
        for field in model.model_fields.values():
            for below in inner_sections(field.annotation):
                yield from every_section(below, seen)


FIELDS = [
    pytest.param(model, name, id=f"{model.__name__}.{name}")
    for model in every_section()
    for name, field in model.model_fields.items()
    if isinstance(field.default, Number)
]


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_defaults_obey_their_own_bounds_and_assumed_ones_have_a_range(model, name):
    field = model.model_fields[name]
    default = field.default
    kind = TypeAdapter(field.rebuild_annotation())
    assert kind.validate_python(default.model_dump()).value == default.value
    assert default.origin != "assumed" or default.range is not None
    assert field.description, "says what it is"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([p.values for p in FIELDS]), st.data())
def test_any_number_within_bounds_survives_bare_and_as_a_table(case, data):
    model, name = case
    kind = TypeAdapter(model.model_fields[name].rebuild_annotation())
    low, high = _bounds(kind)
    value = data.draw(st.floats(low, high))
    up = data.draw(st.floats(value, high))
    bare = kind.validate_python(value)
    assert (bare.value, bare.range, bare.origin) == (value, None, None)
    table = {"value": value, "range": [value, up], "origin": "assumed", "source": "a test"}
    full = kind.validate_python(table)
    assert kind.validate_json(kind.dump_json(full)) == full
    assert (full.value, full.range) == (value, (value, up))


def _bounds(kind: TypeAdapter) -> tuple[float, float]:
    """The inclusive bounds, found by asking: the ends that the type accepts among round numbers."""
    marks = [-0.01, 0, 0.001, 0.2, 0.5, 0.9, 1, 30, 100, 250, 300, 350, 450, 1300, 1420, 1e6, 1e12]
    good = [x for x in marks if _accepts(kind, x)]
    return good[0], good[-1]


def _accepts(kind: TypeAdapter, value: float) -> bool:
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("model", "name"), FIELDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e9])
def test_numbers_out_of_bounds_or_not_finite_are_refused(model, name, value):
    assert not _accepts(TypeAdapter(model.model_fields[name].rebuild_annotation()), value)


def test_a_bare_start_is_utc_and_zones_are_converted():
    bare = s.Run.model_validate({"start": "2025-10-04T00:00:00"})
    zoned = s.Run.model_validate({"start": "2025-10-04T08:00:00+08:00"})
    assert bare.start_utc == zoned.start_utc
    assert bare.start_utc.isoformat() == "2025-10-04T00:00:00+00:00"


def test_nothing_changes_once_read():
    scenario = load("scs01").scenario
    with pytest.raises(ValidationError):
        scenario.title = "another"
