"""Why a vLLM server died or would not start, read off the end of its log.

Each row was seen with vLLM 0.32 on a processor or stands in its source; the order matters, as
the first cause is often followed by the words of its consequences.
"""

import re
from dataclasses import dataclass

from serving.problem import ServingProblem


@dataclass(frozen=True)
class Row:
    """A kind of failure: how it shows, what it means, what to do."""

    kind: str
    pattern: str
    problem: str
    hint: str


ROWS = (
    Row("port in use", r"Errno 98|[Aa]ddress already in use",
        "the port is taken by another program", "leave out --port, and a free one is taken"),
    Row("KV space too large", r"less than requested memory for kv|"
        r"allocation is less than requested|[Nn]ot enough memory for KV",
        "the KV cache asked for is larger than the free memory", "a smaller --kv-gib"),
    Row("KV space too small", r"larger than the available KV cache|"
        r"No available memory for the cache blocks|KV cache is needed",
        "the KV cache cannot hold one request of the greatest length",
        "a larger --kv-gib or --kv-blocks, or a smaller --max-model-len"),
    Row("no memory", r"OutOfMemoryError|CUDA out of memory|Cannot allocate memory|MemoryError",
        "memory ran out", "a smaller model, --kv-gib or --max-num-seqs"),
    Row("less free memory than asked", r"Free memory on device .* is less than desired",
        "another program holds memory of the GPU",
        "end it, or --vllm-arg=--gpu-memory-utilization=0.5"),
    Row("length above the model's", r"greater than the derived max_model_len",
        "the lengths asked are longer than the model's context", "shorter --lengths"),
    Row("weights missing", r"LocalEntryNotFoundError|OfflineModeIsEnabled|"
        r"[Cc]an't load the configuration|couldn't connect to|Cannot find any model weights|"
        r"is not a local folder and is not a valid model identifier|Max retries exceeded|"
        r"does not appear to have a file named|Failed to load the model config",
        "the model's files are neither here nor can they be fetched",
        "name a local folder, or --weights random for the same shapes without weights"),
    Row("argument unknown", r"error: (unrecognized arguments|argument ).*",
        "this vLLM does not know an argument", "see --vllm-arg; vLLM 0.32 is known to work"),
    Row("metadata missing", r"PackageNotFoundError.*vllm",
        "the vllm command lacks its metadata", "run make vllm again, it repairs this"),
    Row("torchvision broken", r"torchvision::nms does not exist",
        "torchvision in vLLM's environment does not fit its torch",
        "run make vllm again, it removes torchvision"),
    Row("engine died", r"EngineDeadError|EngineCore encountered (a fatal error|an issue)|"
        r"Worker proc .* died",
        "a process of the engine died", "often memory: see the log and `dmesg`"),
    Row("worker failed silently", r"WorkerProc initialization failed",
        "a worker ended without saying why",
        "seen when something was being installed into vLLM's environment; try again"),
    Row("library missing", r"(?m)^(?:\(.*?\) )?(?:ModuleNotFoundError|ImportError): .*",
        "vLLM's environment is incomplete", "run make vllm again"),
)  # fmt: skip


def explain(log: str, code: int | None, when: str, where: str) -> ServingProblem:
    """The failure that a log and an exit code show; ``when`` says what was under way."""
    for row in ROWS:
        if match := re.search(row.pattern, log):
            line = next(text for text in log.splitlines() if match[0].splitlines()[0] in text)
            said = re.sub(r"^\(.*?\)\s*|^[A-Z]+ [\d-]+ [\d:]+ \[.*?\]\s*", "", line).strip()
            return ServingProblem(
                f"{when}: {row.problem} ({said[:200]})", f"{row.hint}; log: {where}",
                kind=row.kind, log=_end(log),
            )  # fmt: skip
    if code is not None and code in (-9, 137):
        return ServingProblem(
            f"{when}: the server was killed (signal 9)", "most often the system ran out of memory:"
            f" see `dmesg`, and take a smaller --kv-gib; log: {where}", kind="killed",
            log=_end(log),
        )  # fmt: skip
    ended = f"ended with code {code}" if code is not None else "does not answer"
    return ServingProblem(f"{when}: the server {ended}", f"log: {where}", kind="ended",
                          log=_end(log))  # fmt: skip


# Said by vLLM at start where oneDNN has no kernel for the type, as for bfloat16 without AVX512.
SLOW = "Failed to create oneDNN linear"


def notes(log: str) -> list[str]:
    """What the log of a server that lives tells about its figures."""
    if SLOW not in log:
        return []
    # Qwen3-0.6B, vLLM 0.32, Zen 3: 10 against 62 tokens of a prompt a second.
    return ["vLLM has no fast kernels for this type of number on this processor (prompts took six"
            " times as long in a trial): --dtype float32 may be faster"]  # fmt: skip


def _end(log: str, lines: int = 20) -> str:
    return "\n".join(log.splitlines()[-lines:])
