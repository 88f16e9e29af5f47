"""One interface to every CTC head: states of an utterance in, log-probabilities of labels out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from embedsvc.ctc.calibration import Calibration
from embedsvc.ctc.language_model import LanguageModel
from embedsvc.encoder.ctc.adapters import Adapter
from embedsvc.encoder.ctc.bodies import SERVED, Body
from embedsvc.encoder.ctc.letters import LetterHead
from embedsvc.encoder.grid import Grid
from embedsvc.encoder.heads import PhoneHead
from embedsvc.encoder.linear import Linear
from embedsvc.types import Floats, HeadInfo, Vocabulary

UNCALIBRATED = Calibration()


@dataclass(frozen=True)
class Projection:
    """What a CTC checkpoint puts after its body: perhaps an adapter, then a map to labels."""

    linear: Linear
    adapter: Adapter | None = None

    def __call__(self, states: Floats) -> Floats:
        """Log-probabilities (T', V) of states (T, D), in float32."""
        # A copy where the states may not be written, which torch warns of.
        states = np.require(states, np.float32, ["C", "W"])
        with torch.inference_mode():
            scores: Tensor = self.linear(self._adapted(torch.from_numpy(states)))
            answer: Floats = torch.log_softmax(scores.float(), dim=-1).numpy()
        return answer

    def count(self, frames: int) -> int:
        """Labels for so many frames."""
        return self.adapter.count(frames) if self.adapter else frames

    def _adapted(self, states: Tensor) -> Tensor:
        if self.adapter is None:
            return states
        if not self.count(len(states)):
            return states.new_empty(0, self.linear.weight.shape[1])
        return self.adapter(states)


@dataclass(frozen=True)
class CtcHead:
    """A head that is ready: `layer` of the hidden states of `body` is what it reads.

    `grid` tells which samples each label stands for. `calibration` makes its confidence the share
    of labels that are right, where one was fitted. `language_model` is what it knows of words, if
    anything. `digest` is a SHA-256 over all that its answers depend on. `left_out` says why the
    calibration that lies beside it is not used, "" where it is, or there is none.
    """

    info: HeadInfo
    vocabulary: Vocabulary
    layer: int
    grid: Grid
    scores: Projection | PhoneHead | LetterHead
    body: Body = SERVED
    calibration: Calibration = UNCALIBRATED
    language_model: LanguageModel | None = None
    digest: str = ""
    left_out: str = ""

    @property
    def frame_samples(self) -> int:
        """Samples between two labels."""
        return self.grid.hop

    @property
    def adapter(self) -> str:
        """Language whose adapters the body must have, "" for none."""
        return self.body.adapter

    @property
    def reach(self) -> int:
        """Frames of the body, before and after its own, that the head hears for a label."""
        return self.scores.shape.reach if isinstance(self.scores, LetterHead) else 0

    def count(self, frames: int) -> int:
        """Labels for so many frames of the body."""
        return self.scores.count(frames) if isinstance(self.scores, Projection) else frames

    def __call__(self, states: Floats) -> Floats:
        """Log-probabilities (T', V) of one utterance's states (T, D), in float32.

        T' is `count(T)`: less than T behind an adapter with a stride, and 0 where the utterance
        is too short for it.
        """
        return self.scores(states)
