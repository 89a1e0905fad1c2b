"""`make bench`: runs every bench, prints its rows and appends them to rows.jsonl. Gates nothing.

A row says what was measured on which device, at which commit ("+" where files had been changed) and
on which date. Compare rows of one device only, and measure on a quiet machine.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROWS = HERE / "rows.jsonl"
BENCHES = (
    "bench_sgp4.py",
    "bench_geometry.py",
    "bench_thermal.py",
    "bench_life.py",
    "bench_width.py",
    "bench_fleet.py",
    "bench_gradient.py",
    "bench_serving.py",
)


def main() -> int:
    stamp = {"commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    failed = []
    for bench in BENCHES:
        print(f"{bench}:", file=sys.stderr, flush=True)
        command = [sys.executable, str(HERE / bench)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{"):
                    keep({"device": "this CPU"} | json.loads(line) | stamp)
        if child.returncode:
            failed.append(bench)
    if failed:
        print(f"did not finish: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


def keep(row: dict[str, object]) -> None:
    """Print a row and append it: what was measured so far survives whatever comes next."""
    first = {key: row.pop(key) for key in ("name", "device", "commit", "date")}
    line = json.dumps(first | row, ensure_ascii=False)
    print(line, flush=True)
    with ROWS.open("a", encoding="utf-8") as rows:
        rows.write(line + "\n")


def commit() -> str:
    """The short hash of what was measured, with a "+" where files differ from it."""

    def git(*words: str) -> str:
        said = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return said.stdout.strip()

    try:
        changed = git(
            "status", "--porcelain", "--untracked-files=no", "--", ".", ":!tests/bench/rows.jsonl"
        )
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
