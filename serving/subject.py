"""What is served: a model's files or its shapes with random weights, and whether it fits here."""

import json
import os
import shutil
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import psutil

from serving import words
from serving.problem import UsageProblem

GIB = 2**30
# vLLM's three processes beside weights and KV cache: 8.7 GB less 1.2 and 4.3, measured with
# Qwen3-0.6B in vLLM 0.32 on a processor.
CPU_OVERHEAD = 3.2e9
GPU_SHARE = 0.92  # the default of --gpu-memory-utilization in vLLM 0.32
TYPES = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Subject:
    """One model, ready to be named to vLLM. Sizes are None where the shapes are not known."""

    name: str
    path: str  # a folder or a hub name
    weights: str
    tokenizer: str  # a folder or a hub name
    tokenizer_said: str
    vocabulary: int
    max_position: int | None
    weight_bytes: float | None
    kv_bytes_per_token: float | None
    mixture: bool = False
    shape: dict[str, Any] | None = None  # of a model that is none of the shipped

    @property
    def warnings(self) -> list[str]:
        """What a reader of its figures must know."""
        if self.mixture and self.weights == "random":
            return ["a mixture of experts with random weights routes almost evenly, unlike a"
                    " trained one: its throughput is not the real model's"]  # fmt: skip
        return []


def find(model: str, weights: str, tokenizer: str, dtype: str) -> tuple[Subject, Any]:
    """The model's shapes, and that its files are there; nothing is written. Also the shapes."""
    from serving import models

    if weights not in ("real", "random"):
        raise UsageProblem("--weights", repr(weights), "real, random")
    if dtype not in TYPES:
        raise UsageProblem("--dtype", repr(dtype), ", ".join(TYPES))
    if tokenizer and not Path(tokenizer).is_dir() and "/" not in tokenizer:
        raise UsageProblem("--tokenizer", f"{tokenizer} is not a folder", "a folder, or ORG/NAME")
    try:
        shapes = models.find(model)
    except UsageProblem:
        if weights == "random" or "/" not in model or Path(model).exists():
            raise
        shapes = None  # a hub name that we have no shapes of: vLLM fetches them with the weights
    where = str(Path(model)) if Path(model).is_dir() else (shapes.hf_id if shapes else model)
    if weights == "real":
        _weights_are_there(where)
    else:
        _tokenizer_fits(tokenizer, shapes.vocab_size if shapes else 0)
    shipped = shapes is not None and shapes.name in models.known() and not Path(model).exists()
    found = Subject(
        name=shapes.name if shapes else model.rsplit("/", 1)[-1],
        path=where,
        weights=weights,
        tokenizer=tokenizer or where,
        tokenizer_said=tokenizer or "the model's",
        vocabulary=shapes.vocab_size if shapes else 1000,
        max_position=shapes.max_position if shapes else None,
        weight_bytes=shapes.parameters() * TYPES[dtype] if shapes else None,
        kv_bytes_per_token=shapes.kv_bytes_per_token(dtype) if shapes else None,
        mixture=bool(shapes and shapes.experts),
        shape=shapes.model_dump(exclude_defaults=True) if shapes and not shipped else None,
    )
    return found, shapes


def files(subject: Subject, shapes: Any, folder: Path) -> Subject:
    """For random weights: config and tokenizer written for vLLM to read. Else as it was."""
    if subject.weights != "random":
        return subject
    target = folder / "model"
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps(shapes.config(), indent=1), encoding="utf-8")
    given = Path(subject.tokenizer)
    said = subject.tokenizer_said
    if (given / "tokenizer.json").is_file():
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if (given / name).is_file():
                shutil.copyfile(given / name, target / name)
    else:
        words.write(target, subject.vocabulary)
        said = "numbered words (no tokenizer given)"
    return replace(subject, path=str(target), tokenizer=str(target), tokenizer_said=said)


def _tokenizer_fits(given: str, vocabulary: int) -> None:
    if not given:
        return
    try:
        content = json.loads((Path(given) / "tokenizer.json").read_text(encoding="utf-8"))
        size = len(content["model"]["vocab"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageProblem("--tokenizer", f"{given} holds no tokenizer.json that can be read",
                           "a folder with one") from None  # fmt: skip
    if size > vocabulary:
        raise UsageProblem(
            "--tokenizer", f"{given} knows {size:,} tokens, the model {vocabulary:,}",
            hint="the tokenizer of the same family is needed",
        )  # fmt: skip


def _weights_are_there(path: str) -> None:
    """Refuse what cannot load: a folder without weights, or a hub name with the hub shut off."""
    random = "--weights random serves the same shapes without them"
    if Path(path).is_dir():
        if not any(Path(path).glob("*.safetensors")) and not any(Path(path).glob("*.bin")):
            raise UsageProblem("MODEL", f"{path} holds no weights", "*.safetensors", random)
        return
    if os.environ.get("HF_HUB_OFFLINE") not in ("1", "true", "TRUE"):
        return
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache/huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    if not any((cache / f"models--{path.replace('/', '--')}").glob("snapshots/*/*.safetensors")):
        raise UsageProblem(
            "MODEL", f"{path} is not in {cache}, and HF_HUB_OFFLINE forbids fetching it",
            hint=random,
        )  # fmt: skip


def check_lengths(subject: Subject, lengths: list[tuple[int, int]], limit: int | None) -> int:
    """The context to serve with: the longest request, or what the user wants."""
    longest = max(sum(pair) for pair in lengths)
    most = min(n for n in (limit, subject.max_position, 10**9) if n)
    if limit and subject.max_position and limit > subject.max_position:
        raise UsageProblem("--max-model-len", f"{limit:,} tokens", f"at most"
                           f" {subject.max_position:,} for {subject.name}")  # fmt: skip
    if longest > most:
        pair = next(pair for pair in lengths if sum(pair) == longest)
        raise UsageProblem(
            "--lengths", f"{pair[0]}/{pair[1]} is {longest:,} tokens in all",
            f"input + output of at most {most:,} tokens, the context of {subject.name}",
        )  # fmt: skip
    return limit or longest


def check_cpu(
    subject: Subject,
    context: int,
    requests: int,
    kv_gib: int | None,
    available: float | None = None,
) -> int:
    """GiB of KV cache that hold the load, refused where weights and cache exceed the memory."""
    free = psutil.virtual_memory().available if available is None else available
    per_token = subject.kv_bytes_per_token or 0.0
    least = max(ceil(context * per_token / GIB), 1)
    fixed = (subject.weight_bytes or 0.0) + CPU_OVERHEAD
    if kv_gib is not None:
        if kv_gib < least:
            raise UsageProblem("--kv-gib", f"{kv_gib} GiB cannot hold one request of {context:,}"
                               " tokens", f"{least} or more")  # fmt: skip
        space = kv_gib
    else:
        wanted = max(ceil(context * requests * per_token / GIB), 1)
        space = max(min(wanted, int((free - fixed) / GIB)), least)
    if fixed + space * GIB > free:
        raise UsageProblem(
            "memory", f"{subject.name} needs {(fixed + space * GIB) / 1e9:.1f} GB"
            f" ({(subject.weight_bytes or 0) / 1e9:.1f} of weights, {space * GIB / 1e9:.1f} of KV"
            f" cache, {CPU_OVERHEAD / 1e9:.1f} of vLLM itself), {free / 1e9:.1f} GB are free",
            hint="a smaller model, --kv-gib or --lengths",
        )  # fmt: skip
    return space


def check_gpu(
    subject: Subject, context: int, memories: list[float], extra: tuple[str, ...]
) -> None:
    """Refuse a model whose weights, with the cache of one request, exceed the GPUs' memory."""
    values = dict(arg.lstrip("-").split("=", 1) for arg in extra if "=" in arg)
    share = float(values.get("gpu-memory-utilization", GPU_SHARE))
    count = int(values.get("tensor-parallel-size", 1)) * int(
        values.get("pipeline-parallel-size", 1)
    )
    if count > len(memories):
        raise UsageProblem("--vllm-arg", f"{count} GPUs asked", f"at most {len(memories)} here")
    space = share * sum(sorted(memories)[-count:])
    need = (subject.weight_bytes or 0.0) + context * (subject.kv_bytes_per_token or 0.0)
    if need > space:
        raise UsageProblem(
            "memory", f"{subject.name} needs {need / 1e9:.1f} GB (weights, and the KV cache of one"
            f" request), {space / 1e9:.1f} GB of {count} GPU{'s' if count > 1 else ''} are at hand",
            hint="a smaller model or --lengths, or --vllm-arg=--tensor-parallel-size=N",
        )  # fmt: skip


def gpu_memories() -> tuple[list[str], list[float]]:
    """Names and bytes of the NVIDIA GPUs here; none without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
        devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        names = [str(pynvml.nvmlDeviceGetName(device)) for device in devices]
        return names, [float(pynvml.nvmlDeviceGetMemoryInfo(device).total) for device in devices]
    except Exception:  # not installed, no library, no driver: all mean none
        return [], []
