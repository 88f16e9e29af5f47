"""Why hits are hits: what their vectors are like before the collection's transform."""

import json
from collections.abc import Sequence
from dataclasses import replace

import apsw
import numpy as np

from embedsvc.index.parts import Part
from embedsvc.index.prepared import Doubles
from embedsvc.index.view import SpaceView
from embedsvc.transforms import Transform
from embedsvc.types import Explanation, Floats, Hit, LanguageGuess

GUESSES = 3
"""Languages told of one vector."""


def explained(
    connection: apsw.Connection, view: SpaceView, query: Doubles, found: Sequence[tuple[int, Hit]]
) -> tuple[Hit, ...]:
    """Hits of segments, each with its explanation; `query` (D,) is as it was given."""
    vectors = _vectors(connection, view.part, [sid for sid, _ in found])
    return tuple(
        replace(hit, explanation=_explanation(view.transform, query, vectors[sid]))
        for sid, hit in found
    )


def guesses(transform: Transform | None, vector: Floats) -> tuple[LanguageGuess, ...]:
    """The likeliest languages of a vector (D,), to a transform that knows some."""
    if transform is None or transform.centers is None:
        return ()
    chances = transform.centers.posterior(vector[None])[0]
    order = np.argsort(-chances, kind="stable")[:GUESSES]
    names = transform.centers.languages
    return tuple(LanguageGuess(names[place], float(chances[place])) for place in order)


def _explanation(transform: Transform | None, query: Doubles, vector: Floats) -> Explanation:
    return Explanation(float(vector @ query), guesses(transform, vector))


def _vectors(connection: apsw.Connection, part: Part, sids: Sequence[int]) -> dict[int, Floats]:
    rows = connection.execute(
        "SELECT sid, data FROM vector WHERE sid IN (SELECT value FROM json_each(?))",
        (json.dumps(list(sids)),),
    )
    return {
        sid: np.frombuffer(data, "<f2")[part.start : part.stop].astype(np.float32)
        for sid, data in rows
    }
