"""A campaign's plots and its page: one HTML file that carries its pictures within."""

import base64
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.heldout import HeldOut

INK, GRID = "#333333", "#dddddd"
COLOURS = ("#1b6ca8", "#c1440e", "#4a7c2a", "#7b3f98", "#b8860b", "#555555")
Rows = list[dict[str, Any]]


def write(folder: Path, summary: dict[str, Any]) -> list[Path]:
    """Plots as PNG in ``plots/`` and ``report.html``; the paths."""
    made = plots(folder / "plots", summary["rows"])
    judged = _judged(folder) if summary["rows"] else "nothing was measured"
    if not isinstance(judged, str):
        made.append(_held_out(folder / "plots", judged))
    images = [
        (title, note, base64.b64encode(path.read_bytes()).decode()) for title, note, path in made
    ]
    import jinja2

    template = files("serving").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = number
    environment.filters["figures"] = figures
    origin = [(label(key), words(key, value)) for key, value in summary["provenance"].items()]
    page = environment.from_string(template).render(
        summary, images=images, columns=measured(summary["rows"]), origin=origin, judged=judged
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return [*(path for _, _, path in made), path]


# Key, heading, unit: what a person compares; the whole table is summary.csv.
COLUMNS = (
    ("workload", "input/output", "tokens"),
    ("load", "load", ""),
    ("repeats", "runs", ""),
    ("output_throughput_tok_s", "output", "tok/s"),
    ("spread", "spread", "%"),
    ("ttft_median_ms", "TTFT median", "ms"),
    ("ttft_p95_ms", "TTFT p95", "ms"),
    ("itl_median_ms", "ITL median", "ms"),
    ("itl_p95_ms", "ITL p95", "ms"),
    ("running_mean", "running", ""),
    ("kv_use_max", "KV use", "%"),
    ("preemptions", "preempted", ""),
    ("avg_power_w", "power", "W"),
    ("joules_per_output_token", "energy", "J/token"),
    ("competing_cores_max", "others", "cores"),
)


def measured(rows: Rows) -> list[tuple[str, str, str]]:
    """The columns that hold something: without a counter, none is lost to energy."""
    return [c for c in COLUMNS if c[0] == "load" or any(row[c[0]] is not None for row in rows)]


UNITS = {"start_s": "start, s", "weight_bytes": "weights, bytes", "idle_power_w": "idle power, W",
         "max_model_len": "context, tokens", "kv_block_size": "KV block, tokens",
         "kv_blocks": "KV blocks", "kv_tokens": "KV cache, tokens"}  # fmt: skip


def label(key: str) -> str:
    """A key of the provenance as a person reads it, with its unit."""
    return UNITS.get(key, key.replace("_", " "))


def words(key: str, value: Any) -> str:
    """A value of the provenance as a person reads it."""
    if value is None:
        return "not measured" if key == "idle_power_w" else "not stated"
    if isinstance(value, dict):
        return " ".join(f"{name}={said}" for name, said in value.items()) or "as it was"
    if isinstance(value, float) and not value.is_integer():
        return figures(value)
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def number(row: dict[str, Any], key: str) -> str:
    """A cell in words: three figures, or a dash where nothing was measured."""
    if key == "load":
        return load_words(row)
    value = row.get(key)
    if value is None or (key == "spread" and row["repeats"] < 2):
        return "–"
    if key in ("spread", "kv_use_max"):
        return f"{100 * value:.0f}"
    if isinstance(value, float):
        return figures(value)
    return str(value)


def figures(value: float) -> str:
    """Three figures, or whole from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def load_words(row: dict[str, Any]) -> str:
    """16 at a time, or 0.5/s Poisson."""
    if row["concurrency"]:
        return f"{row['concurrency']} at a time"
    shape = "Poisson" if row["burstiness"] == 1 else f"gamma {row['burstiness']:g}"
    return f"{row['rate_per_s']:g}/s {shape}"


def plots(folder: Path, rows: Rows) -> list[tuple[str, str, Path]]:
    """Every plot that the rows have numbers for: title, what it shows, file."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()

    def rising(key: str, of: str) -> Rows:
        return sorted((row for row in rows if row[of] is not None), key=lambda row: row[key])

    closed = rising("concurrency", "concurrency")
    opened = rising("rate_per_s", "rate_per_s")
    power = rising("output_throughput_tok_s", "avg_power_w")
    made = []
    if closed:
        made.append(_throughput(folder, closed))
        made.append(_against(folder, closed))
        made.append(_first_token(folder, closed, "concurrency", "requests at a time"))
    if opened:
        made.append(_first_token(folder, opened, "rate_per_s", "arrivals per second"))
    if power:
        made.append(_power(folder, power))
        made.append(_energy(folder, power))
    return made


def _throughput(folder: Path, rows: Rows) -> tuple[str, str, Path]:
    figure, axes = _axes()
    for colour, (shape, group) in _groups(rows):
        x = [row["concurrency"] for row in group]
        y = [row["output_throughput_tok_s"] for row in group]
        below = [v - row["output_throughput_min_tok_s"] for v, row in zip(y, group, strict=True)]
        above = [row["output_throughput_max_tok_s"] - v for v, row in zip(y, group, strict=True)]
        axes.errorbar(x, y, yerr=(below, above), marker="o", capsize=3, color=colour, label=shape)
    _doubling(axes, [row["concurrency"] for row in rows])
    axes.set(xlabel="requests at a time", ylabel="output tokens per second")
    axes.set_ylim(bottom=0)
    note = "Median of the runs; bars from the slowest to the fastest run."
    return "Throughput against load", note, _save(figure, folder / "throughput.png")


def _against(folder: Path, rows: Rows) -> tuple[str, str, Path]:
    from matplotlib.patheffects import withStroke

    figure, axes = _axes()
    for colour, (shape, group) in _groups(rows):
        y = [row["output_throughput_tok_s"] for row in group]
        for key, style, word in (("itl_median_ms", "-o", "median"), ("itl_p95_ms", ":^", "p95")):
            label = shape if word == "median" else None
            x = [row[key] for row in group]
            axes.plot(x, y, style, color=colour, label=label, markersize=5)
        for row, value in zip(group, y, strict=True):
            axes.annotate(
                str(row["concurrency"]), (row["itl_median_ms"], value), xytext=(-5, 5),
                textcoords="offset points", ha="right", fontsize=8, color=colour, zorder=4,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip
    axes.set(xlabel="time between tokens of one answer (ITL), ms")
    axes.set_ylabel("output tokens per second")
    axes.set_ylim(bottom=0)
    _name_styles(axes)
    note = "Up and left is better. The numbers at the points say how many requests at a time."
    path = _save(figure, folder / "throughput_against_latency.png")
    return "Throughput against latency", note, path


def _first_token(folder: Path, rows: Rows, key: str, words: str) -> tuple[str, str, Path]:
    figure, axes = _axes()
    for colour, (shape, group) in _groups(rows):
        x = [row[key] for row in group]
        for which, style in (("median", "-o"), ("p95", ":^")):
            y = [row[f"ttft_{which}_ms"] for row in group]
            label = shape if which == "median" else None
            axes.plot(x, y, style, color=colour, label=label, markersize=5)
    if key == "concurrency":
        _doubling(axes, [row[key] for row in rows])
    elif len(rates := sorted({row[key] for row in rows})) < 8:
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.set_yscale("log")
    _plain(axes.yaxis)
    _name_styles(axes)
    axes.set(xlabel=words, ylabel="time to first token (TTFT), ms")
    name = "first_token.png" if key == "concurrency" else "first_token_open.png"
    title = f"Time to first token against {words}"
    return title, "What a user waits before anything shows.", _save(figure, folder / name)


def _power(folder: Path, rows: Rows) -> tuple[str, str, Path]:
    figure, axes = _axes()
    for colour, (shape, group) in _groups(rows):
        x = [row["output_throughput_tok_s"] for row in group]
        axes.plot(x, [row["avg_power_w"] for row in group], "-o", color=colour, label=shape)
    axes.set(xlabel="output tokens per second", ylabel="mean power, W")
    axes.set_ylim(bottom=0)
    note = "From first request to last token, by the hardware's own energy counter."
    return "Power", note, _save(figure, folder / "power.png")


def _energy(folder: Path, rows: Rows) -> tuple[str, str, Path]:
    figure, axes = _axes()
    for colour, (shape, group) in _groups(rows):
        x = [row["output_throughput_tok_s"] for row in group]
        y = [row["joules_per_output_token"] for row in group]
        axes.plot(x, y, "-o", color=colour, label=shape)
    axes.set(xlabel="output tokens per second", ylabel="energy per output token, J")
    axes.set(xscale="log", yscale="log")
    _plain(axes.xaxis)
    _plain(axes.yaxis)
    note = "All energy of the window, prefill included, over the tokens that were put out."
    return "Energy per token", note, _save(figure, folder / "energy.png")


def _judged(folder: Path) -> "HeldOut | str":
    from serving.heldout import held_out  # a fit takes a moment to load, and seconds to make

    return held_out(folder)


def _held_out(folder: Path, judged: "HeldOut") -> tuple[str, str, Path]:
    figure, axes = _axes()
    low, middle, high = judged.fitted
    axes.fill_between(judged.at, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.plot(judged.at, middle, "-", color=COLOURS[0], label="fit, 90 % band")
    axes.plot(judged.at, judged.line, "--", color=COLOURS[1], label="straight line")
    axes.plot(judged.at, judged.spline, ":", color=COLOURS[2], label="spline")
    x, y = zip(*judged.seen, strict=True)
    axes.plot(x, y, "o", color=INK, label="measured", markersize=5)
    out = judged.guesses[0]
    axes.plot([judged.concurrency], [out.measured], "o", markersize=9, markerfacecolor="white",
              markeredgecolor=INK, markeredgewidth=1.6, label="held out", zorder=5)  # fmt: skip
    _doubling(axes, [*x, judged.concurrency])
    axes.set_yscale("log")
    _plain(axes.yaxis)
    axes.set(xlabel="requests at a time", ylabel="output tokens per second")
    off = [f"{100 * out.off(value):+.1f} %" for value in (out.fit.value, out.line, out.spline)]
    note = (f"{judged.concurrency} at a time of {judged.workload} was measured and left out. Of it"
            f" the fit is {off[0]} off, a straight line through the logarithms {off[1]},"
            f" a spline {off[2]}.")  # fmt: skip
    path = _save(figure, folder / "held_out.png", "throughput")
    return "One concurrency held out", note, path


def _groups(rows: Rows) -> list[tuple[str, tuple[str, Rows]]]:
    """A colour, a name and its rows, for each pair of lengths and shape of arrivals.

    In the order of lengths, whatever the rows' own: a colour means the same in every plot.
    """
    groups: dict[str, Rows] = {}
    for row in sorted(rows, key=lambda row: [int(n) for n in row["workload"].split("/")]):
        even = row["concurrency"] or row["burstiness"] == 1
        name = row["workload"] + ("" if even else f"\ngamma {row['burstiness']:g}")
        groups.setdefault(name, []).append(row)
    return [
        (COLOURS[i % len(COLOURS)], (name, group)) for i, (name, group) in enumerate(groups.items())
    ]


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # no window system is asked, whatever is installed

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(0.06, 0.12)  # room for the words at the points
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _doubling(axes: Any, values: list[int]) -> None:
    ticks = sorted(set(values))
    if len(ticks) > 1:
        axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()


def _plain(axis: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _name_styles(axes: Any) -> None:
    """What full and dotted lines mean, once for all colours."""
    for style, word in (("-o", "median"), (":^", "p95")):
        axes.plot([], [], style, color=INK, label=word, markersize=5)


def _save(figure: Any, path: Path, title: str = "input/output\ntokens") -> Path:
    # Beside the axes: inside, some campaign's lines always run through it.
    figure.legend(loc="outside right upper", frameon=False, fontsize=9,
                  title=title, title_fontsize=9, alignment="left")  # fmt: skip
    figure.savefig(path, dpi=150)
    return path
