"""What a run leaves for the card of its model: how it was trained, in numbers and as a picture."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from embedsvc.training.corpus import Corpus
from embedsvc.training.state import Run
from embedsvc.version import version

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _MARGIN, _COLUMNS = 260, 150, 44, 3
_CURVES = {
    "phones": ("losses", "loss of phones, nats a frame"),
    "ctc": ("losses", "loss of phones without times, nats a phone"),
    "language": ("losses", "loss of languages, nats a clip"),
    "content": ("losses", "loss of equal content, nats a clip"),
    "codes": ("losses", "loss of hidden codes, nats"),
    "phone_error": ("validation", "phone error rate, texts kept back"),
    "frame_accuracy": ("validation", "frames with the right phone, texts kept back"),
    "language_accuracy": ("validation", "language of a clip, texts kept back"),
    "content_recall": ("validation", "equal content found first, texts kept back"),
}
_DIGITS = 4
_POINTS = 120
"""Points of a curve: more can not be told apart."""


def record(run: Run, corpus: Corpus) -> dict[str, Any]:
    """Everything that says what was done: recipe, data, versions, and how far it came."""
    plan, saved = run.plan(), run.last()
    records = run.records()
    return {
        "recipe": plan.recipe,
        "processes": plan.processes,
        "phones": len(plan.phones),
        "languages": list(plan.languages),
        "corpus": {
            name: corpus.manifest.get(name)
            for name in ("config", "versions", "sha256", "totals", "corpora", "synthesizers")
        },
        "versions": {
            "embedsvc": version(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "progress": None if saved is None else vars(saved.progress),
        "validation": [each for each in records if each["kind"] == "validation"],
        "losses": thinned([each for each in records if each["kind"] == "losses"]),
    }


def thinned(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """At most `_POINTS` records, each the mean of its neighbors."""
    size = max(1, -(-len(records) // _POINTS))
    found = []
    for start in range(0, len(records), size):
        part = records[start : start + size]
        names = part[-1].keys() - {"kind", "step", "seconds_left"}
        means = {
            name: round(float(np.mean([each[name] for each in part if name in each])), _DIGITS)
            for name in sorted(names)
        }
        found.append({"step": part[-1]["step"], **means})
    return found


def curves(record: Mapping[str, Any]) -> str:
    """An SVG with a small chart for each loss and each validation figure."""
    charts = []
    for name, (kind, title) in _CURVES.items():
        points = [(each["step"], each[name]) for each in record[kind] if name in each]
        if len(points) > 1:
            charts.append((title, points))
    rows = -(-len(charts) // _COLUMNS)
    width = _COLUMNS * (_WIDTH + _MARGIN) + _MARGIN
    height = max(1, rows * (_HEIGHT + 2 * _MARGIN))
    style = 'font-family="sans-serif" font-size="10" fill="#333"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {style}>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for at, (title, points) in enumerate(charts):
        x = _MARGIN + at % _COLUMNS * (_WIDTH + _MARGIN)
        y = _MARGIN + at // _COLUMNS * (_HEIGHT + 2 * _MARGIN)
        parts += [f'<g transform="translate({x},{y})">', *_chart(title, points), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _chart(title: str, points: Points) -> Iterator[str]:
    steps, values = zip(*points, strict=True)
    last, low, high = max(steps), min(values), max(values)
    # What a loss falls to is seen better without the first fall.
    high = min(high, low + 4 * (sorted(values)[len(values) // 2] - low) + 1e-9)
    reach = max(high - low, 1e-9)
    places = [
        (round(step / last * _WIDTH, 1), round(_HEIGHT * (1 - (min(value, high) - low) / reach), 1))
        for step, value in points
    ]
    yield f'<text y="-8" font-weight="bold">{title}</text>'
    yield f'<path d="M0 0V{_HEIGHT}H{_WIDTH}" fill="none" stroke="#999"/>'
    yield f'<text x="-4" y="8" text-anchor="end">{high:.2f}</text>'
    yield f'<text x="-4" y="{_HEIGHT}" text-anchor="end">{low:.2f}</text>'
    yield f'<text x="{_WIDTH}" y="{_HEIGHT + 12}" text-anchor="end">step {last:,}</text>'
    path = "L".join(f"{x} {y}" for x, y in places)
    yield f'<path d="M{path}" fill="none" stroke="#06c" stroke-width="1.5"/>'
    x, y = places[-1]
    yield f'<text x="{x}" y="{y - 4}" text-anchor="end">{values[-1]:.3f}</text>'
