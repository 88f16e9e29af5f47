"""Results for people and programs: tables, charts, Markdown, and a JSON document of everything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from embedsvc.bench.encoder import Comparison
from embedsvc.bench.figures import Spread
from embedsvc.bench.machine import told
from embedsvc.bench.plots import Bars, Chart, Lines
from embedsvc.bench.search import CALLERS, TOP_K, Searched
from embedsvc.bench.service import Loaded, Results
from embedsvc.bench.streams import Load, Streamed
from embedsvc.evaluation.report import Table
from embedsvc.evaluation.report import markdown as lines_of

_MEBIBYTE = 2**20
_DIGITS = 6
_LARGE = 1_000
"""From here on, tenths are not worth their place."""

Result = Comparison | Results | Searched | Streamed
Rows = list[tuple[str, ...]]


def document(about: Mapping[str, Any], result: Result) -> dict[str, Any]:
    """Everything, with at most six digits of each number."""
    rounded: dict[str, Any] = _rounded({**about, "result": asdict(result)})
    return rounded


def markdown(about: Mapping[str, Any], result: Result) -> str:
    """Tables under the command that gave them, and where that was."""
    lines = ["```console", f"$ {about['command']}", "```", "", f"{told(about)}."]
    lines += [f"{about['what']}."]
    for title, columns, rows in tables(result):
        lines += ["", f"### {title}", "", *lines_of(columns, rows)]
    if isinstance(result, Comparison | Searched):
        lines += ["", *(f"- Not measured: {name}: {why}." for name, why in result.skipped)]
    return "\n".join(lines)


def tables(result: Result) -> Iterator[Table]:
    """What one looks at."""
    match result:
        case Comparison():
            return _comparison(result)
        case Results():
            return _service(result)
        case Searched():
            return _searched(result)
        case Streamed():
            return _streamed(result)


def charts(result: Result) -> list[Chart]:
    """What one sees at once."""
    match result:
        case Comparison():
            return [_speeds(result, case) for case in _cases(result)]
        case Results():
            return _loads(result)
        case Searched():
            title = "searches a second, one caller, by share left by the filter"
            rows = [(f"{row.share:.1%}", row.alone) for row in result.engines[0].rows]
            return [Bars(title, rows)]
        case Streamed():
            series = [
                (each.way, sorted((float(one.streams), _lag(one)) for one in each.loads))
                for each in result.capacities
            ]
            return [Lines("seconds that 95 % of interims lag, by streams", series)]


def _streamed(result: Streamed) -> Iterator[Table]:
    rows: Rows = [
        (
            each.way,
            str(load.streams),
            str(load.failed),
            *(_seconds(load.lag, name) for name in ("p50", "p95")),
            *(_seconds(load.delay, name) for name in ("p50", "p95")),
            *(_seconds(load.first, name) for name in ("p50", "p95")),
            f"{load.changed:.1%}",
            f"{load.rtf:.3f}",
            "" if load.server_cpu is None else f"{load.server_cpu:.2f}",
        )
        for each in result.capacities
        for load in each.loads
    ]
    yield "Streams at once", _STREAM_COLUMNS, rows
    most: Rows = [(each.way, str(each.most)) for each in result.capacities]
    yield f"As many as keep up; a recording has RTF {result.offline:.3f}", ("way", "streams>"), most


def _lag(load: Load) -> float:
    return load.lag.get("p95", 0.0)


_STREAM_COLUMNS = (
    "way",
    "streams>",
    "failed>",
    "lag p50>",
    "p95>",
    "words p50>",
    "p95>",
    "first text p50>",
    "p95>",
    "changed>",
    "RTF>",
    "server cores>",
)


def _comparison(result: Comparison) -> Iterator[Table]:
    columns = (
        "engine",
        "seconds>",
        "audio s/s>",
        "ratio>",
        "max diff>",
        "cosine min>",
        "mean>",
        "MiB>",
        *(("of matrix rate>",) if any(cell.share for cell in result.cells) else ()),
    )
    for case in _cases(result):
        rows: Rows = [
            (
                cell.arm.name,
                f"{cell.seconds.median:.3f}",
                f"{cell.speed:.1f}",
                _ratio(cell.ratio),
                f"{cell.parity.max_difference:.1e}",
                f"{cell.parity.least_cosine:.6f}",
                f"{cell.parity.mean_cosine:.6f}",
                f"{cell.peak / _MEBIBYTE:,.0f}",
                *((f"{cell.share:.0%}",) if cell.share else ()),
            )
            for cell in result.cells
            if cell.case == case
        ]
        yield f"{case}: times as fast as {result.reference}", columns, rows
    arms = {cell.arm.name: cell.arm for cell in result.cells}
    loaded: Rows = [
        (arm.name, f"{arm.load_seconds:.1f}", f"{arm.weights / _MEBIBYTE:,.0f}")
        for arm in arms.values()
    ]
    yield "Loaded", ("engine", "seconds>", "MiB>"), loaded


def _cases(result: Comparison) -> list[str]:
    return list(dict.fromkeys(cell.case for cell in result.cells))


def _speeds(result: Comparison, case: str) -> Bars:
    cells = [cell for cell in result.cells if cell.case == case]
    values = [
        (
            cell.arm.name,
            Spread(
                cell.audio_seconds / cell.seconds.high,
                cell.speed,
                cell.audio_seconds / cell.seconds.low,
            ),
        )
        for cell in cells
    ]
    return Bars(f"{case}: seconds of audio in a second", values)


def _service(result: Results) -> Iterator[Table]:
    saturated = result.saturated
    rows: Rows = [
        (name, _spread(pace), _ratio(saturated.shares[name]) if name in saturated.shares else "")
        for name, pace in saturated.paces.items()
    ]
    yield "Saturated", ("what", "audio s/s>", "service in terms of it>"), rows
    server = saturated.server_cpu
    used: Rows = [("processor seconds a second, client", f"{saturated.client_cpu:.2f}")]
    used += [] if server is None else [("processor seconds a second, server", f"{server:.2f}")]
    used += [("statuses", _statuses(saturated.codes))]
    yield "The service while it was saturated", ("", ">"), used
    if result.loaded:
        yield (
            "Callers who just come",
            _LOAD_COLUMNS,
            [_load_row(each, result.capacity) for each in result.loaded],
        )
        refused = [_refusal_row(each) for each in result.loaded if each.totals.refusal]
        if refused:
            yield "Refusals", _REFUSAL_COLUMNS, refused


_LOAD_COLUMNS = (
    "times capacity>",
    "calls>",
    "offered>",
    "answered>",
    "p50>",
    "p95>",
    "p99>",
    "statuses",
    "padding>",
    "processors, client>",
    "server>",
    "server MiB>",
)
_REFUSAL_COLUMNS = (
    "times capacity>",
    "refused after p50>",
    "p99>",
    "at most>",
    "told when to come again>",
)


def _load_row(loaded: Loaded, capacity: float) -> tuple[str, ...]:
    totals = loaded.totals
    return (
        _load_name(loaded),
        f"{totals.calls:,}",
        f"{totals.offered:.1f}",
        f"{totals.goodput:.1f} ({totals.goodput / capacity:.0%})",
        *(_seconds(totals.latency, name) for name in ("p50", "p95", "p99")),
        _statuses(totals.codes),
        f"{loaded.queue['padding_ratio']:.1%}" if "padding_ratio" in loaded.queue else "",
        f"{loaded.client_cpu:.2f}",
        "" if loaded.server_cpu is None else f"{loaded.server_cpu:.2f}",
        _memory(loaded),
    )


def _statuses(codes: Mapping[str, int]) -> str:
    return ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))


def _refusal_row(loaded: Loaded) -> tuple[str, ...]:
    times = loaded.totals.refusal
    told = loaded.totals.told_when or 0.0
    shown = (_seconds(times, name) for name in ("p50", "p99", "max"))
    return (_load_name(loaded), *shown, f"{told:.1%}")


def _load_name(loaded: Loaded) -> str:
    return f"{loaded.rate:.2f}/s" if loaded.load is None else f"{loaded.load:g} x"


def _seconds(times: Mapping[str, float], name: str) -> str:
    return f"{times[name]:.3f} s" if name in times else ""


def _memory(loaded: Loaded) -> str:
    """At the start, at most, and at the end."""
    sizes = [size for _, size in loaded.memory]
    if not sizes:
        return ""
    return " / ".join(f"{size / _MEBIBYTE:,.0f}" for size in (sizes[0], max(sizes), sizes[-1]))


def _loads(result: Results) -> list[Chart]:
    found: list[Chart] = [
        Bars("saturated: seconds of audio in a second", list(result.saturated.paces.items()))
    ]
    series = [
        (_load_name(each), [(at, size / _MEBIBYTE) for at, size in each.memory])
        for each in result.loaded
        if each.memory
    ]
    return [*found, Lines("memory of the server under load, MiB", series)] if series else found


def _searched(result: Searched) -> Iterator[Table]:
    columns = (
        "share left",
        "by",
        f"recall@{TOP_K}>",
        "exact",
        "alone/s>",
        f"{CALLERS} callers/s>",
        "p50>",
        "p95>",
        "p99>",
    )
    rows: Rows = [
        (
            f"{row.share:.1%}",
            engine.name,
            f"{row.recall:.4f}",
            "yes" if row.exact else "no",
            _spread(row.alone),
            _spread(row.together),
            *(f"{1000 * row.latency[name]:.2f} ms" for name in ("p50", "p95", "p99")),
        )
        for same in zip(*(engine.rows for engine in result.engines), strict=True)
        for engine, row in zip(result.engines, same, strict=True)
    ]
    title = f"{result.vectors:,} vectors of {result.dim}; {result.about}"
    yield title, columns, rows
    made: Rows = [
        (
            engine.name,
            f"{engine.made.add_seconds:.1f} s",
            f"{engine.made.ready_seconds:.1f} s",
            f"{engine.made.resident / _MEBIBYTE:,.0f}",
            engine.made.about,
        )
        for engine in result.engines
    ]
    yield "Built", ("by", "stored in>", "made ready in>", "MiB>", "settings"), made


def _spread(value: Spread) -> str:
    digits = 0 if value.high >= _LARGE else 1
    low, median, high = (f"{each:,.{digits}f}" for each in (value.low, value.median, value.high))
    return f"{median} ({low}-{high})"


def _ratio(value: Spread) -> str:
    return f"{value.median:.2f} ({value.low:.2f}-{value.high:.2f})"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {str(name): _rounded(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(each) for each in value]
    return value
