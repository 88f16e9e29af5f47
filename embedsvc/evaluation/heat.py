"""A map of pairs of languages, as a picture: the more is found, the darker."""

from collections.abc import Iterator, Mapping

from embedsvc.evaluation.report import escaped

_CELL, _MARGIN, _TITLE = 26, 44, 34
_LIGHT, _DARK = (255, 255, 255), (0, 70, 150)
_HALF = 0.5
_MOST_NUMBERED = 40
"""Languages above which numbers would be too small to read."""


def heat_map(title: str, shares: Mapping[tuple[str, str], float]) -> str:
    """An SVG of shares from 0 to 1 by row and column; a pair that is not there stays gray."""
    names = sorted({name for pair in shares for name in pair})
    cell = _CELL if len(names) <= _MOST_NUMBERED else _CELL // 2
    size = len(names) * cell
    box = f"0 0 {size + _MARGIN + 10} {size + _MARGIN + _TITLE}"
    style = f'font-family="sans-serif" font-size="{cell * 0.38:.1f}" fill="#333"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {style}>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="8" y="16" font-size="12" font-weight="bold">{escaped(title)}</text>',
        f'<g transform="translate({_MARGIN},{_MARGIN + _TITLE - 10})">',
        *_names(names, cell),
        *_cells(names, shares, cell),
        "</g></svg>",
    ]
    return "\n".join(parts)


def _names(names: list[str], cell: int) -> Iterator[str]:
    for place, name in enumerate(names):
        x, y, text = (place + 0.5) * cell, (place + 0.65) * cell, escaped(name)
        yield f'<text x="-5" y="{y:.1f}" text-anchor="end">{text}</text>'
        yield f'<text x="{x:.1f}" y="-5" text-anchor="middle">{text}</text>'


def _cells(names: list[str], shares: Mapping[tuple[str, str], float], cell: int) -> Iterator[str]:
    for row, a in enumerate(names):
        for column, b in enumerate(names):
            share = shares.get((a, b))
            x, y = column * cell, row * cell
            fill = "#eee" if share is None else _color(share)
            yield f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" fill="{fill}"/>'
            if share is not None and len(names) <= _MOST_NUMBERED:
                ink = "#fff" if share > _HALF else "#333"
                yield (
                    f'<text x="{x + cell / 2 - 0.5:.1f}" y="{y + cell * 0.65:.1f}" '
                    f'text-anchor="middle" fill="{ink}">{100 * share:.0f}</text>'
                )


def _color(share: float) -> str:
    mixed = (
        round(light + (dark - light) * min(max(share, 0), 1))
        for light, dark in zip(_LIGHT, _DARK, strict=True)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)
