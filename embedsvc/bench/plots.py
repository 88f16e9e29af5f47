"""Charts as SVG: bars with the spread of their rounds, and lines over time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embedsvc.bench.figures import Spread
from embedsvc.evaluation.report import escaped

_WIDTH, _LABEL, _BAR, _GAP = 760, 280, 14, 6
_LINES = 160
_MARGIN = 24
_NUMBER = 70
_COLORS = ("#06c", "#c60", "#393", "#939")


@dataclass(frozen=True)
class Bars:
    """A bar for each name, as long as its median, with a thin line between its quartiles."""

    title: str
    values: Sequence[tuple[str, Spread]]

    @property
    def height(self) -> int:
        """Points it takes, without margins."""
        return len(self.values) * (_BAR + _GAP)

    def draw(self) -> Iterator[str]:
        """Its shapes, from the point where it stands."""
        reach = (_WIDTH - _LABEL - _NUMBER) / max(each.high for _, each in self.values)
        for row, (name, value) in enumerate(self.values):
            y, middle = row * (_BAR + _GAP), row * (_BAR + _GAP) + _BAR / 2
            low, median, high = (
                round(each * reach, 1) for each in (value.low, value.median, value.high)
            )
            yield (
                f'<text x="{_LABEL - 6}" y="{middle + 4}" text-anchor="end">{escaped(name)}</text>'
            )
            yield f'<rect x="{_LABEL}" y="{y}" width="{median}" height="{_BAR}" fill="#6ae"/>'
            yield f'<path d="M{_LABEL + low} {middle}H{_LABEL + high}" stroke="#333"/>'
            text = f"{value.median:,.1f}"
            yield f'<text x="{_LABEL + max(median, high) + 5}" y="{middle + 4}">{text}</text>'


@dataclass(frozen=True)
class Lines:
    """A line for each name through its points (x, y), from zero upwards."""

    title: str
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]]

    @property
    def height(self) -> int:
        """Points it takes, without margins."""
        return _LINES

    def draw(self) -> Iterator[str]:
        """Its shapes, from the point where it stands."""
        across = (_WIDTH - _LABEL) / max(x for _, points in self.series for x, _ in points)
        top = max(y for _, points in self.series for _, y in points)
        yield f'<path d="M{_LABEL} 0V{_LINES}H{_WIDTH}" fill="none" stroke="#999"/>'
        yield f'<text x="{_LABEL - 6}" y="10" text-anchor="end">{top:,.0f}</text>'
        for row, (name, points) in enumerate(self.series):
            color = _COLORS[row % len(_COLORS)]
            path = "L".join(
                f"{round(_LABEL + x * across, 1)} {round(_LINES * (1 - y / top), 1)}"
                for x, y in points
            )
            yield f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'
            yield f'<text y="{30 + 16 * row}" fill="{color}">{escaped(name)}</text>'


Chart = Bars | Lines


def page(charts: Sequence[Chart]) -> str:
    """An SVG with charts one under the other."""
    height = sum(chart.height + 2 * _MARGIN for chart in charts)
    style = 'font-family="sans-serif" font-size="11" fill="#333"'
    box = f"0 0 {_WIDTH + 2 * _MARGIN} {height + _MARGIN}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {style}>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    y = 2 * _MARGIN
    for chart in charts:
        parts += [f'<g transform="translate({_MARGIN},{y})">']
        parts += [f'<text y="-10" font-weight="bold">{escaped(chart.title)}</text>']
        parts += [*chart.draw(), "</g>"]
        y += chart.height + 2 * _MARGIN
    return "\n".join([*parts, "</svg>"])
