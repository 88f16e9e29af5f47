"""The likeliest label sequences: prefix beam search over log-probabilities.

With a language model, what is scored is log(all alignments) + what the model adds, as in shallow
fusion (Gulcehre et al. 2015). `native` follows the prefixes, or `reference` where it was not built.

Letters: T frames, V labels, W prefixes in the beam.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc import native, reference
from embedsvc.ctc.ahead import ahead
from embedsvc.ctc.beams import Ended, Problem
from embedsvc.ctc.hot_words import automaton
from embedsvc.ctc.language_model import LanguageModel, Parting
from embedsvc.ctc.reading import Reading, Words
from embedsvc.ctc.runs import Doubles, Labels
from embedsvc.ctc.vocabulary import encode, text
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats, HotWord, Vocabulary

PRUNED = 1e-5
"""A label this much less likely than the best of its frame is not begun there."""

CLOSED_PRUNED = 1e-8
"""The same where only listed words are allowed: what is not likely may be all that is left."""

MOST_BEGUN = 256
"""Labels that may begin in a frame, the likeliest ones: enough for any head that is sure of
anything, and what bounds the time that one of tens of thousands of labels takes."""

SOUND_WIDTH = 4
"""Times as many prefixes are followed where a list tells how words sound, and is too long to look
ahead: it forces labels that are not likely, and what begins a word falls behind silence until the
word is whole."""

MOST_WIDTH = 1024


@dataclass(frozen=True)
class Candidate:
    """A label sequence, and its log-probability with what hot words and language models add.

    `words` are those of a list that the labels sound, each with how many of the labels are its.
    """

    labels: Labels
    score: float
    words: Words | None = None


def beam(
    log_probs: Floats,
    vocabulary: Vocabulary,
    width: int,
    hot_words: Sequence[HotWord] = (),
    n_best: int = 1,
    *,
    summed: bool = True,
    pruned: float | None = None,
    model: LanguageModel | None = None,
) -> tuple[Candidate, ...]:
    """Up to `n_best` of the likeliest label sequences of (T, V), the best first.

    `width` prefixes are followed, or `n_best` if more are asked for. Where a list tells how words
    sound, they are ranked by what is `ahead` of them, too. With `pruned` 0, at most `MOST_BEGUN`
    labels and a width of all prefixes the search is exact. Where alignments are not
    `summed`, a sequence is as likely as its best one: a head that was taught frame by frame is as
    sure of each frame of a label, so that the many ways to say a label twice add up to more than
    the one that was meant. A `model` scores words, and may allow no others than its own: a word
    that is not whole at the end is left out then, if no prefix ends with a whole one.

    Raises InvalidArgument for a width that is not from 1 to `MOST_WIDTH`, and as `automaton` does.
    """
    given = problem(
        log_probs,
        vocabulary,
        width,
        hot_words,
        n_best,
        summed=summed,
        pruned=pruned,
        model=model,
    )
    follow = native.followed if native.library() else reference.followed
    return best(follow(given), given, n_best)


def problem(
    log_probs: Floats,
    vocabulary: Vocabulary,
    width: int,
    hot_words: Sequence[HotWord] = (),
    n_best: int = 1,
    *,
    summed: bool = True,
    pruned: float | None = None,
    model: LanguageModel | None = None,
) -> Problem:
    """What `beam` searches; raises as it does. It serves one search: states of words are in it."""
    followed = max(width, n_best)
    if not 1 <= min(width, n_best) <= followed <= MOST_WIDTH:
        raise InvalidArgument(
            f"`beam` must be from 1 to {MOST_WIDTH} wide, but is {width}, and {n_best} texts are "
            "asked for",
            field="beam",
        )
    if pruned is None:
        pruned = CLOSED_PRUNED if model and model.closed else PRUNED
    boost = max(0.0, *(word.boost for word in hot_words), 0.0)
    frames = log_probs.astype(np.float64)
    begun = _begun(frames, vocabulary.blank, pruned, boost)
    seen = None
    if model and model.closed and model.parting is Parting.SOUND:
        beginning = np.where(begun, frames, -np.inf)
        quiet = [vocabulary.blank, *vocabulary.silent]
        seen = ahead(frames, beginning, model.lexicon, quiet, model.bonus)
        if seen is None:
            followed = min(MOST_WIDTH, SOUND_WIDTH * followed)
    return Problem(
        frames,
        np.nonzero(begun)[1],
        begun.sum(axis=1),
        vocabulary.blank,
        followed,
        summed,
        automaton(hot_words, vocabulary) if hot_words else None,
        Reading(model, vocabulary, _known(hot_words, vocabulary)) if model else None,
        seen,
    )


def best(ended: Ended, problem: Problem, count: int) -> tuple[Candidate, ...]:
    """The best label sequences of a beam, the best first."""
    scores = ended.total + ended.bonus
    if problem.hot:
        scores = scores + problem.hot.last[ended.state]
    whole = scores + _ends(ended, problem)
    # Where only listed words are allowed, perhaps none is whole yet.
    cut = not (whole > -np.inf).any()
    scores = scores if cut else whole
    order = np.argsort(-scores, kind="stable")[:count].tolist()
    return tuple(
        _candidate(ended.prefixes[row], float(scores[row]), problem, cut=cut)
        for row in order
        if scores[row] > -np.inf or row == order[0]
    )


def _ends(ended: Ended, problem: Problem) -> Doubles:
    """What the last words and the end of the text add, (W,)."""
    reading, size = problem.reading, problem.frames.shape[1]
    if reading is None:
        return np.zeros(len(ended.prefixes))
    added = []
    for columns, node, context in zip(
        ended.prefixes, ended.node.tolist(), ended.context.tolist(), strict=True
    ):
        over = reading.over(node, context, partial(_labels, columns, size))
        added.append(-np.inf if over is None else over.score + reading.end(over.context))
    return np.array(added)


def _candidate(columns: Labels, score: float, problem: Problem, *, cut: bool) -> Candidate:
    """A candidate; where it is `cut`, without a last word that is not whole."""
    labels = _labels(columns, problem.frames.shape[1])
    if problem.reading is None:
        return Candidate(labels, score)
    words = problem.reading.words(columns)
    if cut:
        labels = labels[: problem.reading.whole(labels, words)]
    return Candidate(labels, score, words)


def _labels(columns: Labels, size: int) -> Labels:
    return tuple(column % size for column in columns)


def _begun(frames: Doubles, blank: int, pruned: float, boost: float) -> NDArray[np.bool_]:
    """Which labels may begin in each frame, (T, V)."""
    with np.errstate(divide="ignore"):
        margin = np.log(pruned) - boost
    allowed: NDArray[np.bool_] = frames > (
        frames.max(axis=1, initial=-np.inf, keepdims=True) + margin
    )
    allowed[:, blank] = False
    for row in np.flatnonzero(allowed.sum(axis=1) > MOST_BEGUN):
        begun = np.flatnonzero(allowed[row])
        least = np.argpartition(-frames[row, begun], MOST_BEGUN - 1)[MOST_BEGUN:]
        allowed[row, begun[least]] = False
    return allowed


def _known(hot_words: Sequence[HotWord], vocabulary: Vocabulary) -> frozenset[str]:
    """Words of hot words, as the labels write them."""
    if vocabulary.space is None:
        return frozenset()
    written = (text(encode(word.text, vocabulary), vocabulary) for word in hot_words)
    return frozenset(part for each in written for part in each.split())
