"""The probes that ship with a model: what each learns from, made again by one command.

Every clip is heard as it is and once more as another room, microphone and line would give it, so
that a probe knows speech that is noisy. No clip that is not for training is learned from.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from embedsvc.audio import stacked
from embedsvc.encoder import Encoder, Plan
from embedsvc.evaluation.baseline import mfcc_delta_vector
from embedsvc.evaluation.emotion import common_emotion
from embedsvc.evaluation.listening import Heard, Sound, heard_sounds, sounds_of, vectors_of
from embedsvc.evaluation.speech import SYNTHETIC, Row
from embedsvc.probes import Examples, Probe, to_files, train
from embedsvc.probes.background import sounds
from embedsvc.training.augmentation import Chances, augment, normalize
from embedsvc.types import Floats, Frames, OutputSpec, Pooling, ProbeRecipe, Windowing

BUNDLED = 0
"""Version of a probe that comes with a model."""

SEED = 1
VIEWS = 2
"""How often a clip is heard; the first time as it is."""

REFUSED_WHEN_CHANGED = 0.1
"""Share of the clips that may be refused, half of which are changed: they are refused first.

With 0.05 a probe of languages refused 0.4 % of clips as they are, and answered half of all birds.
"""

EMOTION_SETS = ("emo_ravdess", "emo_emodb", "emo_nemo")

Tell = Callable[[str, int, int], None]
"""Told (what, done, total)."""


@dataclass(frozen=True)
class Kind:
    """A probe that ships: what it is called, may be used for, learns from, and how.

    `layers` are those it may read; `wanted` chooses its rows, and `label` says what each is. At
    most `kept` vectors stay with it.
    """

    name: str
    about: str
    license: str
    layers: tuple[int, ...]
    recipe: ProbeRecipe
    kept: int
    wanted: Callable[[Sequence[Row]], list[Row]]
    label: Callable[[Row], str]


def _language_rows(rows: Sequence[Row]) -> list[Row]:
    """Sentences of synthesizers."""
    return [row for row in rows if row.corpus == SYNTHETIC and _is_sentence(row)]


def _is_sentence(row: Row) -> bool:
    return row.split == "train" and row.label == "chunk"


def _emotion_rows(rows: Sequence[Row]) -> list[Row]:
    """Acted speech for training, of the emotions that several sets have."""
    mine = [row for row in rows if row.corpus in EMOTION_SETS and row.split == "train"]
    return [row for row in mine if common_emotion(row.label)]


LANGUAGE = Kind(
    name="language",
    about="Which language is spoken. Learned from synthesizers: weak on people, see the card.",
    license="CC-BY-SA-4.0",
    layers=(5,),
    recipe=ProbeRecipe(
        strengths=(0.003, 0.01, 0.03), folds=4, false_unknowns=REFUSED_WHEN_CHANGED, seed=SEED
    ),
    kept=1000,
    wanted=_language_rows,
    label=lambda row: row.language,
)
EMOTION = Kind(
    name="emotion",
    about="Which of seven emotions is acted, in English, German and Polish; see the card.",
    license="non-commercial: RAVDESS is CC-BY-NC-SA-4.0, nEMO CC-BY-NC-SA-4.0, EmoDB unclear",
    layers=(2, 3, 4),
    recipe=ProbeRecipe(strengths=(0.003, 0.01, 0.03, 0.1), folds=8, seed=SEED),
    kept=700,
    wanted=_emotion_rows,
    label=lambda row: common_emotion(row.label),
)
KINDS = {kind.name: kind for kind in (LANGUAGE, EMOTION)}


def make(encoder: Encoder, kind: Kind, rows: Sequence[Row], tell: Tell) -> Probe:
    """The probe of a kind; `rows` may have more than it wants."""
    plans = plans_at(encoder, kind.layers)
    wanted = kind.wanted(rows)
    heard = hear_views(encoder, plans, wanted, lambda done, all_: tell("listening", done, all_))
    background, _ = heard_sounds(encoder, plans, [samples for _, samples in sounds(SEED)])
    labels = tuple(kind.label(row) for row in heard.rows)
    examples = Examples(
        heard.vectors,
        labels,
        tuple(f"{row.corpus}/{row.speaker}" for row in heard.rows),
        tuple(plan.space for plan in plans),
        heard.cepstra,
        kind.kept,
    )
    return train(
        kind.name,
        BUNDLED,
        examples,
        kind.recipe,
        background=background,
        license=kind.license,
        about=kind.about,
        tell=lambda done, total, what: tell(what, done, total),
    )


def write_probe(probe: Probe, folder: Path) -> int:
    """Write the two files of a probe; their bytes together."""
    files = to_files(probe)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "probe.safetensors").write_bytes(files.tensors)
    (folder / "probe.json").write_bytes(files.card)
    return len(files.tensors) + len(files.card)


def plans_at(encoder: Encoder, layers: Sequence[int]) -> tuple[Plan, ...]:
    """Mean and deviation of each of `layers`, as they are."""
    return tuple(
        encoder.plan(OutputSpec("", layer, Pooling.MEAN_STD, ""), Windowing()) for layer in layers
    )


def hear_views(
    encoder: Encoder,
    plans: Sequence[Plan],
    rows: Sequence[Row],
    tell: Callable[[int, int], None],
    views: int = VIEWS,
) -> Heard:
    """All `rows` that can be read, `views` times one after the other."""
    random = torch.Generator().manual_seed(SEED)
    ordered = sorted(rows, key=lambda row: (row.seconds, row.path))
    found: list[tuple[Row, Sound, Floats]] = []
    failed: list[str] = []
    done = 0
    for batch in sounds_of(ordered):
        good = [(ordered[place], sound) for place, sound in batch if isinstance(sound, Sound)]
        failed += [f"{ordered[place].path}: {why}" for place, why in batch if isinstance(why, str)]
        mels = [sound.mel for _, sound in good]
        for frames in _views(mels, views, random):
            vectors = vectors_of(encoder, plans, frames)
            found += [(*each, vector) for each, vector in zip(good, vectors, strict=True)]
        done += len(batch)
        tell(done, len(rows))
    return _gathered(found, failed)


def _views(
    mels: Sequence[Floats], views: int, random: torch.Generator
) -> Iterator[Sequence[Frames]]:
    """Frames of clips of nearly one length: as they are, then changed and cut to the shortest."""
    if not mels:
        return
    yield [stacked(mel) for mel in mels]
    shortest = min(map(len, mels)) // 2 * 2
    together = torch.from_numpy(np.stack([mel[:shortest] for mel in mels]))
    for _ in range(1, views):
        yield [Frames(each) for each in normalize(augment(together, Chances(), random)).numpy()]


def _gathered(found: Sequence[tuple[Row, Sound, Floats]], failed: Sequence[str]) -> Heard:
    return Heard(
        tuple(row for row, _, _ in found),
        np.stack([vector for _, _, vector in found]),
        np.array([sound.speech_seconds for _, sound, _ in found], np.float32),
        np.stack([mfcc_delta_vector(sound.mel) for _, sound, _ in found]),
        tuple(failed),
    )
