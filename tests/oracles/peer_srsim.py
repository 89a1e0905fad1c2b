"""What `vllm-sr-sim` expects of the H100's measured points: a peer to be compared with.

Made 2026-11-27 with vllm-sr-sim 0.1.0.dev20260713123629 (PyPI, Apache-2.0, module fleet_sim), in
an environment of its own; the project does not depend on it:

    python -m venv V && V/bin/pip install vllm-sr-sim==0.1.0.dev20260713123629
    V/bin/python tests/oracles/peer_srsim.py > tests/oracles/peer_srsim.json

Its own catalogue's H100 SXM and Qwen3-8B in 16 bit, as many slots as requests at a time (its KV
budget may allow fewer), and a prompt as one chunk, which is the kindest reading: its default of 512
tokens a chunk costs prompts of 128 four times their work. It has no form of this project's, and
nothing of the measured rows but their loads is given to it. Two throughputs: of its service time
(`throughput`), and of decoding alone (`decoding`), at the mean context of an answer.
"""

import csv
import json
from importlib.metadata import version
from pathlib import Path

ROWS = Path(__file__).parents[2] / "assets/measurements/h100-sxm-qwen3-8b-bf16.csv"


def expected(asked, told, concurrency):
    """Its throughputs (tokens/s), gap between tokens (s) and watts for one load."""
    from fleet_sim.gpu_profiles import ProfileBuilder, ServingConfig
    from fleet_sim.hardware import H100_SXM
    from fleet_sim.models.catalog import QWEN3_8B

    context = asked + told // 2
    serving = ServingConfig(
        tp=1, dtype_bytes=2, chunk=asked, max_slots=concurrency, mean_ctx_tokens=context
    )
    profile = ProfileBuilder().build(H100_SXM, QWEN3_8B, serving)
    slots = profile.n_slots(asked + told)
    gap = profile.iter_latency(slots, context)
    return {
        "slots": slots,
        "throughput": told * profile.throughput(asked + told, asked, told),
        "decoding": slots / gap,
        "itl": gap,
        "power": profile.power_at_concurrency(slots, context),
    }


def main():
    with ROWS.open(newline="") as file:
        table = list(csv.DictReader(file))
    rows = []
    for row in table:
        load = [int(row[k]) for k in ("input_len", "output_len", "concurrency")]
        said = {k: float(f"{v:.6g}") for k, v in expected(*load).items()}
        rows.append(dict(zip(("input_len", "output_len", "concurrency"), load, strict=True)) | said)
    header = {
        "tool": f"vllm-sr-sim {version('vllm-sr-sim')}",
        "date": "2026-11-27",
        "script": "peer_srsim.py",
        "units": "output tokens/s, s, W",
    }
    print(json.dumps({"header": header, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
