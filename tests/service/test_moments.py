"""Search that says when: over a real server, with phrases spliced at known times."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
import soxr

from embedsvc import Client, Collection, MomentMethod, MomentSearch
from embedsvc.audio import Door, decode
from embedsvc.errors import (
    AudioTooLong,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    SpaceMismatch,
)
from embedsvc.moments import recipe_of
from embedsvc.samples import Clip, clips
from embedsvc.types import Floats, Pooling, Segment, Space, Span, TransformRecipe, Windowing

RATE = 16_000
CODE = 1_280
"""Samples of one code."""

Sound = tuple[Floats, int]

EVERYWHERE = MomentSearch()
NEAREST = MomentSearch(candidates=200)


def heard(clip: Clip) -> Floats:
    return decode(clip.data(), Door()).samples


def sound(role: str, language: str, group: str) -> Sound:
    """A clip of the package, to be sent."""
    return one(role, language, group), RATE


def one(role: str, language: str, group: str) -> Floats:
    (found,) = [clip for clip in clips(role) if (clip.language, clip.group) == (language, group)][
        :1
    ]
    return heard(found)


def spliced(*parts: Floats) -> tuple[Floats, list[Span]]:
    """Parts one after the other with short pauses, and where each is."""
    pause = np.zeros(RATE // 4, np.float32)
    joined: list[Floats] = []
    spans = []
    length = 0
    for part in parts:
        spans.append(Span(length, length + len(part)))
        joined += [part, pause]
        length += len(part) + len(pause)
    return np.concatenate(joined), spans


def overlap(left: Span, right: Span) -> float:
    shared = min(left.end, right.end) - max(left.start, right.start)
    return max(0, shared) / (max(left.end, right.end) - min(left.start, right.start))


@pytest.fixture(scope="module")
def client(target: str) -> Iterator[Client]:
    with Client(target) as client:
        yield client


LANGUAGES = ("eng", "deu", "fra", "pol")


@pytest.fixture(scope="module")
def long() -> tuple[Floats, list[Span]]:
    """A minute of speech in four languages."""
    parts = [one("archive", language, group) for group in GROUPS for language in LANGUAGES]
    return spliced(*parts)


GROUPS = ("food", "music", "news", "trip", "weather")


@pytest.fixture(scope="module")
def talks(client: Client, long: tuple[Floats, list[Span]]) -> Collection:
    """That recording, two short ones, and one of vectors made elsewhere."""
    made = client.create_collection("talks", moments=True)
    made.add("long", (long[0], RATE), {"kind": "long"})
    made.add("music", sound("archive", "ita", "music"), {"kind": "short"})
    made.add("trip", sound("archive", "ita", "trip"), {"kind": "short"})
    space = made.info().space
    vector = client.embed(sound("archive", "eng", "music")).vector
    made.add_vectors("bare", [Segment(Span(0, RATE), vector)], space.fingerprint)
    return made


def place(spans: list[Span], language: str, group: str) -> Span:
    return spans[GROUPS.index(group) * len(LANGUAGES) + LANGUAGES.index(language)]


def test_a_collection_tells_how_it_keeps_frames(client: Client, talks: Collection) -> None:
    kept = talks.info().moments
    assert kept is not None
    assert (kept.layer, kept.rate, kept.dim) == (client.info().default_layer, 12.5, 64)
    assert client.create_collection("without").info().moments is None


@pytest.mark.parametrize("method", list(MomentMethod))
@pytest.mark.parametrize("candidates", [None, 200])
def test_a_slice_is_found_where_it_was_cut(
    talks: Collection, long: tuple[Floats, list[Span]], method: MomentMethod, candidates: int | None
) -> None:
    samples, spans = long
    start = place(spans, "fra", "news").start + RATE // 2
    cut = Span(start, start + RATE)
    found = talks.search(
        (samples[cut.start : cut.end], RATE), moments=MomentSearch(method, candidates)
    )
    best = found[0]
    assert best.id == "long"
    assert abs(best.span.start - cut.start) <= 2 * CODE
    assert abs(best.span.end - cut.end) <= 2 * CODE
    assert best.query_span is not None
    assert 0 <= best.query_span.start < best.query_span.end <= RATE
    assert found.scanned_codes
    assert found.timing.moments > 0
    assert (best.segment is None) is (candidates is None)


@pytest.mark.parametrize("moments", [True, NEAREST])
def test_another_voice_is_found_at_its_time(
    talks: Collection, long: tuple[Floats, list[Span]], moments: MomentSearch | bool
) -> None:
    query = sound("query", "eng", "news")
    best = talks.search(query, moments=moments)[0]
    assert best.id == "long"
    assert overlap(best.span, place(long[1], "eng", "news")) > 0.5


def test_moments_do_not_overlap_and_are_ordered(talks: Collection) -> None:
    hits = talks.search(sound("query", "eng", "trip"), top_k=50, moments=True).hits
    scores = [hit.moment_score for hit in hits if hit.moment_score is not None]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 + 1e-6 for score in scores)
    spans = sorted(hit.span for hit in hits if hit.id == "long")
    assert len(spans) > 3
    assert all(before.end <= after.start for before, after in pairwise(spans))


def test_filters_and_once_for_each_recording_hold(talks: Collection) -> None:
    query = sound("query", "eng", "news")
    for moments in (NEAREST, EVERYWHERE):
        short = talks.search(query, where='kind = "short"', top_k=50, moments=moments)
        assert {hit.id for hit in short} == {"music", "trip"}
        each = talks.search(query, one_per_recording=True, moments=moments)
        coded = [hit.id for hit in each if hit.moment_score is not None]
        assert sorted(coded) == ["long", "music", "trip"]


def test_recordings_without_codes_come_last_with_their_segment(talks: Collection) -> None:
    found = talks.search(sound("archive", "eng", "music"), top_k=50, moments=NEAREST)
    last = found[len(found) - 1]
    assert (last.id, last.span) == ("bare", Span(0, RATE))
    assert (last.moment_score, last.query_span) == (None, None)
    assert last.score > 0.99
    everywhere = talks.search(sound("archive", "eng", "music"), top_k=50, moments=EVERYWHERE)
    assert "bare" not in {hit.id for hit in everywhere}


def test_scores_may_have_a_least(talks: Collection) -> None:
    query = sound("query", "eng", "news")
    every = talks.search(query, top_k=50, moments=NEAREST)
    least = 0.3
    some = talks.search(query, top_k=50, moments=MomentSearch(candidates=200, min_score=least))
    expected = [hit for hit in every if hit.moment_score is not None and hit.moment_score >= least]
    assert list(some) == expected
    assert 0 < len(some) < len(every)


def test_a_stored_recording_is_looked_for_in_the_others(talks: Collection) -> None:
    for moments in (NEAREST, EVERYWHERE):
        found = talks.search(recording="music", top_k=50, moments=moments)
        assert "music" not in {hit.id for hit in found}
        assert found[0].query_span is not None


def test_part_of_a_long_query_is_found_and_told(
    talks: Collection, long: tuple[Floats, list[Span]]
) -> None:
    samples, spans = long
    wanted = place(spans, "pol", "weather")
    query, parts = spliced(
        one("archive", "spa", "food"),
        samples[wanted.start : wanted.end],
        one("archive", "tur", "news"),
    )
    best = talks.search((query, RATE), moments=MomentSearch(MomentMethod.LOCAL))[0]
    assert overlap(best.span, wanted) > 0.5
    assert best.query_span is not None
    assert overlap(best.query_span, parts[1]) > 0.5


def test_other_rates_are_answered_on_the_axis_of_the_recording(
    client: Client, long: tuple[Floats, list[Span]]
) -> None:
    samples, spans = long
    made = client.create_collection("resampled", moments=True)
    made.add("high", (np.asarray(soxr.resample(samples, RATE, 44_100), np.float32), 44_100))
    wanted = place(spans, "deu", "trip")
    cut = samples[wanted.start : wanted.end]
    low = np.asarray(soxr.resample(cut, RATE, 24_000), np.float32)
    best = made.search((low, 24_000), moments=EVERYWHERE)[0]
    assert abs(best.span.start - wanted.start) <= 2 * CODE
    assert abs(best.span.end - wanted.end) <= 2 * CODE


def test_the_shortest_query_is_answered(talks: Collection) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 560).astype(np.float32)
    for method in MomentMethod:
        found = talks.search((noise, RATE), moments=MomentSearch(method))
        assert all(hit.query_span == Span(0, 560) for hit in found)


def test_codes_go_with_their_recording(client: Client) -> None:
    made = client.create_collection("brief", moments=True)
    made.add("a", sound("archive", "eng", "music"))
    assert len(made.search(sound("query", "eng", "news"), moments=EVERYWHERE))
    made.delete(["a"])
    found = made.search(sound("query", "eng", "news"), moments=EVERYWHERE)
    assert (len(found), found.scanned_codes) == (0, 0)


def test_an_answer_is_always_the_same(talks: Collection) -> None:
    query = sound("query", "deu", "news")
    for moments in (NEAREST, EVERYWHERE):
        first, second = (talks.search(query, top_k=30, moments=moments).hits for _ in range(2))
        assert first == second


def test_what_cannot_be_asked_is_refused(client: Client, talks: Collection) -> None:
    query = sound("query", "eng", "news")
    plain = client.create_collection("plain")
    plain.add("a", query)
    with pytest.raises(FailedPrecondition, match="keeps codes"):
        plain.search(query, moments=True)
    with pytest.raises(InvalidArgument, match="has a vector"):
        talks.search(
            vector=client.embed(query).vector,
            fingerprint=talks.info().space.fingerprint,
            moments=True,
        )
    with pytest.raises(InvalidArgument, match="candidates"):
        talks.search(query, moments=MomentSearch(candidates=1_001))
    with pytest.raises(AudioTooLong, match="60 s"):
        talks.search((np.tile(query[0], 40), RATE), moments=True)
    with pytest.raises(AudioTooLong, match="recording_id"):
        talks.search(recording="long", moments=True)
    space = Space("made", "elsewhere", "", 0, Pooling.MEAN, Windowing(), "", True, 8)
    with pytest.raises(InvalidArgument, match="elsewhere"):
        client.create_collection("foreign", foreign_space=space, moments=True)
    with pytest.raises(InvalidArgument, match="layer"):
        client.create_collection("deep", moments=True, moment_layer=99)


def test_codes_of_another_model_are_not_compared(tmp_path: Path) -> None:
    query = sound("query", "eng", "news")
    with Client(":local:", data=tmp_path) as client:
        client.create_collection("talks", moments=True).add("a", query)
    (path,) = tmp_path.glob("collections/*/rows.db")
    connection = apsw.Connection(str(path))
    recipe: Any = connection.execute("SELECT value FROM meta WHERE key = 'codes'").get
    other = replace(recipe_of(recipe), space="0" * 32)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'codes'", (other.to_bytes(),))
    connection.close()
    with Client(":local:", data=tmp_path) as client:
        talks = client.collection("talks")
        with pytest.raises(SpaceMismatch, match="0000"):
            talks.search(query, moments=True)
        with pytest.raises(SpaceMismatch, match="0000"):
            talks.add("b", query)
        # Codes that are stored can still be compared with each other, and vectors with vectors.
        assert talks.search(query)[0].id == "a"
        assert len(talks.search(recording="a", moments=EVERYWHERE)) == 0


def test_damaged_codes_are_told(tmp_path: Path) -> None:
    query = sound("query", "eng", "news")
    with Client(":local:", data=tmp_path) as client:
        client.create_collection("talks", moments=True).add("torn", query)
    (path,) = tmp_path.glob("collections/*/rows.db")
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE code SET data = zeroblob(length(data))")
    connection.close()
    with Client(":local:", data=tmp_path) as client:
        talks = client.collection("talks")
        for moments in (NEAREST, EVERYWHERE):
            with pytest.raises(DataLoss, match="torn"):
                talks.search(query, moments=moments)
        assert talks.search(query)[0].id == "torn"


@pytest.mark.slow
def test_a_second_is_found_in_an_hour(client: Client, long: tuple[Floats, list[Span]]) -> None:
    """And takes no more than a moment."""
    samples, spans = long
    wanted = place(spans, "fra", "news")
    cut = Span(wanted.start + RATE, wanted.start + 2 * RATE)
    rest = np.concatenate([samples[: wanted.start], samples[wanted.end :]])
    copies = 3_600 * RATE // len(rest)
    before = np.tile(rest, copies // 2)
    hour = np.concatenate([before, samples[wanted.start : wanted.end], before])
    made = client.create_collection("hour", moments=True)
    made.add("hour", (hour, RATE))
    shift = len(before) - wanted.start
    found = made.search((samples[cut.start : cut.end], RATE), moments=EVERYWHERE)
    assert abs(found[0].span.start - (cut.start + shift)) <= 2 * CODE
    assert abs(found[0].span.end - (cut.end + shift)) <= 2 * CODE
    assert found.scanned_codes == -(-len(hour) // CODE) - (len(hour) % CODE < 400)
    print(f"{found.timing.moments * 1e3:.0f} ms for an hour")  # noqa: T201  # a measurement


def test_candidates_are_those_of_a_fitted_collection(client: Client) -> None:
    """The nearest segments are found through the transform, and the moment within them."""
    made = client.create_collection("fitted-talks", moments=True)
    for clip in clips("archive"):
        made.add(clip.path.stem, clip.path, {"language": clip.language})
    made.fit(TransformRecipe(language="language", dim=32))
    query = clips("archive")[7]
    plain = made.search(query.path, top_k=3)
    found = made.search(query.path, top_k=3, moments=MomentSearch(candidates=20))
    client.delete_collection("fitted-talks")
    assert found[0].id == plain[0].id == query.path.stem
    assert found[0].score == pytest.approx(plain[0].score, abs=1e-5)
    assert found[0].moment_score == pytest.approx(1, abs=1e-3)
