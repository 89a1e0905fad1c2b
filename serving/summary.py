"""A campaign in one table: a row a point, medians over its repeats, with where it came from."""

import csv
import io
import json
import os
import platform
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from serving import campaign, failures, meter
from serving.server import Server
from serving.subject import Subject

# Column: key of vLLM's result. The first thirteen columns of a row are those of published
# campaigns (workload … avg_power_w), so that one reader serves both.
FIGURES = {
    "output_throughput_tok_s": "output_throughput",
    "itl_median_ms": "median_itl_ms",
    "itl_p95_ms": "p95_itl_ms",
    "ttft_p95_ms": "p95_ttft_ms",
    "tpot_p95_ms": "p95_tpot_ms",
    "e2el_p95_ms": "p95_e2el_ms",
}
MORE = {
    "total_throughput_tok_s": "total_token_throughput",
    "request_throughput_per_s": "request_throughput",
    "ttft_mean_ms": "mean_ttft_ms",
    "ttft_median_ms": "median_ttft_ms",
    "tpot_mean_ms": "mean_tpot_ms",
    "tpot_median_ms": "median_tpot_ms",
    "itl_mean_ms": "mean_itl_ms",
    "itl_p99_ms": "p99_itl_ms",
    "e2el_median_ms": "median_e2el_ms",
    "duration_s": "duration",
}
UNQUIET_CORES = 0.2  # others' use of the machine above which a row is marked


def rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a point, in the order of the plan; None where nothing was measured."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        point = {k: v for k, v in record["point"].items() if k != "seed"}
        groups.setdefault(json.dumps(point, sort_keys=True), []).append(record)
    return [_row(group) for group in groups.values()]


def _row(group: list[dict[str, Any]]) -> dict[str, Any]:
    point, results = group[0]["point"], [one["result"] for one in group]
    seen = [one["seen"] for one in group]

    def middle(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    def most(key: str) -> float | None:
        return max((one[key] for one in seen if one.get(key) is not None), default=None)

    shape = f"{point['input_len']}/{point['output_len']}"
    row: dict[str, Any] = {
        "workload": shape, "input_len": point["input_len"], "output_len": point["output_len"],
        "concurrency": point["concurrency"], "num_prompts": point["prompts"],
        "repeats": len(group),
    }  # fmt: skip
    row |= {name: middle(r.get(key) for r in results) for name, key in FIGURES.items()}
    row["avg_power_w"] = middle(one.get("power_w") for one in seen)
    row |= {"rate_per_s": point["rate"], "burstiness": point["burstiness"]}
    row |= {name: middle(r.get(key) for r in results) for name, key in MORE.items()}
    speeds = [r["output_throughput"] for r in results]
    row["output_throughput_min_tok_s"], row["output_throughput_max_tok_s"] = (
        min(speeds), max(speeds)
    )  # fmt: skip
    row["spread"] = (max(speeds) - min(speeds)) / statistics.median(speeds)
    joules = [s["energy_j"] / r["total_output_tokens"] for s, r in zip(seen, results, strict=True)
              if s.get("energy_j") is not None]  # fmt: skip
    row["joules_per_output_token"] = middle(joules)
    row["running_mean"] = middle(one.get("running_mean") for one in seen)
    row["running_max"] = most("running_max")
    row["waiting_mean"] = middle(one.get("waiting_mean") for one in seen)
    row["waiting_max"] = most("waiting_max")
    row["kv_use_max"] = most("kv_use_max")
    row["preemptions"] = middle(one["server_counted"]["preemptions"] for one in group)
    row["load_average_max"] = most("load_average_after")
    row["competing_cores_max"] = most("competing_cores")
    row["client_late_ms"] = middle(one.get("client_late_ms") for one in group)
    row["client"] = group[0]["client"]
    return row


def provenance(
    server: Server,
    subject: Subject | None,
    client: str,
    energy: str,
    idle_w: float | None,
    gpus: list[str],
) -> dict[str, Any]:
    """Where the figures come from: engine, command, device, weights, and what was not measured."""
    info = meter.cache_info(meter.read(server.target.url, server.target.key))
    blocks, size = info.get("num_gpu_blocks"), info.get("block_size")
    ours = server.process is not None
    log = server.log.read_text(errors="replace") if server.log else ""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "twin_version": version("constellation-twin"),
        "engine": "not stated" if "fake" in server.version else "vLLM",
        "engine_version": server.version,
        "server": "started here" if ours else server.target.url,
        "command": " ".join(_portable(server.command)) if ours else None,
        "environment": {
            key: ":".join(_portable(value.split(":"))) for key, value in server.environment.items()
        },
        "start_s": round(server.start_s, 1) if ours else None,
        "device": ", ".join(gpus) or (processor() if ours else "not stated"),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "model": subject.name if subject else server.target.model,
        **({"shape": subject.shape} if subject and subject.shape else {}),
        "weights": subject.weights if subject else "not stated",
        "tokenizer": subject.tokenizer_said if subject else "token ids",
        "weight_bytes": subject.weight_bytes if subject else None,
        "max_model_len": server.max_model_len,
        "kv_block_size": size,
        "kv_blocks": blocks,
        "kv_tokens": blocks * size if blocks and size else None,
        "client": client,
        "energy": energy,
        "idle_power_w": idle_w,
        "load_average_at_start": meter._load_average(),
        "engine_notes": "; ".join(failures.notes(log)) or "none",
    }  # fmt: skip


def processor() -> str:
    """The processor's own name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def warnings(
    table: list[dict[str, Any]], subject: Subject | None, said: dict[str, Any]
) -> list[str]:
    """What a reader must know before using the figures."""
    found = list(subject.warnings) if subject else []
    if said["weights"] == "random":
        found.append("weights: random (the exact shapes; throughput of a dense model does not"
                     " depend on the values)")  # fmt: skip
    if said.get("engine_notes", "none") != "none":
        found.append(said["engine_notes"])
    if said["engine"] != "vLLM":
        found.append("the server is a fake: these are chosen delays, not inference")
    busy = [r for r in table if (r["competing_cores_max"] or 0) > UNQUIET_CORES]
    if busy:
        worst = max(r["competing_cores_max"] for r in busy)
        found.append(f"other programs used up to {worst:.1f} cores during {len(busy)} of"
                     f" {len(table)} points: figures may be low")  # fmt: skip
    late = [r for r in table if (r["client_late_ms"] or 0) > max(20.0, 0.3 * r["ttft_mean_ms"])]
    if late:
        worst = max(r["client_late_ms"] for r in late)
        found.append(f"the client saw first tokens up to {worst:.0f} ms later than the server sent"
                     f" them ({len(late)} of {len(table)} points): its latencies there are its own,"
                     " give it a core")  # fmt: skip
    loose = [r for r in table if r["repeats"] > 1 and r["spread"] > 0.1]
    if loose:
        worst = max(r["spread"] for r in loose)
        found.append(f"repeats of {len(loose)} of {len(table)} points differ by over 10 %"
                     f" (up to {100 * worst:.0f} %)")  # fmt: skip
    if said["energy"].startswith("not measured"):
        found.append(f"energy: {said['energy']}")
    return found


def write(
    folder: Path, plan: campaign.Plan, said: dict[str, Any], subject: Subject | None,
    failed: list[str],
) -> dict[str, Any]:  # fmt: skip
    """``summary.csv`` and ``summary.json``; the latter's content is returned."""
    table = rows(campaign.records(folder, plan))
    content = {
        "format": "twin-campaign-summary", "version": 1, "provenance": said,
        "warnings": warnings(table, subject, said), "failed": failed,
        "missing": len(campaign.missing(folder, plan)), "rows": table,
    }  # fmt: skip
    campaign._write(folder / "summary.json", content)
    (folder / "summary.csv").write_text(as_csv(table), encoding="utf-8")
    return content


def as_csv(table: list[dict[str, Any]]) -> str:
    """The rows as a table; nothing stands where nothing was measured."""
    if not table:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({k: _short(v) for k, v in row.items()})
    return text.getvalue()


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _portable(command: Iterable[str]) -> list[str]:
    """A command without the folders of one machine."""
    return [Path(word).name if word.startswith("/") else word for word in command]
