"""Which samples a label stands for."""

from dataclasses import dataclass

from embedsvc.timing import FRAME, HOP, WINDOW
from embedsvc.types import Span


@dataclass(frozen=True)
class Grid:
    """Labels of a recording, one every `hop` samples at 16 kHz.

    Label 0 is made of `field` samples from `first` on, which is negative where a convolution pads;
    that attention looks further does not count.
    """

    hop: int
    field: int
    first: int = 0

    def count(self, samples: int) -> int:
        """Labels of a recording of so many samples, where no convolution pads.

        >>> FRAMES.count(559), FRAMES.count(560), CONVOLUTIONS.count(560)
        (0, 1, 1)
        """
        return max((samples - self.field) // self.hop + 1, 0)

    def heard(self, label: int) -> Span:
        """What the convolutions before a label see of the recording."""
        start = self.first + label * self.hop
        return Span(max(start, 0), max(start + self.field, 0))

    def span(self, label: int, samples: int | None = None) -> Span:
        """The `hop` samples in the middle of what is heard: those of labels tile the time.

        >>> CONVOLUTIONS.span(0), CONVOLUTIONS.span(1)
        (Span(start=40, end=360), Span(start=360, end=680))

        `samples` is the length of the recording, after which no span ends.
        """
        start = self.first + label * self.hop + (self.field - self.hop) // 2
        last = start + self.hop if samples is None else samples
        return Span(max(min(start, last), 0), max(min(start + self.hop, last), 0))

    def strided(self, kernel: int, stride: int, padding: int) -> "Grid":
        """The grid after one more convolution over the labels of this one."""
        return Grid(
            hop=self.hop * stride,
            field=self.field + (kernel - 1) * self.hop,
            first=self.first - padding * self.hop,
        )


FRAMES = Grid(FRAME, WINDOW + HOP)
"""Frames of features: two mel frames each, so 35 ms every 20 ms."""

CONVOLUTIONS = Grid(FRAME, 400)
"""Frames of the convolutions of wav2vec 2.0 (Baevski et al. 2020): 25 ms every 20 ms."""
