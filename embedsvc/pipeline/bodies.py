"""Heads of other models, served beside those of the model: each body is loaded once for all of its.

A body is what comes before the heads of a checkpoint: a w2v-BERT encoder of its own, or one of
wav2vec 2.0, which reads samples. Heads that were trained on the very weights that are served anyway
read the served model's own states.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from embedsvc.batching import MAIN, Model, measured, noise_samples
from embedsvc.encoder import Checkpoint, Encoder, return_freed
from embedsvc.encoder.ctc import AnyCheckpoint, CtcHead, load_heads, resolve_ctc
from embedsvc.encoder.waveform import WaveformCheckpoint, WaveformEncoder, has_languages
from embedsvc.errors import EmbedsvcError, FailedPrecondition, InvalidArgument
from embedsvc.languages import normalize
from embedsvc.pipeline.heads import Heads
from embedsvc.timing import FRAME, MIN_SAMPLES
from embedsvc.types import Runtime

AnyEncoder = Encoder | WaveformEncoder

_LANGUAGES = re.compile(r"(.+):([\w-]+(?:,[\w-]+)*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Wanted:
    """A head of another model under a `name`, or several with names that begin with it.

    `languages` are those that it is to write; of a model with adapters, those to have heads for.
    """

    name: str
    model: str
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bodies:
    """All heads, and the encoders behind them by key: that of the served model is MAIN.

    `added` are the heads of other models.
    """

    heads: Heads
    encoders: Mapping[str, AnyEncoder]
    added: tuple[CtcHead, ...] = ()

    def models(self) -> dict[str, Model]:
        """The encoders as the batcher needs them, each timed."""
        return {key: _model(encoder) for key, encoder in self.encoders.items()}


def wanted(name: str, text: str) -> Wanted:
    """What `MODEL` or `MODEL:LANGUAGE,LANGUAGE` asks for.

    >>> wanted("mms", "facebook/mms-1b-all:deu,swh").languages
    ('deu', 'swh')
    >>> wanted("english", "/models/C:/english").model
    '/models/C:/english'
    """
    found = _LANGUAGES.fullmatch(text)
    if found is None:
        return Wanted(name, text)
    return Wanted(name, found[1], tuple(dict.fromkeys(found[2].split(","))))


def load_bodies(
    served: Encoder, heads: Heads, asked: Iterable[Wanted], device: str = "cpu"
) -> Bodies:
    """The `heads` of the served model and those asked for, with all bodies, in float32 on `device`.

    Raises as `resolve_ctc` and `load_heads` do, with the name of the head, and InvalidArgument for
    a name that is taken.
    """
    own: dict[str, CtcHead] = {}
    checkpoints: dict[str, AnyCheckpoint] = {}
    for each in asked:
        try:
            checkpoint = _resolved(each)
            key = _key(checkpoint, served)
            found = _named(each, checkpoint, key)
        except EmbedsvcError as error:
            raise type(error)(
                f"head {each.name!r} can not be served: {error.message}",
                field=f"model.heads.{each.name}",
            ) from error
        _check_names(found, {*own, *(info.name for info in heads.infos())}, each)
        own |= {head.info.name: head for head in found}
        if key != MAIN:
            checkpoints[key] = _joined(checkpoints.get(key), checkpoint)
    encoders = {key: _loaded(checkpoint, device) for key, checkpoint in checkpoints.items()}
    return_freed()
    added = tuple(own.values())
    return Bodies(heads.joined(added), {MAIN: served, **encoders}, added)


def load_alone(asked: Wanted, threads: int | None = None) -> tuple[AnyEncoder, Heads]:
    """The encoder of another model and its heads, under the names that it has for them itself.

    Raises as `resolve_ctc` and `load_heads` do.
    """
    checkpoint = _resolved(asked)
    heads = _brought(asked, checkpoint)
    encoder = _loaded(checkpoint, "cpu", threads)
    return_freed()
    return encoder, Heads(heads)


def _resolved(asked: Wanted) -> AnyCheckpoint:
    if asked.languages and has_languages(asked.model):
        return resolve_ctc(asked.model, asked.languages)
    return resolve_ctc(asked.model)


def _key(checkpoint: AnyCheckpoint, served: Encoder) -> str:
    """Which body a checkpoint has: one of equal weights, and of the same adapters, is the same."""
    if isinstance(checkpoint, Checkpoint):
        if checkpoint.weights == served.weights and served.runtime is Runtime.TORCH:
            return MAIN
        return f"{checkpoint.name}@{checkpoint.weights[:12]}"
    grid = checkpoint.config.grid
    if grid.hop != FRAME or not FRAME <= grid.field <= MIN_SAMPLES:
        raise FailedPrecondition(
            f"`model` must have a frame every {FRAME} samples, of up to {MIN_SAMPLES} to be "
            f"served, but has one every {grid.hop}, of {grid.field}",
            field="model",
        )
    whole = checkpoint.weights
    if checkpoint.languages:
        place = str(checkpoint.directory.resolve())
        whole = hashlib.sha256(f"{whole}\n{place}".encode()).hexdigest()
    return f"{checkpoint.name}@{whole[:12]}"


def _named(asked: Wanted, checkpoint: AnyCheckpoint, key: str) -> list[CtcHead]:
    """The heads of a checkpoint under the name that is wanted, and on the body they read."""
    heads = _brought(asked, checkpoint)
    # One of a language keeps its language in its name, so that others may join it.
    alone = len(heads) == 1 and not heads[0].adapter
    return [
        replace(
            head,
            info=replace(
                head.info,
                name=asked.name if alone else f"{asked.name}-{head.info.name}",
            ),
            body=replace(head.body, key=key),
        )
        for head in heads
    ]


def _brought(asked: Wanted, checkpoint: AnyCheckpoint) -> list[CtcHead]:
    """The heads of a checkpoint, which write the languages that are wanted of them."""
    heads = load_heads(checkpoint)
    if not heads:
        raise FailedPrecondition(
            f"`model` must have a CTC head, but {asked.model} has none", field="model"
        )
    declared = () if heads[0].adapter else tuple(map(normalize, asked.languages))
    return [
        replace(head, info=replace(head.info, languages=declared or head.info.languages))
        for head in heads
    ]


def _check_names(heads: Sequence[CtcHead], taken: set[str], asked: Wanted) -> None:
    for head in heads:
        if head.info.name in taken:
            raise InvalidArgument(
                f"`model.heads` must have names of their own, but {head.info.name!r} is that of "
                "another head",
                field=f"model.heads.{asked.name}",
            )


def _joined(one: AnyCheckpoint | None, other: AnyCheckpoint) -> AnyCheckpoint:
    """One body with the adapters of both."""
    if not isinstance(one, WaveformCheckpoint) or not isinstance(other, WaveformCheckpoint):
        return other
    return replace(other, languages=tuple(dict.fromkeys((*one.languages, *other.languages))))


def _loaded(checkpoint: AnyCheckpoint, device: str, threads: int | None = None) -> AnyEncoder:
    if isinstance(checkpoint, WaveformCheckpoint):
        return WaveformEncoder.load(checkpoint, threads, device)
    return Encoder.load(checkpoint, threads, device)


def _model(encoder: AnyEncoder) -> Model:
    if isinstance(encoder, WaveformEncoder):
        language = next(iter(encoder.adapters), "")
        sound = partial(noise_samples, language=language)
        return measured(encoder.hear, encoder.layers, sound=sound)
    # On a processor utterances are packed, and cost what they are; a GPU pays for its longest.
    return measured(encoder.encode, encoder.layers, padded=encoder.device.type != "cpu")
