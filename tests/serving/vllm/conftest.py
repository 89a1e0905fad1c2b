"""A real vLLM server on a tiny model with random weights; see `make test-vllm`."""

import json
import os
from pathlib import Path

import pytest

from serving import server, subject
from serving.models import Model
from serving.problem import UsageProblem

TINY = Model(
    name="tiny", hidden_size=64, layers=2, heads=4, kv_heads=2, head_dim=32,
    intermediate_size=128, vocab_size=1024, tied=True, max_position=4096,
)  # fmt: skip


@pytest.fixture(scope="session")
def vllm():
    """The vLLM program; without it these tests have nothing to say."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ["TWIN_VLLM_CMD"] = str(Path(__file__).parents[3] / ".venv-vllm/bin/vllm")
    try:
        return str(server.command(None))
    except UsageProblem as missing:
        pytest.skip(f"NO vLLM HERE: {missing}")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with the config of the tiny model."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY.config()))
    return folder


@pytest.fixture(scope="session")
def settings(tiny, tmp_path_factory, vllm):
    """What serves it: eager, one GiB of cache; fields to be replaced as a test likes."""
    found, shapes = subject.find(str(tiny), "random", "", "bfloat16")
    ready = subject.files(found, shapes, tmp_path_factory.mktemp("ready"))
    cpu = server.version(Path(vllm)).endswith("+cpu")
    return server.Settings(
        ready.path, 1024, "random", ready.tokenizer, kv_gib=1, eager=True, cpu=cpu
    )
