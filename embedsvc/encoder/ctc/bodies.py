"""Whose hidden states a head reads."""

from dataclasses import dataclass

from embedsvc.encoder.grid import FRAMES, Grid


@dataclass(frozen=True)
class Body:
    """An encoder as a head needs it, and how it hears.

    `key` tells it from others that are served beside it, "" for the served model itself. `grid`
    are its frames. It reads samples if `of_samples`, else features. `adapter` names the language
    whose adapters it has on the way to these states, "" for none.
    """

    key: str = ""
    grid: Grid = FRAMES
    of_samples: bool = False
    adapter: str = ""


SERVED = Body()
"""The model that embeds too."""
