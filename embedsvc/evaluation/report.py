"""Results for people and programs: tables, a JSON document, a section of a model card, curves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from embedsvc.evaluation import language, phone_errors, robustness, speed
from embedsvc.evaluation.clips import MFCC, MFCC_DELTA
from embedsvc.evaluation.encoder_tasks import Results
from embedsvc.evaluation.measures import Measure

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""A title, the names of columns (those of numbers end in `>`), and rows."""

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"

_ENDS = 6
"""Languages that are named as the best, and as the worst."""

_READING = (
    "*Model* is the figure to judge by: of the layer that did best on held-out synthetic speech "
    "for languages, of the default space for the rest. *MFCC* is mean and deviation of 20 cepstra, "
    "then with their changes too. *Best layer* is the best on these very clips."
)
_PER_LANGUAGE = "synthetic, language "
_WIDTH, _HEIGHT, _MARGIN = 260, 150, 34
_COLUMNS = 3


def document(about: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """Everything, nested by task, name and figure."""
    tasks: dict[str, dict[str, dict[str, Any]]] = {}
    for measure in results.measures:
        figures = tasks.setdefault(measure.task, {}).setdefault(measure.name, {})
        figures[measure.figure] = measure.as_object()
    return {
        "about": dict(about),
        "clips": results.clips,
        "failed": list(results.failed),
        "skipped": [{"task": each.task, "why": each.why} for each in results.skipped],
        "tasks": tasks,
    }


def tables(measures: Sequence[Measure]) -> Iterator[Table]:
    """The figure to judge by of every measure, then every layer of those that have some."""
    short = [measure for measure in measures if not _detail(measure)]
    columns = (
        "task",
        "what",
        "figure",
        "clips>",
        "model>",
        "of",
        "MFCC>",
        "chance>",
        "best layer>",
    )
    yield "Measured", columns, [_short(measure) for measure in short]
    found = _ends(measures)
    if found:
        yield "Phone errors by language", ("", "languages"), found
    layered = [measure for measure in short if measure.layers and measure.task != robustness.TASK]
    if layered:
        layers = sorted({layer for measure in layered for layer in measure.layers})
        names = ("what", "figure", *(f"{layer}>" for layer in layers))
        yield "By layer", names, [_by_layer(measure, layers) for measure in layered]


def card(about: Mapping[str, Any], results: Results) -> str:
    """A section of Markdown between two marks, to be put into a model card."""
    lines = [BEGIN, *_preface(about, results)]
    for title, columns, rows in tables(results.measures):
        lines += ["", f"### {title}", "", *markdown(columns, rows)]
    lines += ["", *(f"- Not measured: {each.task}: {each.why}." for each in results.skipped), END]
    return "\n".join(lines)


def curves(measures: Sequence[Measure]) -> str:
    """An SVG with a small chart for each measure that has layers; baselines are broken lines."""
    chosen = [each for each in measures if len(each.layers) > 1 and _drawn(each)]
    rows = -(-len(chosen) // _COLUMNS)
    width, height = _COLUMNS * (_WIDTH + _MARGIN) + _MARGIN, rows * (_HEIGHT + 2 * _MARGIN)
    style = 'font-family="sans-serif" font-size="10" fill="#333"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {max(height, 1)}" {style}>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for at, measure in enumerate(chosen):
        x = _MARGIN + at % _COLUMNS * (_WIDTH + _MARGIN)
        y = _MARGIN + at // _COLUMNS * (_HEIGHT + 2 * _MARGIN)
        parts += [f'<g transform="translate({x},{y})">', *_chart(measure), "</g>"]
    return "\n".join([*parts, "</svg>"])


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of Markdown."""
    names = [column.rstrip(">") for column in columns]
    marks = ["---:" if column.endswith(">") else "---" for column in columns]
    return [f"| {' | '.join(cells)} |" for cells in (names, marks, *rows)]


def escaped(text: str) -> str:
    """A text as it may stand in an SVG."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _detail(measure: Measure) -> bool:
    """Whether it is in the JSON alone: figures of single languages, and second figures."""
    return _is_language(measure) or measure.figure == "macro-F1"


def _is_language(measure: Measure) -> bool:
    return measure.task == phone_errors.TASK and measure.name.startswith(_PER_LANGUAGE)


def _drawn(measure: Measure) -> bool:
    return (
        measure.figure in {"R@1", "UA"}
        and "transductive" not in measure.name
        and (
            measure.task not in {robustness.TASK, language.TASK_REAL}
            or (
                measure.task == language.TASK_REAL
                and measure.name.startswith(language.SAME_CORPUS)
                and " s" not in measure.name[-4:]
            )
        )
    )


def _short(measure: Measure) -> tuple[str, ...]:
    of, value = measure.headline
    baselines = [measure.values[kind] for kind in (MFCC, MFCC_DELTA) if kind in measure.values]
    best = measure.best
    return (
        measure.task,
        measure.name,
        measure.figure,
        f"{measure.counts.get('queries', measure.counts.get('clips', 0)):,}",
        _number(measure, value),
        of,
        " / ".join(_number(measure, each) for each in baselines),
        "" if measure.chance is None else _number(measure, measure.chance),
        "" if best is None else f"{best}: {_number(measure, measure.layers[best])}",
    )


def _by_layer(measure: Measure, layers: Sequence[int]) -> tuple[str, ...]:
    values = measure.layers
    cells = (_number(measure, values[each]) if each in values else "" for each in layers)
    return measure.name, measure.figure, *cells


def _number(measure: Measure, value: float) -> str:
    return f"{value:,.0f}" if measure.task == speed.TASK else f"{value:.1%}"


def _ends(measures: Sequence[Measure]) -> list[tuple[str, ...]]:
    ranked = sorted(
        (each for each in measures if _is_language(each)), key=lambda each: each.headline[1]
    )
    if not ranked:
        return []
    parts = (("lowest", ranked[:_ENDS]), ("highest", ranked[::-1][:_ENDS]))
    return [
        (
            name,
            ", ".join(
                f"{each.name.removeprefix(_PER_LANGUAGE)} {each.headline[1]:.0%}" for each in part
            ),
        )
        for name, part in parts
    ]


def _preface(about: Mapping[str, Any], results: Results) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    first = f"Model `{about['model']}`, weights `{about['weights'][:16]}`; {results.clips:,} clips"
    return [f"{first}, share {about['share']:g} of each set; {versions}.", "", _READING]


def _chart(measure: Measure) -> Iterator[str]:
    layers = measure.layers
    first, last = min(layers), max(layers)
    top = max(*measure.values.values(), measure.chance or 0, 1e-9) * 1.1

    def place(layer: float, value: float) -> tuple[float, float]:
        across = (layer - first) / max(1, last - first)
        return round(across * _WIDTH, 1), round(_HEIGHT * (1 - value / top), 1)

    yield f'<text y="-16" font-weight="bold">{escaped(measure.task)}: {measure.figure}</text>'
    yield f'<text y="-5">{escaped(measure.name)}</text>'
    yield f'<path d="M0 0V{_HEIGHT}H{_WIDTH}" fill="none" stroke="#999"/>'
    for layer in layers:
        x, _ = place(layer, 0)
        yield f'<text x="{x}" y="{_HEIGHT + 12}" text-anchor="middle">{layer}</text>'
    lines = {"chance": measure.chance, "MFCC": measure.values.get(MFCC_DELTA)}
    for name, value in lines.items():
        if value is not None:
            y = place(first, value)[1]
            yield f'<path d="M0 {y}H{_WIDTH}" stroke="#888" stroke-dasharray="4 3"/>'
            yield f'<text x="{_WIDTH}" y="{y - 2}" text-anchor="end" fill="#666">{name}</text>'
    path = "L".join("{} {}".format(*place(*pair)) for pair in sorted(layers.items()))
    yield f'<path d="M{path}" fill="none" stroke="#06c" stroke-width="2"/>'
    best = measure.best
    if best is not None:
        x, y = place(best, layers[best])
        text = _number(measure, layers[best])
        yield f'<circle cx="{x}" cy="{y}" r="3" fill="#06c"/>'
        yield f'<text x="{x}" y="{y - 6}" text-anchor="middle">{text}</text>'
