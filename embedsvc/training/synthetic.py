"""Shards of synthetic speech: one for each language, and one for each voice of others."""

from dataclasses import dataclass
from itertools import islice

from embedsvc.training.corpus import Clip
from embedsvc.training.espeak import Espeak, Spoken
from embedsvc.training.rendering import Fault, Sound, render
from embedsvc.training.shards import Job, ShardWriter
from embedsvc.training.speakers import UNTIMED, Speaker, speak
from embedsvc.training.utterances import Pool, Utterance, plan

CORPUS = "synthetic"
SYNTHESIZER = "espeak-ng"
MOST_BATCHES = 200
LEAST_TRIES = 60
MOST_TRIES_A_CLIP = 8
"""A language of which fewer are fit is given up before it has all its seconds."""


BATCH = 64
"""Utterances that a program says in one run."""

_OTHER_SEED = 1_000
"""Added to the seed, so that other voices say other things."""


@dataclass(frozen=True)
class Order:
    """What a language is to say: about `seconds`, planned from `seed`, by an espeak-ng."""

    pool: Pool
    seconds: float
    seed: int
    version: str


@dataclass(frozen=True)
class OtherOrder:
    """What a voice is to say: about `seconds`, planned from `seed`, by a version of its program."""

    pool: Pool
    speaker: Speaker
    seconds: float
    seed: int
    version: str


def make(job: Job, order: Order) -> None:
    """Write the shard of a language."""
    espeak = Espeak()
    language = order.pool.language.code
    with ShardWriter(job) as shard:
        for number, utterance in enumerate(plan(order.pool, order.seed)):
            clips = shard.counts["clips"]
            tried_enough = number > LEAST_TRIES + MOST_TRIES_A_CLIP * clips
            if shard.seconds >= order.seconds or tried_enough:
                break
            if job.is_left_out(number):
                continue
            sound = render(espeak.speak(utterance.text, utterance.voice), utterance, language)
            if isinstance(sound, Fault):
                shard.counts[sound] += 1
            else:
                shard.add(_clip(utterance, order, sound), sound.features())


def make_other(job: Job, order: OtherOrder) -> None:
    """Write the shard of a voice of another synthesizer."""
    said = plan(order.pool, order.seed + _OTHER_SEED)
    with ShardWriter(job) as shard:
        for number in range(MOST_BATCHES):
            if shard.seconds >= order.seconds:
                break
            batch = list(islice(said, BATCH))
            if job.is_left_out(number):
                continue
            for utterance, spoken in zip(batch, speak(order.speaker, batch), strict=True):
                if shard.seconds < order.seconds:
                    _add_other(shard, order, utterance, spoken)


def _add_other(
    shard: ShardWriter, order: OtherOrder, utterance: Utterance, spoken: Spoken | None
) -> None:
    sound = render(spoken, utterance, order.speaker.language) if spoken else Fault.SILENT
    if isinstance(sound, Fault):
        shard.counts[sound] += 1
        return
    untimed = order.speaker.program in UNTIMED
    phones = tuple(phone for phone in sound.phones.phones if phone or not untimed)
    clip = Clip(
        corpus=CORPUS,
        synthesizer=order.speaker.program,
        language=order.speaker.language,
        voice=order.speaker.name,
        group=utterance.group,
        text=utterance.text,
        begin=0,
        frames=0,
        phones=phones,
        times=() if untimed else sound.phones.times,
    )
    shard.add(clip, sound.features())


def _clip(utterance: Utterance, order: Order, sound: Sound) -> Clip:
    return Clip(
        corpus=CORPUS,
        synthesizer=SYNTHESIZER,
        language=order.pool.language.code,
        voice=utterance.voice.identifier,
        group=utterance.group,
        text=utterance.text,
        begin=0,
        frames=0,
        phones=sound.phones.phones,
        times=sound.phones.times,
        manner=utterance.voice.manner,
    )
