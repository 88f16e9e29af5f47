"""Whether a search finds the moment: words of known place in long recordings of real speech.

Letters: T frames at 50 a second of D dimensions, N codes of d.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from embedsvc import samples
from embedsvc.audio import Door, core_frames, decode, features, log_mel, windows
from embedsvc.encoder import Encoder
from embedsvc.evaluation.baseline import cepstra_of
from embedsvc.evaluation.detection import Detection, best_term_weighted_value
from embedsvc.evaluation.ranking import chance_at
from embedsvc.evaluation.spliced import Placed, Question, is_at, overlap
from embedsvc.moments import Coder, Query, Recipe, Stretch, find, fit, pooled, scores_of, units
from embedsvc.timing import FRAME, FRAME_RATE, SAMPLE_RATE
from embedsvc.types import Ask, Codes, Floats, MomentMethod, Moments, OutputSpec, Span, Windowing

DEPTH = 50
"""Detections that a system gives for a query."""

CANDIDATES = 200
MARGIN_SECONDS = 1.0
HALF = 2
"""Frames of which states are kept together: 25 a second, of which all rates are made."""

PASSES = 3
"""Windows encoded at once."""

SAMPLED = 20_000
"""Codes by which the scores of a query are standardized: 27 minutes at 12.5 a second."""

FRAME_RATE_KEPT = FRAME_RATE / HALF

CEPSTRA = "MFCC"


@dataclass(frozen=True)
class Sound:
    """What is kept of one recording, or of a query.

    `states` of each kind are (T / 2, D) in float16; `vectors` of each segmentation are (S, D) and
    `spans` say where.
    """

    samples: int
    states: Mapping[str, NDArray[np.float16]]
    vectors: Mapping[float, Floats] = field(default_factory=dict)
    spans: Mapping[float, tuple[Span, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Archive:
    """Recordings, and what is said in them when."""

    sounds: tuple[Sound, ...]
    placed: tuple[tuple[Placed, ...], ...]

    @property
    def seconds(self) -> float:
        """Length of all."""
        return sum(sound.samples for sound in self.sounds) / SAMPLE_RATE


@dataclass(frozen=True)
class Found:
    """A detection: which recording, when, and how like the query; higher is better."""

    recording: int
    span: Span
    score: float


@dataclass(frozen=True)
class Outcome:
    """How a system did in a task; spans are those of right detections among the first ten."""

    system: str
    task: str
    queries: int
    mtwv: float
    first: float
    ten: float
    recording_first: float
    recording_ten: float
    overlap: float
    overlapping: float
    milliseconds: float
    chance: tuple[float, float]


System = Callable[[Sound], list[Found]]
"""Detections of a query, with comparable scores, the best first."""


def heard(
    encoder: Encoder,
    sound: Floats,
    layers: Sequence[int],
    lengths: Sequence[float] = (),
    width: int = HALF,
) -> Sound:
    """Pass a sound (N,) through the encoder; segments of `lengths` seconds go on by half of it.

    A length of 0 is the whole. Of states, means of `width` are kept.
    """
    plan = encoder.plan(OutputSpec(), Windowing())
    wanted = sorted({*layers, plan.layer})
    parts: dict[int, list[Floats]] = defaultdict(list)
    todo = windows(sound, Windowing())
    for first in range(0, len(todo), PASSES):
        batch = todo[first : first + PASSES]
        asks = [Ask(tuple(wanted), core_frames(window)) for window in batch]
        answers = encoder.encode([features(window.samples) for window in batch], asks)
        for answer in answers:
            for layer in wanted:
                parts[layer].append(answer.frames[layer])
    frames = {layer: np.concatenate(parts[layer]) for layer in wanted}
    spans = {length: tuple(_segments(len(sound), length)) for length in lengths}
    vectors = {
        length: np.stack(
            [
                encoder.finish(plan, _moments(frames[plan.layer][_frames(span)]))
                for span in spans[length]
            ]
        )
        for length in lengths
    }
    mel = cepstra_of(log_mel(sound)).astype(np.float32)
    kinds = {_kind(layer): pooled(frames[layer], width) for layer in layers}
    kinds[CEPSTRA] = pooled(mel, 2 * width)
    kept = {kind: states.astype(np.float16) for kind, states in kinds.items()}
    return Sound(len(sound), kept, vectors, spans)


def segments(archive: Archive, length: float) -> System:
    """The nearest segments of that length, as a search without moments gives them."""
    matrix = np.concatenate([sound.vectors[length] for sound in archive.sounds])
    places = [
        (number, span)
        for number, sound in enumerate(archive.sounds)
        for span in sound.spans[length]
    ]

    def system(query: Sound) -> list[Found]:
        scores = _standardized(matrix @ query.vectors[0][0])
        best = np.argsort(-scores, kind="stable")[:DEPTH]
        return [
            Found(number, span, float(score))
            for (number, span), score in ((places[place], scores[place]) for place in best)
        ]

    return system


@dataclass(frozen=True)
class Coding:
    """Codes of every recording, how those of a query are made, and how many a second."""

    codes: tuple[Codes, ...]
    make: Callable[[Sound], Codes]
    rate: float

    @property
    def step(self) -> int:
        """Samples from one code to the next."""
        return round(SAMPLE_RATE / self.rate)


def coding(archive: Archive, kind: str, rate: float, reach_seconds: float) -> Coding:
    """Codes of one `kind` of states at `rate`, as a collection makes them.

    Each dimension is divided by its deviation over the archive, and the mean of what is within
    `reach_seconds` is taken away.
    """
    states = np.concatenate([sound.states[kind] for sound in archive.sounds]).astype(np.float32)
    matrix = np.diag(1 / (states.std(axis=0) + 1e-6)).astype(np.float32)
    return coding_by(archive, kind, matrix, rate, reach_seconds)


def coding_by(
    archive: Archive, kind: str, matrix: Floats, rate: float, reach_seconds: float
) -> Coding:
    """The same, with states taken through `matrix` (D, d)."""
    recipe = Recipe(kind, 0, round(FRAME_RATE_KEPT / rate), round(reach_seconds * rate), matrix)

    def code(sound: Sound) -> Codes:
        coder = Coder(recipe)
        coder.push(sound.states[kind].astype(np.float32))
        return coder.finish()

    return Coding(tuple(code(sound) for sound in archive.sounds), code, rate)


def fitted(encoder: Encoder, layer: int) -> Recipe:
    """The recipe that a new collection gets."""
    clips = [decode(clip.data(), Door()).samples for clip in samples.one_of_each()]
    states = [heard(encoder, clip, [layer], width=1).states[_kind(layer)] for clip in clips]
    return fit(_kind(layer), layer, [each.astype(np.float32) for each in states])


def kept(archive: Archive, recipe: Recipe) -> Coding:
    """Codes as a collection keeps them."""
    reach_seconds = recipe.reach / recipe.rate
    return coding_by(archive, _kind(recipe.layer), recipe.matrix, recipe.rate, reach_seconds)


def everywhere(coded: Coding, method: MomentMethod) -> System:
    """Look through all codes."""
    stretches = [Stretch(number, 0, codes) for number, codes in enumerate(coded.codes)]
    return _looking(coded, method, lambda _: stretches)


def near(archive: Archive, length: float, coded: Coding, method: MomentMethod) -> System:
    """Look through the codes of the nearest segments of that length, and a second around them."""
    matrix = np.concatenate([sound.vectors[length] for sound in archive.sounds])
    places = [
        (number, span)
        for number, sound in enumerate(archive.sounds)
        for span in sound.spans[length]
    ]

    def stretches(query: Sound) -> Sequence[Stretch]:
        scores = matrix @ query.vectors[0][0]
        best = np.argsort(-scores, kind="stable")[:CANDIDATES]
        return list(_around([places[place] for place in best], coded))

    return _looking(coded, method, stretches)


def measure(
    name: str, system: System, archive: Archive, questions: Sequence[tuple[Question, Sound]]
) -> Iterator[Outcome]:
    """Ask every question that has an answer, and judge what is found, task by task."""
    answers = []
    for question, sound in questions:
        if not judge(question, (), archive).occurrences:
            continue
        started = time.process_time()
        found = system(sound)
        answers.append((question, found, time.process_time() - started))
    for task in dict.fromkeys(question.task for question, *_ in answers):
        of_task = [answer for answer in answers if answer[0].task == task]
        yield _outcome(name, task, of_task, archive)


@dataclass(frozen=True)
class Judged:
    """The detections of one query in order, and at which of its occurrences each is."""

    occurrences: int
    recordings: frozenset[int]
    ranked: tuple[tuple[Found, Placed | None], ...]


def judge(question: Question, found: Sequence[Found], archive: Archive) -> Judged:
    """Which detections are right; one at an occurrence nobody asked for is left out."""
    wanted: dict[int, list[Placed]] = defaultdict(list)
    others: dict[int, list[Placed]] = defaultdict(list)
    for number, placed in enumerate(archive.placed):
        for each in placed:
            if (each.row.corpus, each.row.group) == (question.row.corpus, question.row.group):
                (wanted if question.wants(each.row) else others)[number].append(each)
    ranked: list[tuple[Found, Placed | None]] = []
    seen: set[tuple[int, Span]] = set()
    for one in found:
        right = next((it for it in wanted[one.recording] if is_at(one.span, it.span)), None)
        if right is None:
            if not any(is_at(one.span, other.span) for other in others[one.recording]):
                ranked.append((one, None))
        elif (one.recording, right.span) not in seen:
            seen.add((one.recording, right.span))
            ranked.append((one, right))
    count = sum(map(len, wanted.values()))
    return Judged(count, frozenset(n for n, some in wanted.items() if some), tuple(ranked))


def _outcome(
    name: str,
    task: str,
    answers: Sequence[tuple[Question, list[Found], float]],
    archive: Archive,
) -> Outcome:
    judged = [judge(question, found, archive) for question, found, _ in answers]
    detections = [
        Detection(term, found.score, right is not None)
        for term, each in enumerate(judged)
        for found, right in each.ranked
    ]
    counts = {term: each.occurrences for term, each in enumerate(judged)}
    overlaps = [
        overlap(found.span, right.span)
        for each in judged
        for found, right in each.ranked[:10]
        if right is not None
    ]
    total = len(archive.sounds)
    return Outcome(
        system=name,
        task=task,
        queries=len(judged),
        mtwv=best_term_weighted_value(detections, counts, archive.seconds),
        first=fmean(_within(each, 1) for each in judged),
        ten=fmean(_within(each, 10) for each in judged),
        recording_first=fmean(_recording_within(each, 1) for each in judged),
        recording_ten=fmean(_recording_within(each, 10) for each in judged),
        overlap=fmean(overlaps or [0.0]),
        overlapping=fmean([each >= 0.5 for each in overlaps] or [0.0]),
        milliseconds=1e3 * fmean(seconds for *_, seconds in answers),
        chance=(
            fmean(chance_at(1, total, len(each.recordings)) for each in judged),
            fmean(chance_at(10, total, len(each.recordings)) for each in judged),
        ),
    )


def _within(judged: Judged, count: int) -> bool:
    return any(right is not None for _, right in judged.ranked[:count])


def _recording_within(judged: Judged, count: int) -> bool:
    ranked = list(dict.fromkeys(found.recording for found, _ in judged.ranked))
    return bool(judged.recordings & set(ranked[:count]))


def _looking(
    coded: Coding, method: MomentMethod, stretches: Callable[[Sound], Sequence[Stretch]]
) -> System:
    sample = units(np.concatenate(coded.codes)[:SAMPLED])

    def system(query: Sound) -> list[Found]:
        codes = units(coded.make(query))
        seen = find(Query(codes, method, DEPTH), stretches(query))
        usual = scores_of(method, codes @ sample.T)
        mean, deviation = float(usual.mean()), float(usual.std()) + 1e-9
        return [
            Found(
                moment.recording,
                Span(moment.start * coded.step, moment.end * coded.step),
                (moment.score - mean) / deviation,
            )
            for moment in seen.moments
        ]

    return system


def _around(places: Sequence[tuple[int, Span]], coded: Coding) -> Iterator[Stretch]:
    """The codes of these spans and of what is near them, none twice."""
    margin = round(MARGIN_SECONDS * coded.rate)
    last: tuple[int, int] = (-1, 0)
    for number, span in sorted(places, key=lambda place: (place[0], place[1].start)):
        start = max(0, span.start // coded.step - margin)
        end = -(-span.end // coded.step) + margin
        if last[0] == number:
            start = max(start, last[1])
        if start < end:
            yield Stretch(number, start, coded.codes[number][start:end])
        last = (number, max(end, last[1] if last[0] == number else 0))


def _standardized(scores: Floats) -> Floats:
    result: Floats = (scores - scores.mean()) / (scores.std() + 1e-9)
    return result


def _segments(samples: int, seconds: float) -> Iterator[Span]:
    length = round(seconds * SAMPLE_RATE) or samples
    hop = length // 2
    last = max(0, -(-(samples - length) // hop)) if hop else 0
    for number in range(last + 1):
        yield Span(number * hop, min(number * hop + length, samples))


def _kind(layer: int) -> str:
    return f"layer {layer}"


def _frames(span: Span) -> slice:
    return slice(span.start // FRAME, max(span.start // FRAME + 1, span.end // FRAME))


def _moments(frames: Floats) -> Moments:
    mean = frames.mean(axis=0, dtype=np.float64)
    squares = np.square(frames - mean).sum(axis=0)
    return Moments(
        len(frames), mean.astype(np.float32), squares.astype(np.float32), frames.max(axis=0)
    )
