"""``twin calibrate`` as a person calls it."""

import csv
import io
import json

import pytest

ROWS = "h100-sxm-qwen3-8b-bf16"
LOAD = ("--input-len", "1024", "--output-len", "128", "--concurrency", "64")


def refused(result, *words):
    """Exit code 2, nothing on standard output, one line that holds all the words."""
    code, out, err = result
    said = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and not out and len(said) == 1, (code, out, err)
    for word in words:
        assert word in said[0], said


def test_a_prediction_says_values_units_and_bands(command):
    code, out, err = command("calibrate", "--predict", *LOAD)
    assert code == 0, err
    assert "qwen3-8b in bf16 on h100-sxm: 1024/128 tokens, 64 at a time" in out
    for word in (
        "output tokens/s",
        "ms between tokens",
        "ms to the first token",
        "W, mean",
        "90 %",
    ):
        assert word in out


def test_a_prediction_is_json_when_asked(command):
    code, out, _ = command("calibrate", "--predict", *LOAD, "--json")
    (said,) = json.loads(out)["predictions"]
    assert code == 0 and said["extrapolated"] == []
    for name in ("throughput", "itl", "ttft", "power"):
        assert 0 < said[name]["low"] < said[name]["value"] < said[name]["high"]


def test_many_points_come_back_as_a_table(command, tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("model,precision,input_len,output_len,concurrency\n"
                    "qwen3-8b,bf16,128,512,32\nqwen3-14b,fp8,512,512,16\n")  # fmt: skip
    refused(command("calibrate", "--points", file), "not measured", "--extrapolate")
    code, out, err = command("calibrate", "--points", file, "--extrapolate")
    assert code == 0, err
    one, two = csv.DictReader(io.StringIO(out))
    assert not one["extrapolated"] and "qwen3-14b" in two["extrapolated"]
    assert float(two["throughput_low"]) < float(two["throughput"]) < float(two["throughput_high"])


def test_what_is_wrong_is_one_line(command, tmp_path):
    refused(command("calibrate"), "FILE", "missing")
    refused(command("calibrate", "nothing-here"), "does not exist", ROWS)
    refused(command("calibrate", ROWS, "--predict"), "--predict", "one of the two")
    refused(command("calibrate", "--predict", "--device", "h100"), "h100-sxm")
    refused(command("calibrate", "--predict", "--model", "qwen3-9b"), "qwen3-8b")
    refused(command("calibrate", "--predict", "--precision", "fp3", "--extrapolate"), "fp8")
    refused(command("calibrate", "--predict", "--kv-tokens", "100", "--extrapolate"), "KV tokens")
    refused(command("calibrate", "--predict", "--input-len", "40900", *LOAD[2:]), "40,960")
    file = tmp_path / "summary.json"
    file.write_text("{}")
    refused(command("calibrate", file), "provenance")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((ROWS, "--onto", "agx-thor"), ("--onto", "without --predict")),
        ((ROWS, "--model", "qwen3-4b"), ("--model", "without --predict")),
        (("--predict", "--cap-w", "700"), ("--cap-w", "with --predict")),
        (("--predict", "-o", "x.json"), ("--output", "with --predict")),
        (("--points", "x.csv", "--concurrency", "3"), ("--concurrency", "a column")),
        ((ROWS, "--lengths", "128/128"), ("--lengths", "without --profile")),
        ((ROWS, "--idle-w", "9"), ("--idle-w", "without --profile")),
        ((ROWS, "-o", "nowhere/x.json"), ("--output", "nowhere", "no folder")),
        ((ROWS, "--profile", "nowhere/x.json"), ("--profile", "nowhere", "no folder")),
    ],
)
def test_what_would_be_dropped_or_lost_is_refused_at_once(command, words, said):
    refused(command("calibrate", *words), *said)


def test_tables_that_cannot_be_fitted_are_not_offered(command):
    result = command("calibrate", "elsewhere")
    refused(result, "elsewhere", ROWS)
    assert "single-stream" not in result[2]
