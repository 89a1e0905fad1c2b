"""What the twin writes, others read: the viewer opens a run, the report keeps its schema."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from twin.flight import run
from twin.report_form import schema
from viz import scene

SCHEMA = Path(__file__).parents[2] / "assets" / "schemas" / "report-1.json"
TINY = """
title = "Contract"
[run]
start = 2025-10-04T00:00:00Z
duration_h = 2
step_s = 60
record_s = 300
samples = 64
[class.small]
[[shell]]
kind = "sso"
satellites = 3
[[station]]
name = "Svalbard"
latitude_deg = 78.23
longitude_deg = 15.39
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    (folder / "tiny.toml").write_text(TINY)
    return folder / "run", run(str(folder / "tiny.toml"), folder / "run").load()


def test_the_viewer_shows_the_numbers_of_the_run(written):
    folder, data = written
    opened = scene.Run(folder)
    frame = opened.frame(opened.index_at("2025-10-04T01:00:00Z"), "battery_energy")
    record = 11  # an hour, in steps of five minutes, the first of which ends at 300 s
    assert frame.time == datetime(2025, 10, 4, 1, tzinfo=UTC)
    assert frame.elapsed == data["time"].values[record] == 3600
    np.testing.assert_array_equal(frame.position, data["position"].values[record])
    np.testing.assert_array_equal(frame.sunlit, data["sunlit"].values[record])
    assert frame.alive.all() and frame.alive.shape == (3,)
    assert frame.earth_rotation == pytest.approx(float(data["earth_rotation"][record]), abs=1e-12)
    sun = data["sun_position"].values[record]
    np.testing.assert_allclose(frame.sun, sun / np.linalg.norm(sun), atol=1e-12)
    assert len(frame.stations) == 1
    charge = data["battery_energy"].values[record] / data["battery_capacity"].values
    assert frame.legend.unit == "%"
    np.testing.assert_allclose(frame.values, 100 * charge, rtol=1e-6)


@pytest.mark.parametrize("variable", ["temperature.chip", "limit", "payload_power", "tokens_rate"])
def test_every_colour_of_the_viewer_finds_its_variable(written, variable):
    folder, data = written
    opened = scene.Run(folder)
    frame = opened.frame(3, variable)
    assert np.isfinite(frame.values).all()
    if variable == "temperature.chip":
        chip = list(data["node_name"].values).index("chip")
        kelvin = data["temperature"].values[3, :, chip]
        np.testing.assert_allclose(frame.values, kelvin - 273.15, rtol=1e-6)


def test_the_shipped_schema_of_the_report_is_that_of_the_code():
    """Else: python -c "import json; from twin.report_form import schema;
    print(json.dumps(schema(), indent=1, ensure_ascii=False))" > assets/schemas/report-1.json
    """
    shipped = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert shipped == schema(), test_the_shipped_schema_of_the_report_is_that_of_the_code.__doc__


def test_a_report_keeps_to_its_schema(written):
    folder, data = written
    form = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(form)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    jsonschema.validate(report, form)
    assert json.loads(data.attrs["report"]) == report
    assert set(report["bands"]) >= {"battery_min_fraction", "tokens_per_day"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report | {"surprise": 1}, form)
