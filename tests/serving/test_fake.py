"""The fake's chosen delays and failures are what a client sees; they are the oracle of the rest."""

import contextlib
import json
import socket
import threading

import httpx
import numpy as np
import pytest

from serving import fake, load
from serving.fake import Behaviour
from serving.problem import UsageProblem


def test_delays_are_the_chosen_ones(offered):
    behaviour = Behaviour(ttft_s=0.06, itl_s=0.01)
    result, faults, moved, _ = offered(behaviour, load.Point(20, 11, 6, concurrency=2))
    assert not faults
    # Sleep never ends early; late it ends by what this machine's other work costs, least for some.
    waits, gaps = 1e3 * np.array(result["ttfts"]), 1e3 * np.array(result["itls"])
    assert 60 <= waits.min() < 90
    assert result["median_itl_ms"] == pytest.approx(10, abs=2)
    assert 160 <= (waits + gaps.sum(axis=1)).min() < 220
    assert moved == {"preemptions": 0, "prompt_tokens": 120, "generation_tokens": 66}


def test_the_batch_limit_makes_others_wait(offered):
    behaviour = Behaviour(ttft_s=0.2, itl_s=0.0, concurrency=2)
    result, faults, _, _ = offered(behaviour, load.Point(4, 2, 6, concurrency=6))
    assert not faults
    waits = sorted(result["ttfts"])
    for wait, rounds in zip(waits, (1, 1, 2, 2, 3, 3), strict=True):
        assert 0.2 * rounds <= wait < 0.2 * rounds + 0.19


def test_a_full_cache_preempts_and_everything_still_comes(offered):
    # Eight of 20 + 30 tokens in a cache of 120: admitted with 21 each, they grow until it is full.
    behaviour = Behaviour(ttft_s=0.01, itl_s=0.001, kv_tokens=120, max_model_len=100)
    result, faults, moved, state = offered(behaviour, load.Point(20, 30, 8, concurrency=8))
    assert not faults
    assert moved["preemptions"] > 0
    assert moved["generation_tokens"] == 240
    assert (state.running, state.held, len(state.waiting)) == (0, 0, 0)
    roomy = Behaviour(ttft_s=0.01, itl_s=0.001, kv_tokens=400, max_model_len=100)
    assert offered(roomy, load.Point(20, 30, 8, concurrency=8))[2]["preemptions"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/completions", {"model": "other", "prompt": "a"}, 404),
        ("/v1/completions", {"model": "fake", "prompt": "a b", "max_tokens": 99}, 400),
        ("/v1/completions", {"model": "fake"}, 400),
        ("/v1/completions", {"model": "fake", "prompt": [[1], [2]]}, 400),
        ("/v1/chat/completions", {"model": "fake", "messages": 3}, 400),
    ],
)
def test_wrong_requests_get_the_codes_of_vllm(path, body, status):
    with fake.running(Behaviour(max_model_len=100)) as (url, _):
        said = httpx.post(url + path, json=body)
    assert said.status_code == status
    assert said.json()["error"]["code"] == status


def test_chat_and_whole_answers_state_their_usage():
    with fake.running(Behaviour(ttft_s=0.0, itl_s=0.0, api_key="secret")) as (url, _):
        body = {"model": "fake", "messages": [{"role": "user", "content": "one two three"}]}
        assert httpx.post(f"{url}/v1/chat/completions", json=body).status_code == 401
        headers = {"Authorization": "Bearer secret"}
        said = httpx.post(
            f"{url}/v1/chat/completions", json=body | {"max_tokens": 5}, headers=headers
        ).json()
        assert said["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        assert said["choices"][0]["message"]["content"].split() == ["tok"] * 5
        assert httpx.get(f"{url}/version").json()["version"].endswith("fake")


@pytest.mark.parametrize(
    "given",
    [{"ttft_s": -1.0}, {"concurrency": 0}, {"kv_tokens": 10}, {"metric_names": "odd"},
     {"itl_s": float("nan")}],
)  # fmt: skip
def test_impossible_behaviour_is_refused(given):
    with pytest.raises(UsageProblem):
        Behaviour(**given)


def test_a_server_that_dies_leaves_nobody_waiting():
    """Ten deaths amid eight who knock without a pause: one in four left one waiting once."""
    body = json.dumps({"model": Behaviour().model, "prompt": [1], "max_tokens": 4, "stream": True})
    post = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    waiting = []

    def said(address, text):
        with socket.create_connection(address, timeout=10) as line:
            line.sendall(text.encode())
            while line.recv(4096):
                pass

    def knock(address):
        try:
            while True:
                said(address, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        except TimeoutError:
            waiting.append(1)
        except OSError:
            pass

    for _ in range(10):
        with fake.running(Behaviour(ttft_s=0.05, itl_s=0.001, die_after=1)) as (url, _):
            address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
            knocking = [threading.Thread(target=knock, args=(address,)) for _ in range(8)]
            for thread in knocking:
                thread.start()
            with contextlib.suppress(ConnectionError):
                said(address, post)
            for thread in knocking:
                thread.join()
    assert not waiting
