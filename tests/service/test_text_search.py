"""Search by typed text, over a real server."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from embedsvc import Client, Collection
from embedsvc.errors import FailedPrecondition, HeadNotFound, InvalidArgument
from embedsvc.pipeline import sounding
from embedsvc.samples import Clip, clips
from embedsvc.texts.pronouncing import Said
from embedsvc.types import HeadKind, Line, Pooling, Segment, Space, Span, TextUnit, Windowing
from embedsvc.v1 import collection_pb2, search_pb2
from embedsvc.wire import times
from tests.index.builders import vector
from tests.service.calls import Stubs, refused
from tests.texts.test_pronouncing import spoken

PHONES = "r a d j o"
SAYING = [clip for clip in clips("archive") if clip.group == "news"][:6]
OTHERS = [clip for clip in clips("archive") if clip.group == "food"][:4]
SECOND = 16_000


def told(*texts: str, length: int = SECOND) -> tuple[Line, ...]:
    """Lines of a transcript, a second each, with a time for each word."""
    lines = []
    for number, text in enumerate(texts):
        words = text.split()
        step = length // len(words)
        units = [
            TextUnit(word, Span(number * length + at * step, number * length + (at + 1) * step))
            for at, word in enumerate(words)
        ]
        lines.append(Line(text, tuple(units)))
    return tuple(lines)


@pytest.fixture(scope="module")
def client(target: str) -> Iterator[Client]:
    with Client(target) as client:
        yield client


@pytest.fixture(scope="module")
def heard(client: Client) -> Collection:
    """A collection that the head of phones writes down."""
    collection = client.create_collection("heard", texts=["phones"])
    added = collection.add_batch(
        [(clip.path.stem, clip.data(), {"language": clip.language}) for clip in SAYING + OTHERS]
    )
    assert not [each.error for each in added if each.error]
    return collection


@pytest.fixture(scope="module")
def written(client: Client) -> Collection:
    """A collection of transcripts that come with recordings."""
    collection = client.create_collection("written", texts=True)
    for number, clip in enumerate(SAYING[:3]):
        text = ("guten Tag allerseits", "schöne Tage am See", "gute Nacht")[number]
        collection.add(clip.path.stem, clip.data(), transcript=told(text, "noch ein Satz"))
    return collection


def text_of(clip: Clip) -> str:
    return clip.text


def test_a_collection_tells_which_texts_it_keeps(client: Client, heard: Collection) -> None:
    kept = heard.info().texts
    assert kept is not None
    assert [(head.name, head.kind) for head in kept.heads] == [("phones", HeadKind.PHONES)]
    assert client.create_collection("wordless").info().texts is None


def test_what_the_head_hears_is_stored_with_times(client: Client, heard: Collection) -> None:
    clip = SAYING[0]
    (line,) = heard.texts(clip.path.stem)
    assert (line.head, line.kind) == ("phones", HeadKind.PHONES)
    written = client.transcribe(clip.data(), head="phones")
    words = [word for segment in written.segments for word in segment.words]
    assert [unit.text for unit in line.units] == [word.text for word in words]
    length = heard.get([clip.path.stem])[clip.path.stem].length
    ends = [min(word.span.end, length) for word in words]
    assert [unit.span.end for unit in line.units] == ends


def test_texts_and_codes_of_one_pass_change_no_vector(client: Client) -> None:
    clip = SAYING[0]
    both = client.create_collection("both-kept", texts=["phones"], moments=True)
    plain = client.create_collection("none-kept")
    for collection in (both, plain):
        collection.add("a", clip.data())
    pairs = zip(both.segments("a"), plain.segments("a"), strict=True)
    assert all(np.allclose(one.vector, other.vector, atol=1e-3) for one, other in pairs)
    assert both.search(clip.data(), moments=True)[0].id == "a"
    assert both.search_text(phones=PHONES)[0].id == "a"


def test_phones_find_who_says_a_word_and_when(heard: Collection) -> None:
    found = heard.search_text(phones=PHONES, one_per_recording=True)
    assert found.phones == tuple(PHONES.split())
    assert {hit.id for hit in found.hits[:4]} <= {clip.path.stem for clip in SAYING}
    for hit in found:
        assert 0 < hit.score <= 1
        assert hit.score == pytest.approx(hit.scores.phones)
        length = heard.get([hit.id])[hit.id].length
        assert 0 <= hit.span.start < hit.span.end <= length
        assert hit.head == "phones"
        assert 0 < hit.confidence <= 1


@spoken
def test_a_typed_sentence_is_found_by_how_it_sounds(heard: Collection) -> None:
    for clip in SAYING[:3]:
        found = heard.search_text(text_of(clip), language=clip.language)
        assert found[0].id == clip.path.stem
        assert found[0].score > found[1].score


@spoken
def test_an_audio_beside_the_text_ranks_too(heard: Collection) -> None:
    clip = SAYING[0]
    found = heard.search_text(text_of(clip), language=clip.language, audio=clip.data())
    first = found[0]
    assert first.id == clip.path.stem
    assert first.score == pytest.approx((2 * (first.scores.phones or 0) + 1) / 3, abs=1e-3)
    assert first.scores.audio == pytest.approx(1, abs=1e-3)
    assert first.scores.phones is not None
    assert len({hit.id for hit in found}) == len(found)


def test_words_of_transcripts_are_found_with_their_own_times(written: Collection) -> None:
    found = written.search_text("TAG")
    assert [(hit.id, hit.text) for hit in found] == [(SAYING[0].path.stem, "Tag")]
    assert found[0].span == Span(5_333, 10_666)
    assert found[0].head == ""
    assert found[0].scores.words == pytest.approx(found[0].score)
    assert {hit.id for hit in written.search_text("tag*")} == {
        clip.path.stem for clip in SAYING[:2]
    }
    assert len(written.search_text('" OR NEAR(')) == 0


def test_filters_and_limits_hold(heard: Collection) -> None:
    language = SAYING[0].language
    found = heard.search_text(phones=PHONES, where=f'language = "{language}"', top_k=2)
    assert len(found) == 2
    assert {hit.metadata["language"] for hit in found} == {language}
    assert len(heard.search_text(phones=PHONES, min_score=1.01)) == 0


def test_a_recording_is_unchanged_when_its_transcript_is_too(written: Collection) -> None:
    clip = SAYING[0]
    same = told("guten Tag allerseits", "noch ein Satz")
    again = written.add(clip.path.stem, clip.data(), transcript=same, skip_unchanged=True)
    assert again.unchanged
    other = told("etwas anderes", "noch ein Satz")
    changed = written.add("other", clip.data(), transcript=same)
    assert not changed.unchanged
    changed = written.add("other", clip.data(), transcript=other, skip_unchanged=True)
    assert not changed.unchanged
    assert [line.text for line in written.texts("other")] == [line.text for line in other]
    written.delete(["other"])
    assert len(written.search_text("anderes")) == 0


def test_a_transcript_without_times_lasts_as_long_as_the_recording(written: Collection) -> None:
    clip = SAYING[4]
    said = "heute  ohne\nZeiten"
    written.add("untimed", clip.data(), transcript=said)
    length = written.get(["untimed"])["untimed"].length
    (hit,) = written.search_text("ohne")
    assert (hit.id, hit.text, hit.span) == ("untimed", "ohne", Span(0, length))
    for same in (said, [Line.untimed(said)]):
        again = written.add("untimed", clip.data(), transcript=same, skip_unchanged=True)
        assert again.unchanged
    less = written.add("untimed", clip.data(), transcript="heute", skip_unchanged=True)
    assert not less.unchanged
    assert len(written.search_text("ohne")) == 0
    none = written.add("untimed", clip.data(), transcript=" ", skip_unchanged=True)
    assert not none.unchanged
    assert written.texts("untimed") == []
    written.delete(["untimed"])


@spoken
def test_a_name_is_found_in_transcripts_of_other_scripts(client: Client) -> None:
    collection = client.create_collection("sounding", texts=["transcript:phones"])
    said = {"ell": "στο μουσείο", "rus": "концерт в музее", "eng": "a letter"}
    for (language, text), clip in zip(said.items(), SAYING[:3], strict=True):
        transcript = [Line.untimed(text, language)]
        collection.add(language, clip.data(), transcript=transcript)
        again = collection.add(language, clip.data(), transcript=transcript, skip_unchanged=True)
        assert again.unchanged
    assert len(collection.search_text("museo", match="words")) == 0
    found = collection.search_text("museo", language="spa", match="phones")
    assert {hit.id for hit in found.hits[:2]} == {"ell", "rus"}
    assert found[0].score > 0.8 > found[2].score
    assert found[0].head == "transcript:phones"
    length = collection.get([found[0].id])[found[0].id].length
    assert found[0].span == Span(0, length)
    assert [line.head for line in collection.texts("ell")] == ["", "transcript:phones"]


def test_ready_vectors_may_bring_a_transcript(client: Client) -> None:
    space = Space("elsewhere", "m", "0" * 64, 1, Pooling.MEAN, Windowing(), "", True, 8)
    collection = client.create_collection("ready", foreign_space=space, texts=True)
    segment = Segment(Span(0, SECOND), vector(1))
    collection.add_vectors("a", [segment], "elsewhere", transcript=told("hello there"))
    (hit,) = collection.search_text("there")
    assert (hit.id, hit.span) == ("a", Span(8_000, 16_000))
    collection.add_vectors("b", [segment], "elsewhere", transcript="whenever")
    (hit,) = collection.search_text("whenever")
    assert (hit.id, hit.span) == ("b", Span(0, SECOND))


def test_a_long_recording_brings_its_transcript_by_upload(
    stubs: Stubs, written: Collection
) -> None:
    config = collection_pb2.UploadRecordingRequest.Config(
        collection=written.name,
        id="uploaded",
        transcript=[
            collection_pb2.TranscriptLine(
                text="hochgeladene Rede", span=times.span_message(Span(0, SECOND))
            )
        ],
    )
    messages = [
        collection_pb2.UploadRecordingRequest(config=config),
        collection_pb2.UploadRecordingRequest(audio=SAYING[4].data()),
    ]
    stubs.collections.UploadRecording(iter(messages))
    (hit,) = written.search_text("rede")
    assert (hit.id, hit.span, hit.text) == ("uploaded", Span(0, SECOND), "Rede")
    written.delete(["uploaded"])


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        ({}, "FIELD_INVALID", "text"),
        ({"text": "x" * 1_001}, "FIELD_INVALID", "text"),
        ({"phones": "a" * 1_001}, "FIELD_INVALID", "phones"),
        ({"phones": "1 2"}, "FIELD_INVALID", "phones"),
        ({"text": "hello"}, "FIELD_INVALID", "language_code"),
        ({"text": "hello", "language_code": "q!"}, "FIELD_INVALID", "language_code"),
        ({"text": "!!", "match": search_pb2.TEXT_MATCH_WORDS}, "FIELD_INVALID", "text"),
        ({"text": "a", "match": 9}, "FIELD_INVALID", "match"),
        ({"phones": "a", "top_k": 1_001}, "FIELD_INVALID", "top_k"),
        ({"phones": "a", "space": "none"}, "FIELD_INVALID", "space"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(
    stubs: Stubs, heard: Collection, request_: dict[str, object], reason: str, field: str
) -> None:
    if field == "space":
        request_ = request_ | {"audio": {"encoded": SAYING[0].data()}}
    message = search_pb2.SearchTextRequest(collection=heard.name, **request_)  # type: ignore[arg-type]
    refusal = refused(stubs.search.SearchText, message)
    assert (refusal.reason, refusal.path) == (reason, field)


def test_texts_that_are_not_kept_cannot_be_searched(client: Client, written: Collection) -> None:
    bare = client.create_collection("bare")
    with pytest.raises(FailedPrecondition, match="`text` needs a collection that keeps texts"):
        bare.search_text("hello")
    with pytest.raises(FailedPrecondition, match="`match` phones needs texts of a head"):
        written.search_text(phones="a", match="phones")
    with pytest.raises(FailedPrecondition, match="`transcript` needs a collection that keeps"):
        bare.add("a", SAYING[0].data(), transcript=told("hello"))


def test_a_transcript_that_is_not_of_the_recording_is_refused(written: Collection) -> None:
    late = told("too late", length=10_000_000)
    with pytest.raises(InvalidArgument, match="must end within the") as error:
        written.add("late", SAYING[0].data(), transcript=late)
    assert error.value.field.endswith("transcript[0].words[0].span")
    assert "late" not in written.get(["late"])


def test_a_collection_is_made_only_with_heads_there_are(client: Client, stubs: Stubs) -> None:
    with pytest.raises(HeadNotFound, match="'nobody'"):
        client.create_collection("no", texts=["nobody"])
    with pytest.raises(InvalidArgument, match=r"`texts.heads` must be at most 8 different names"):
        client.create_collection("no", texts=["phones", "phones"])
    message = collection_pb2.CreateCollectionRequest(
        name="no", texts=collection_pb2.CollectionTexts(phone_heads=["phones"])
    )
    refusal = refused(stubs.collections.CreateCollection, message)
    assert refusal.path == "texts.phone_heads"


def test_transcripts_that_take_long_to_say_hold_up_nobody_else(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = threading.Semaphore(0), threading.Event()

    def said(texts: Sequence[str], _language: str) -> list[Said]:
        if texts != ["a"]:  # which only tells whether espeak-ng is there
            asked.release()
            go_on.wait(30)
        return [Said() for _ in texts]

    monkeypatch.setattr(sounding, "said", said)
    collection = client.create_collection("long", texts=["transcript:phones"])
    line, sound = Line.untimed("hello", "eng"), SAYING[0].data()
    with ThreadPoolExecutor(40) as pool:
        adding = [
            pool.submit(collection.add, str(number), sound, transcript=[line])
            for number in range(40)
        ]
        try:
            assert asked.acquire(timeout=30)
            time.sleep(1)
            started = time.monotonic()
            assert len(client.embed(OTHERS[0].data()).vector)
            assert time.monotonic() - started < 10
        finally:
            go_on.set()
        assert [each.result(60).segment_count for each in adding] == [1] * 40
