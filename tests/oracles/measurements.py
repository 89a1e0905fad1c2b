"""Campaigns of `twin bench` made small enough to ship: assets/measurements/<device>.

    python tests/oracles/measurements.py FOLDER [FOLDER ...] [--say KEY=VALUE ...] > FILE.json

Several folders are one campaign that was run in parts with the same server's settings: rows and
runs follow one another, and the provenance is the first one's. A run keeps every single number
of vLLM's result under vLLM's key; what has an entry for each request or token is left out. The
commands are in serving_cpu.py for the small model; for Qwen3-0.6B they were

    F="--weights random --dtype float32 --max-model-len 512"
    twin bench qwen3-0.6b $F --lengths 32/16 --concurrency 1,2,4,6,8,12,16 --repeats 2 -o short
    twin bench qwen3-0.6b $F --lengths 128/8 --concurrency 1,4 --repeats 1 -o long

and on the H200, where the time that it was lent for ended before the ninth point (2048/128, 128 at
a time), which is therefore missing,

    twin bench Qwen/Qwen3-8B --weights random --tokenizer qwen3 --repeats 1 \
        --lengths 128/128,512/256,2048/128 --concurrency 1,16,128 -o h200

`--say` overrides what the provenance says of that machine.
"""

import argparse
import json
from pathlib import Path

import serving_cpu

LEFT_OUT = {"tokenizer_id", "model_id", "label", "endpoint_type", "backend"}


def small(about, result):
    """One run: what was asked and counted, and the single numbers of its result."""
    numbers = {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in result.items()
        if isinstance(value, int | float | str) and key not in LEFT_OUT
    }
    return {k: v for k, v in about.items() if not k.startswith("total_")} | {"result": numbers}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folders", nargs="+", type=Path)
    arguments.add_argument("--say", action="append", default=[], metavar="KEY=VALUE")
    given = arguments.parse_args()
    parts = [json.loads((folder / "summary.json").read_text()) for folder in given.folders]
    rows = [row for part in parts for row in part["rows"]]
    rows = [{k: round(v, 4) if isinstance(v, float) else v for k, v in r.items()} for r in rows]
    runs = [small(*run) for folder in given.folders for run in serving_cpu.runs(folder)]
    instead = dict(pair.split("=", 1) for pair in given.say)
    origin = parts[0]["provenance"] | {"system": "Linux"} | instead
    warnings = list(dict.fromkeys(line for part in parts for line in part["warnings"]))
    head = {"format": "twin-campaign-summary", "version": 1, "provenance": origin,
            "failed": [line for part in parts for line in part["failed"]],
            "missing": sum(part["missing"] for part in parts), "warnings": warnings}  # fmt: skip
    said = [f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in head.items()]
    for key, values in (("rows", rows), ("runs", runs)):
        lines = ",\n".join(json.dumps(value, separators=(",", ":")) for value in values)
        said.append(f'"{key}": [\n{lines}\n]')
    print("{\n" + ",\n".join(said) + "\n}")


if __name__ == "__main__":
    main()
