"""A real vLLM server on a processor: its campaigns made small, and a step's law out of them.

Made 2026-11-27 on two cores of an AMD EPYC (Zen 3, no GPU) that nobody else used, with vLLM
0.32.0+cpu, float32, random weights, by the project's own commands. M is a folder with the
config.json of `MODEL`, T one of the tiny model of tests/serving/vllm/conftest.py:

    F="--weights random --dtype float32 --max-model-len 512"
    twin bench M $F --lengths 64/16,128/32 --concurrency 1,2,4,8,16 --repeats 2 -o closed
    twin bench M $F --lengths 64/16 --rate 2.25,4.5,6 --prompts 200 --repeats 1 -o open
    for n in 14 18 24 36 60; do
      twin bench T $F --lengths 100/300 --concurrency 24 --prompts 24 --repeats 2 --kv-blocks $n \\
        -o kv-$n; done
    twin bench qwen3-0.6b $F --lengths 32/16 --concurrency 1,2,4,6,8,12,16 --repeats 2 -o short
    twin bench qwen3-0.6b $F --lengths 128/8 --concurrency 1,4 --repeats 1 -o long
    python tests/oracles/serving_cpu.py closed open short long kv-* > tests/oracles/serving_cpu.json

Tokens of one engine step reach the client together, so the steps of a run, how long they took and
whom they served, can be read off the times of its tokens. The law of a step is fitted to those of
the closed loop alone. Nothing of the open loop is seen.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

MODEL = {"hidden_size": 512, "layers": 8, "heads": 8, "kv_heads": 4, "head_dim": 64,
         "intermediate_size": 1536, "vocab_size": 8192, "tied": True}  # fmt: skip
BLOCK, BUDGET, LARGEST = 128, 2048, 128  # vLLM 0.32's own on a processor
# Seconds: of a step, a sequence and step, the weights, a new token, a token of context read, and
# from the client to the engine.
TERMS = ("overhead", "sequence", "weights", "token", "context", "front")
START = (0.01, 0.002, 0.02, 0.001, 1e-7, 0.01)
MANY = 4  # steps of one kind in a run; fewer say little


def engine(law):
    """The twin's law of a step; all rates are 1, so that bytes and FLOP are seconds."""
    from twin.operations.engine import EngineLaw

    return EngineLaw.of(
        law["overhead"], sequence_overhead=law["sequence"], weight_bytes=law["weights"],
        kv_bytes=law["context"], token_flop=law["token"],
    )  # fmt: skip


def replay(run, law, kv_tokens=1_000_000):
    """The event model, given the requests of one run when they reached the engine."""
    from twin.operations.events import simulate_requests

    count = len(run["starts"])
    return simulate_requests(
        np.array(run["starts"]) + law["front"], np.full(count, run["input"]),
        np.full(count, run["output"]), engine(law),
        max_batch=LARGEST, kv_tokens=kv_tokens, block=BLOCK, budget=BUDGET,
    )  # fmt: skip


def step_seconds(law, table):
    """How long the law says that each kind of step lasts."""
    overhead, sequence, weights, token, context, front = (law[term] for term in TERMS)
    n, prompts, length, read, woken = (
        np.array([row[key] for row in table], float)
        for key in ("sequences", "prompts", "input", "context", "woken")
    )
    slower = np.maximum(weights + context * read, token * (n - prompts + prompts * length))
    return overhead + sequence * n + slower + front * woken


def fit(table):
    """The law: least squares of logarithms over the kinds of step, outliers damped."""
    from scipy.optimize import least_squares

    seen = np.array([row["seconds"] for row in table])

    def residuals(logs):
        law = dict(zip(TERMS, np.exp(logs), strict=True))
        return np.log(step_seconds(law, table) / seen)

    found = least_squares(residuals, np.log(START), loss="soft_l1", f_scale=0.1)
    return dict(zip(TERMS, map(float, np.exp(found.x)), strict=True))


def closed_loop(law, concurrency, prompt, answer):
    """Output tokens a second where so many requests go round together, all of one length.

    Whoever comes first goes alone into an idle engine, the others follow together, one step late.
    """
    first, others = min(concurrency, 1), concurrency - 1

    def seconds(n, prompts, woken=False):
        read = n * (prompt + answer / 2)
        row = {"sequences": n, "prompts": prompts, "input": prompt, "context": read, "woken": woken}
        return float(step_seconds(law, [row])[0])

    took = seconds(first, first, woken=True)
    if not others:
        return answer / (took + (answer - 1) * seconds(1, 0))
    took += seconds(concurrency, others) + (answer - 2) * seconds(concurrency, 0)
    return concurrency * answer / (took + seconds(others, 0))


def steps(result, prompt, concurrency):
    """Kinds of step of one run: whom they served, how often they came, their median length.

    The client's first request finds an idle engine and goes alone; such a step holds the way to
    the engine as well (`woken`). Where more than two come at once they queue on that way, which
    single arrivals do not: those steps are left out.
    """
    tokens = sorted(
        (moment, request, number)
        for request, (start, first, gaps) in enumerate(
            zip(result["start_times"], result["ttfts"], result["itls"], strict=True)
        )
        for number, moment in enumerate(start + first + np.cumsum([0.0, *gaps]))
    )
    apart = 0.3 * np.median(np.concatenate(result["itls"]))
    groups = [[tokens[0]]]
    for token in tokens[1:]:
        if token[0] - groups[-1][-1][0] > apart:
            groups.append([])
        groups[-1].append(token)
    kinds, active, before = defaultdict(list), set(), 0.0
    for group in groups:
        new = [request for _, request, number in group if number == 0]
        woken = not active
        begun = min(result["start_times"][request] for request in new) if woken else before
        before = group[0][0]
        read = sum(prompt + number for _, _, number in group)
        kinds[len(group), len(new), woken].append((before - begun, read))
        active |= set(new)
        active -= {r for _, r, number in group if number == len(result["itls"][r])}
    return [
        {"input": prompt, "sequences": n, "prompts": new, "woken": woken, "count": len(found),
         "context": round(float(np.mean([read for _, read in found])), 1),
         "seconds": round(float(np.median([took for took, _ in found])), 5)}
        for (n, new, woken), found in sorted(kinds.items())
        if len(found) >= MANY and not (woken and concurrency > 2)
    ]  # fmt: skip


def runs(folder):
    """What was asked of each run of a campaign, what was counted, and what the client wrote."""
    for path in sorted(Path(folder).glob("points/*.seen.json")):
        seen = json.loads(path.read_text())
        result = json.loads(path.with_name(path.name.replace(".seen.json", ".json")).read_text())
        assert not seen["faults"], path
        point = seen["point"]
        about = {
            "input": point["input_len"], "output": point["output_len"],
            "concurrency": point["concurrency"], "rate_per_s": point["rate"],
            "repeat": seen["repeat"], "counted": seen["server_counted"],
            "total_input_tokens": result["total_input_tokens"],
            "total_output_tokens": result["total_output_tokens"],
            "competing_cores": seen["seen"]["competing_cores"],
        }  # fmt: skip
        yield about, result


def column(result, key):
    """One number of each request, by rising start; starts from the first."""
    order = np.argsort(result["start_times"], kind="stable")
    values = np.array(result[key])[order]
    values = values - values[0] if key == "start_times" else values
    return [round(float(value), 4) for value in values]


def main():
    closed, opened, short, long, *caches = sys.argv[1:]
    kinds = ("closed", "steps", "open", "large", "large_steps", "cache")
    content = {"model": [MODEL], **{kind: [] for kind in kinds}}
    for folder, kind, table in ((closed, "closed", "steps"), (short, "large", "large_steps"),
                                (long, "large", "large_steps")):  # fmt: skip
        for about, result in runs(folder):
            speed = {"output_throughput": round(result["output_throughput"], 4)}
            content[kind].append(about | speed)
            said = {"concurrency": about["concurrency"], "repeat": about["repeat"]}
            found = steps(result, about["input"], about["concurrency"])
            content[table] += [said | step for step in found]
    for about, result in runs(opened):
        said = {"starts": column(result, "start_times"), "ttfts": column(result, "ttfts"),
                "latencies": column(result, "latencies")}  # fmt: skip
        content["open"].append(about | said)
    for folder in caches:
        for about, result in runs(folder):
            blocks = int(Path(folder).name.removeprefix("kv-"))
            content["cache"].append(
                {"blocks": blocks} | about | {"starts": column(result, "start_times")}
            )
    content["cache"].sort(key=lambda run: (run["blocks"], run["repeat"]))
    parts = []
    for key, rows in content.items():
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        parts.append(f'"{key}": [\n{lines}\n]')
    print("{\n" + ",\n".join(parts) + "\n}")


if __name__ == "__main__":
    main()
