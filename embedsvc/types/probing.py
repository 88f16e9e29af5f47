"""What probes are trained on, answer, and tell about themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from embedsvc.timing import SAMPLE_RATE
from embedsvc.types.audio import Span
from embedsvc.types.encoding import Space


class ProbeTask(StrEnum):
    """What a probe answers: one of its labels, any number of them, or a number."""

    SINGLE_LABEL = "single_label"
    MULTI_LABEL = "multi_label"
    REGRESSION = "regression"


class UnknownReason(StrEnum):
    """Why a probe does not commit itself.

    `TOO_SHORT`: less speech than it was measured on. `LITTLE_EVIDENCE`: no label is like it.
    `FAR`: nothing that it was trained on is near.
    """

    TOO_SHORT = "too_short"
    LITTLE_EVIDENCE = "little_evidence"
    FAR = "far"


@dataclass(frozen=True)
class LabelScore:
    """One label, and how likely it is after calibration."""

    label: str
    probability: float


@dataclass(frozen=True)
class Evidence:
    """What speaks for a vector being of the kind that a probe was trained on.

    `logit` is the largest raw score of a label, `energy` the logarithm of the sum of the
    exponentials of all, `distance` the mean cosine distance to the nearest training vectors, and
    `belonging` what the probe makes of them: the share of training speech with less of it.
    """

    logit: float
    energy: float
    distance: float
    belonging: float


@dataclass(frozen=True)
class Classification:
    """What a probe says of one vector.

    `labels` is the answer: one label, those of a multi-label probe, or empty when `unknown` says
    why. `scores` are of all labels, the likeliest first, and stay what they are when the answer is
    unknown. `prediction_set` holds the true label with the probability the probe was set for, as
    measured on speech of its training kind; of a number it is `interval`. `value` is set by
    regressions alone.
    """

    labels: tuple[str, ...]
    scores: tuple[LabelScore, ...]
    prediction_set: tuple[str, ...]
    evidence: Evidence
    unknown: UnknownReason | None = None
    value: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ProbeRecipe:
    """How a probe is to be trained.

    `strengths` are inverse regularizations to choose from, by cross-validation whose `folds` never
    part a group. `balanced` lets every class count alike. `mix_layers` learns one weight for each
    of several spaces, else the best one of them is chosen. `calibration` is `temperature` or
    `isotonic`. `alpha` is the share of prediction sets that may miss the truth, `false_unknowns`
    the share of known speech that may be refused. `test_share` of the groups is kept for the
    figures; the probe that is served is then trained on all.
    """

    task: ProbeTask = ProbeTask.SINGLE_LABEL
    strengths: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    folds: int = 4
    balanced: bool = True
    mix_layers: bool = False
    calibration: str = "temperature"
    alpha: float = 0.1
    false_unknowns: float = 0.05
    min_speech_seconds: float = 0.5
    test_share: float = 0.2
    seed: int = 1


@dataclass(frozen=True)
class ProbeInfo:
    """A probe as it is listed.

    It reads vectors of `spaces`, which is one unless it mixes layers. `figures` are those of its
    test by name, with `chance` and the baselines among them; `report` is the whole of its training
    as JSON. `license` says under which terms it may be used, for what it was trained on.
    """

    name: str
    version: int
    task: ProbeTask
    labels: tuple[str, ...]
    spaces: tuple[Space, ...]
    created_at: float
    digest: str
    alpha: float
    min_speech_seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)
    report: str = "{}"
    license: str = ""
    about: str = ""


@dataclass(frozen=True)
class ProbeAnswer:
    """What version `version` of a probe says of some audio, and how much sound there was in it."""

    probe: str
    version: int
    classification: Classification
    speech_seconds: float = 0.0


@dataclass(frozen=True)
class Timeline:
    """How audio is answered piece by piece; `window` and `hop` in samples at 16 kHz.

    Another answer counts when `agree` windows in a row give it.
    """

    window: int = 3 * SAMPLE_RATE
    hop: int = 3 * SAMPLE_RATE // 2
    agree: int = 2


@dataclass(frozen=True)
class AnsweredSpan:
    """A stretch of time with one answer of a probe."""

    span: Span
    answer: ProbeAnswer
