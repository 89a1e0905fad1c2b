"""Campaigns end to end against the fake: checked, kept, resumed, summed up."""

import csv
import json
import re

import pytest

from serving import campaign, failures, fake, models, report, run, subject, summary
from serving.campaign import Plan, Watch
from serving.fake import Behaviour
from serving.problem import ServingProblem, UsageProblem

FAST = {"ttft_s": 0.01, "itl_s": 0.002}
EMPTY = {
    "tokenizer": "", "dtype": "bfloat16", "max_model_len": None, "kv_gib": None,
    "kv_blocks": None, "max_num_seqs": None, "eager": None, "extra": [],
}  # fmt: skip


def plan_for(url, **more):
    given = {"lengths": ((8, 6),), "concurrencies": (1, 4), "prompts": 8, "repeats": 2}
    return Plan("fake", serving=EMPTY | {"url": url}, **(given | more))


def measure(folder, url, watch=None, **more):
    plan = plan_for(url, **more)
    return run.run(plan, folder, run.Request(url=url, client="twin"), watch or Watch())


def test_a_campaign_keeps_all_and_sums_it_up(tmp_path):
    with fake.running(Behaviour(**FAST)) as (url, _):
        said = measure(tmp_path / "c", url, rates=(50.0,), burstinesses=(1.0, 0.5))
    folder = tmp_path / "c"
    assert said["failed"] == [] and said["missing"] == 0
    assert [row["concurrency"] for row in said["rows"]] == [1, 4, None, None]
    assert [row["burstiness"] for row in said["rows"]] == [1, 1, 1, 0.5]
    assert len(list((folder / "points").glob("*.seen.json"))) == 8
    raw = json.loads((folder / "points/in8_out6_c4_run1.json").read_text())
    assert raw["completed"] == 8 and raw["output_lens"] == [6] * 8
    # One at a time, an answer takes 10 ms and five times 2 ms: 300 tokens a second, less overhead.
    assert 120 < said["rows"][0]["output_throughput_tok_s"] <= 300
    with (folder / "summary.csv").open() as file:
        table = list(csv.DictReader(file))
    assert float(table[1]["itl_median_ms"]) == pytest.approx(said["rows"][1]["itl_median_ms"], 1e-4)
    assert table[0]["avg_power_w"] == "" and said["rows"][0]["avg_power_w"] is None
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((folder / "plots").glob("*.png"))) == 4
    assert not re.search(r'(src|href)="(?!data:)', page), "the page stands alone"
    assert "these are chosen delays, not inference" in page


def test_what_is_on_disk_and_sound_is_not_run_again(tmp_path):
    with fake.running(Behaviour(**FAST)) as (url, state):
        measure(tmp_path, url)
        first = state.requests
        measure(tmp_path, url)
        assert state.requests == first
        # A point more, and one whose raw file was tampered with: those two are run, no other.
        raw = tmp_path / "points/in8_out6_c1_run2.json"
        broken = json.loads(raw.read_text())
        broken["output_lens"][3] = 5
        raw.write_text(json.dumps(broken))
        done = []
        watch = Watch(point=lambda number, total, name: done.append(name))
        measure(tmp_path, url, watch, concurrencies=(1, 2, 4))
        assert done == [
            "in8_out6_c2 run 1", "in8_out6_c1 run 2", "in8_out6_c2 run 2", "done",
        ]  # fmt: skip
        with pytest.raises(UsageProblem, match="was begun with seed 0, not 7"):
            measure(tmp_path, url, seed=7)


def test_a_dead_server_ends_a_campaign_that_can_be_gone_on_with(tmp_path):
    # 2 + 4 warm-up and loads: dies in the second point.
    with (
        fake.running(Behaviour(**FAST, die_after=14)) as (url, _),
        pytest.raises(ServingProblem, match="does not answer any more") as stop,
    ):
        measure(tmp_path, url)
    assert "--resume" in stop.value.hint
    summed = json.loads((tmp_path / "summary.json").read_text())
    assert summed["missing"] == 3 and summed["failed"]
    assert len(summed["rows"]) == 1
    plan = campaign.stored(tmp_path)
    assert plan == plan_for(url)
    assert [p.concurrency for p, _ in campaign.missing(tmp_path, plan)] == [4, 1, 4]


def test_a_point_that_fails_is_said_and_is_no_row(tmp_path, quick):
    with fake.running(Behaviour(**FAST, error_every=19)) as (url, _):
        said = measure(tmp_path, url, warmup=False, repeats=3)
    assert said["missing"] == len({line.split(":")[0] for line in said["failed"]}) == 2
    assert any("7 of 8 requests completed, 1 failed" in line for line in said["failed"])
    assert sum(row["repeats"] for row in said["rows"]) == 4
    assert "<b>Incomplete:</b> 2 runs are missing" in (tmp_path / "report.html").read_text()


def test_medians_spread_and_joules_of_a_row():
    def record(speed, joules):
        result = dict.fromkeys((*summary.FIGURES.values(), *summary.MORE.values()), 1.0)
        result |= {"output_throughput": speed, "total_output_tokens": 100}
        seen = {"energy_j": joules, "power_w": 50.0, "competing_cores": 0.0}
        point = {"input_len": 1, "output_len": 2, "prompts": 50, "concurrency": 1, "rate": None,
                 "burstiness": 1.0, "seed": speed}  # fmt: skip
        return {"point": point, "result": result, "seen": seen, "client": "twin",
                "server_counted": {"preemptions": 3}}  # fmt: skip

    (row,) = summary.rows([record(90.0, 200.0), record(100.0, 300.0), record(120.0, 250.0)])
    assert row["output_throughput_tok_s"] == 100.0
    assert row["spread"] == pytest.approx(0.3)
    assert row["joules_per_output_token"] == pytest.approx(2.5)
    assert row["preemptions"] == 3
    assert report.number(row, "spread") == "30"
    (unmeasured,) = summary.rows([record(90.0, None)])
    assert unmeasured["joules_per_output_token"] is None
    assert report.number(unmeasured, "joules_per_output_token") == "–"
    assert report.number(unmeasured, "spread") == "–"  # of one run there is none
    headings = [key for key, _, _ in report.measured([unmeasured])]
    assert "preemptions" in headings and "joules_per_output_token" not in headings


def test_power_is_drawn_where_it_was_measured(tmp_path):
    base = {"workload": "1/2", "concurrency": 1, "rate_per_s": None, "burstiness": 1.0,
            "output_throughput_tok_s": 9.0, "output_throughput_min_tok_s": 8.0,
            "output_throughput_max_tok_s": 9.5, "itl_median_ms": 1.0, "itl_p95_ms": 2.0,
            "ttft_median_ms": 3.0, "ttft_p95_ms": 4.0}  # fmt: skip
    without = base | {"avg_power_w": None, "joules_per_output_token": None}
    withit = base | {"avg_power_w": 400.0, "joules_per_output_token": 3.0}
    assert [t for t, _, _ in report.plots(tmp_path, [without])][-1].startswith("Time to first")
    assert [t for t, _, _ in report.plots(tmp_path, [withit])][-2:] == ["Power", "Energy per token"]


def test_arrivals_of_another_shape_have_a_colour_of_their_own():
    rows = [{"workload": "1/2", "concurrency": None, "rate_per_s": r, "burstiness": b}
            for b in (1.0, 0.5) for r in (1.0, 2.0)]  # fmt: skip
    (first, (poisson, one)), (second, (bursts, two)) = report._groups(rows)
    assert first != second and poisson == "1/2" and "gamma 0.5" in bursts
    assert one == rows[:2] and two == rows[2:]


def test_a_colour_means_the_same_workload_in_every_plot():
    """Whatever the rows are sorted by."""
    rows = [
        {"workload": w, "concurrency": c} for w, c in (("128/64", 1), ("1024/8", 4), ("128/64", 4))
    ]
    colours = [
        {name: colour for colour, (name, _) in report._groups(order)}
        for order in (rows, rows[::-1])
    ]
    assert colours[0] == colours[1] and list(colours[0]) == ["128/64", "1024/8"]


def test_a_log_that_tells_of_slow_kernels_is_heeded():
    slow = "WARNING [utils.py:597] Failed to create oneDNN linear, fallback to torch linear."
    assert failures.notes("all is well") == []
    assert "--dtype float32" in failures.notes(slow)[0]
    said = {"weights": "real", "engine": "vLLM", "energy": "NVML"}
    assert summary.warnings([], None, said | {"engine_notes": "none"}) == []
    assert summary.warnings([], None, said | {"engine_notes": "slow"}) == ["slow"]


@pytest.mark.parametrize("name", models.known())
def test_parameters_counted_from_shapes_are_the_published_ones(name):
    model = models.find(name)
    # The cards round to two or three figures.
    assert model.parameters() == pytest.approx(model.published_parameters, rel=0.013)
    assert model.non_embedding_parameters() == pytest.approx(
        model.published_non_embedding, rel=0.01
    )


def test_memory_is_computed_before_anything_starts():
    eight, _ = subject.find("qwen3-8b", "random", "", "bfloat16")
    assert eight.weight_bytes == pytest.approx(16.4e9, rel=0.01)
    assert eight.kv_bytes_per_token == 144 * 1024
    with pytest.raises(UsageProblem, match=r"needs 20\.7 GB .* 20\.0 GB are free"):
        subject.check_cpu(eight, 192, 16, None, available=20e9)
    assert subject.check_cpu(eight, 192, 16, None, available=24e9) == 1
    # 4,096 tokens for each of 16 are 9 GiB, of which 30 GB leave room.
    assert subject.check_cpu(eight, 4096, 16, None, available=30e9) == 9
    with pytest.raises(UsageProblem, match="cannot hold one request"):
        subject.check_cpu(eight, 40_960, 1, 5, available=100e9)
    with pytest.raises(UsageProblem, match="tensor-parallel-size"):
        subject.check_gpu(eight, 4096, [16e9], ())
    subject.check_gpu(eight, 4096, [16e9, 16e9], ("--tensor-parallel-size=2",))
    with pytest.raises(UsageProblem, match="at most 1 here"):
        subject.check_gpu(eight, 4096, [80e9], ("--tensor-parallel-size=2",))


def test_random_weights_come_with_config_tokenizer_and_their_word(tmp_path):
    found, shapes = subject.find("Qwen/Qwen3-30B-A3B", "random", "", "bfloat16")
    ready = subject.files(found, shapes, tmp_path)
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["architectures"] == ["Qwen3MoeForCausalLM"] and config["num_experts"] == 128
    words = json.loads((tmp_path / "model/tokenizer.json").read_text())["model"]["vocab"]
    assert len(words) == config["vocab_size"] and words["w17"] == 17
    assert ready.path == ready.tokenizer == str(tmp_path / "model")
    assert any("mixture" in line for line in ready.warnings)
    again = models.find(str(tmp_path / "model"))
    assert again.parameters() == shapes.parameters()


def test_missing_weights_are_refused_before_starting(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps(models.find("qwen3-0.6b").config()))
    with pytest.raises(UsageProblem, match="holds no weights.*--weights random"):
        subject.find(str(tmp_path), "real", "", "bfloat16")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(UsageProblem, match="HF_HUB_OFFLINE"):
        subject.find("Qwen/Qwen3-8B", "real", "", "bfloat16")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert subject.find("Qwen/Qwen3-8B", "real", "", "bfloat16")[0].path == "Qwen/Qwen3-8B"
    theirs, _ = subject.find("someone/llama", "real", "", "bfloat16")
    assert theirs.weight_bytes is None
