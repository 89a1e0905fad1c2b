"""``twin bench`` and ``twin fake`` as a person calls them: output, exit codes, one clear line."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from serving import fake
from serving.fake import Behaviour

FAST = Behaviour(ttft_s=0.005, itl_s=0.001)
SMALL = ("--lengths", "8/4", "--concurrency", "1,2", "--prompts", "4", "--repeats", "1")


def refused(result, *words):
    """Exit code 2, nothing on standard output, one line that holds all the words."""
    code, out, err = result
    said = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and not out and len(said) == 1, (code, out, err)
    for word in words:
        assert word in said[0], said


def test_a_campaign_by_url_and_again(command, tmp_path):
    folder = tmp_path / "c"
    with fake.running(FAST) as (url, state):
        code, out, err = command("bench", "fake", "--url", f"{url}/v1", *SMALL, "-o", folder)
        assert code == 0, err
        assert "1 at a time" in out and "report.html" in out
        assert "chosen delays" in out
        assert "1/2 in8_out4_c2 run 1" in err
        asked = state.requests
        code, out, _ = command("bench", "--resume", folder, "--json")
        assert code == 0 and state.requests == asked
    said = json.loads(out)
    assert [row["concurrency"] for row in said["rows"]] == [1, 2]
    assert said["provenance"]["client"] == "twin"
    assert said["provenance"]["engine_version"] == fake.VERSION
    assert said["provenance"]["energy"].startswith("not measured")


def test_a_server_that_fails_is_exit_code_1(command, tmp_path):
    with fake.running(Behaviour(ttft_s=0.005, itl_s=0.001, short_by=1)) as (url, _):
        code, out, err = command(
            "bench", "fake", "--url", url, *SMALL, "--no-warmup", "-o", tmp_path / "c"
        )
    assert code == 1
    assert "4 of 4 output_lens are not 4" in err and "did not stand up" in err
    with fake.running(Behaviour(metric_names="unknown")) as (url, _):
        code, _, err = command("bench", "fake", "--url", url, *SMALL, "-o", tmp_path / "d")
    assert code == 1 and "names its metrics otherwise" in err


def test_the_one_model_of_a_server_needs_no_name(command, tmp_path):
    with fake.running(FAST) as (url, _):
        code, out, err = command("bench", "--url", url, *SMALL, "-o", tmp_path / "d", "--json")
    assert code == 0, err
    assert json.loads(out)["provenance"]["model"] == "fake"


def test_servers_that_are_not_meant(command, tmp_path):
    with fake.running(Behaviour(api_key="k")) as (url, _):
        refused(command("bench", "other", "--url", url, "--api-key", "k"), "serves fake, not other")
        refused(command("bench", "fake", "--url", url, "--api-key", "x"), "refuses this key")
        long = ("--url", url, "--api-key", "k", "--lengths", "40000/961")
        refused(command("bench", "fake", *long), "40,961 tokens", "at most 40,960")
        vllm = ("--url", url, "--api-key", "k", "--client", "vllm")
        refused(command("bench", "fake", *vllm, "--vllm-cmd", sys.executable), "--tokenizer")
    code, _, err = command("bench", "fake", "--url", url)
    assert code == 1 and "no server answers" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("MODEL", "is missing")),
        (("qwen3-9b", "--weights", "random"), ("qwen3-9b", "did you mean")),
        (("qwen3-0.6b", "--weights", "some"), ("--weights", "real, random")),
        (("qwen3-0.6b", "--concurrency", "0"), ("--concurrency", "1 or more")),
        (("qwen3-0.6b", "--concurrency", "1,x"), ("'x'", "whole numbers")),
        (("qwen3-0.6b", "--rate", "-1"), ("--rate", "above 0")),
        (("qwen3-0.6b", "--rate", "nan"), ("--rate", "above 0")),
        (("qwen3-0.6b", "--rate", "1", "--burstiness", "0"), ("--burstiness", "above 0")),
        (("qwen3-0.6b", "--lengths", "128"), ("'128'", "IN/OUT")),
        (("qwen3-0.6b", "--lengths", "0/5"), ("'0/5'", "IN/OUT")),
        (("qwen3-0.6b", "--repeats", "0"), ("--repeats", "1 or more")),
        (("qwen3-0.6b", "--concurrency", "8", "--prompts", "4"), ("--prompts", "8 or more")),
        (("qwen3-0.6b", "--client", "curl"), ("--client", "auto, vllm, twin")),
        (("qwen3-0.6b", "--weights", "random", "--lengths", "40000/961"), ("at most 40,960",)),
        (("qwen3-0.6b", "--weights", "random", "--max-model-len", "99999"), ("at most 40,960",)),
        (("qwen3-0.6b", "--weights", "random", "--kv-gib", "0"), ("--kv-gib", "1 or more")),
        (("qwen3-0.6b", "--weights", "random", "--port", "99999"), ("--port", "65535")),
        (("qwen3-0.6b", "--weights", "random", "--tokenizer", "nope"), ("--tokenizer",)),
        (("qwen3-0.6b", "--weights", "random", "--dtype", "int3"), ("--dtype", "bfloat16")),
        (("qwen3-0.6b", "--weights", "random", "--vllm-cmd", "nope"), ("make vllm", "--url")),
        (("--resume", "nowhere"), ("--resume", "campaign.json")),
    ],
)
def test_bad_input_is_one_line(command, arguments, words):
    refused(command("bench", *arguments), *words)


def test_a_folder_with_something_else_is_left_alone(command, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with fake.running(FAST) as (url, _):
        refused(command("bench", "fake", "--url", url, *SMALL, "-o", tmp_path), "something else")
        refused(
            command("bench", "other", "--resume", tmp_path, "-o", tmp_path), "--resume", "one of"
        )
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_the_fake_refuses_what_cannot_be(command):
    refused(command("fake", "--ttft-ms", "-1"), "ttft_s")
    refused(command("fake", "--port", "70000"), "--port")


def test_ctrl_c_keeps_what_was_measured(tmp_path):
    """Two whole processes: ``twin fake`` serves, ``twin bench`` is interrupted and gone on with."""
    twin = [sys.executable, "-m", "twin"]
    served = subprocess.Popen(
        [*twin, "fake", "--port", "0", "--ttft-ms", "20", "--itl-ms", "20", "--json"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = json.loads(served.stdout.readline())["url"]
        _await(url)
        folder = tmp_path / "c"
        arguments = ["bench", "fake", "--url", url, "--lengths", "8/8", "--concurrency", "4,1",
                     "--prompts", "12", "--repeats", "1", "-o", str(folder)]  # fmt: skip
        # A shell starts its background jobs, and so these tests there, deaf to Ctrl-C.
        bench = subprocess.Popen(
            [*twin, *arguments], stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        deadline = time.monotonic() + 30
        first = folder / "points/in8_out8_c4_run1.seen.json"
        while not first.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        bench.send_signal(signal.SIGINT)
        _, err = bench.communicate(timeout=20)
        assert bench.returncode == 130, err
        assert f"twin bench --resume {folder}" in err and "Traceback" not in err
        assert json.loads((folder / "summary.json").read_text())["missing"] == 1
        again = subprocess.run(
            [*twin, "bench", "--resume", str(folder), "--json"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert again.returncode == 0, again.stderr
        assert "in8_out8_c4" not in again.stderr, "what was sound is not run again"
        assert json.loads(again.stdout)["missing"] == 0
    finally:
        served.send_signal(signal.SIGINT)
        served.wait(10)
        served.stdout.close()


def _await(url):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return httpx.get(f"{url}/health", timeout=2).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError("the fake does not come up")
