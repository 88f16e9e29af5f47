"""What is to be stored: as it is submitted, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from embedsvc.batching import Terms
from embedsvc.errors import EmbedsvcError
from embedsvc.index import Collection, WriteMode
from embedsvc.pipeline import scribing
from embedsvc.pipeline.embedder import ON_CALL
from embedsvc.pipeline.ready import ReadyVectors, segments_of
from embedsvc.pipeline.receipts import Stored
from embedsvc.types import Line, Metadata, Recording, Source


@dataclass(frozen=True)
class Submission:
    """A recording that a caller wants stored; a `file` holds the bytes of a long one.

    `content` may be the error that reading it from the request gave. `transcript` is what the
    caller knows to be said.
    """

    id: str
    metadata: Metadata
    content: Source | ReadyVectors | EmbedsvcError
    file: BinaryIO | None = None
    transcript: tuple[Line, ...] = ()


@dataclass(frozen=True)
class WriteOptions:
    """How to store: `request_id` makes the write safe to repeat."""

    mode: WriteMode = WriteMode.UPSERT
    skip_unchanged: bool = False
    request_id: str = ""
    request_digest: str = ""
    terms: Terms = ON_CALL


def ready_recording(
    collection: Collection, submission: Submission, content: ReadyVectors
) -> Recording:
    """A recording of vectors made before; raises as `segments_of` and `scribing.stored` do.

    Nobody knows how long it is, so that its transcript lasts until the end of its last segment.
    """
    made = segments_of(content, collection)
    end = max((each.span.end for each in made), default=0)
    lines = scribing.stored(collection.texts.recipe, submission.transcript, end)
    return Recording(submission.id, made, submission.metadata, lines=lines)


def sorted_out(
    submissions: Sequence[Submission],
    outcomes: Sequence[tuple[Stored, Recording | None] | BaseException],
) -> tuple[list[Stored], list[Recording]]:
    """What became of each submission, and the recordings that are to be written."""
    results: list[Stored] = []
    recordings: list[Recording] = []
    for submission, outcome in zip(submissions, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            results.append(Stored(submission.id, error=outcome))
            continue
        stored, recording = outcome
        if recording is not None:
            stored = replace(stored, place=len(recordings))
            recordings.append(recording)
        results.append(stored)
    return results, recordings
