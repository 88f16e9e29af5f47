"""Probes from Python: trained, asked, moved, deleted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embedsvc import Client
from embedsvc.client import Examples
from embedsvc.client.probes import _parts
from embedsvc.errors import AudioEmpty, InvalidArgument, ProbeNotFound, SpaceMismatch
from embedsvc.samples import clips
from embedsvc.types import PcmFormat, ProbeInfo, ProbeRecipe, SampleFormat, Timeline
from tests.probes import toys
from tests.service.calls import s16, speech

QUICK = ProbeRecipe(strengths=(0.1,), folds=2)
LANGUAGES = ("deu", "eng")


@pytest.fixture(scope="module")
def client(target: str) -> Iterator[Client]:
    with Client(target) as client:
        yield client


@pytest.fixture(scope="module")
def language(client: Client) -> ProbeInfo:
    """A probe of two languages, trained on a collection of this client."""
    chosen = [clip for clip in clips() if clip.language in LANGUAGES]
    collection = client.create_collection("of-two")
    labels = [{"language": clip.language, "voice": clip.voice} for clip in chosen]
    recordings = [
        (clip.path.stem, clip.data(), label) for clip, label in zip(chosen, labels, strict=True)
    ]
    assert all(result.error is None for result in collection.add_batch(recordings))
    told: list[object] = []
    info = client.probes.train(
        "language",
        "of-two",
        "language",
        group="voice",
        where='language in ("deu", "eng")',
        recipe=QUICK,
        license="CC0-1.0",
        tell=told.append,
    )
    assert told
    return info


def test_a_probe_is_trained_and_listed(client: Client, language: ProbeInfo) -> None:
    assert (language.name, language.labels, language.license) == ("language", LANGUAGES, "CC0-1.0")
    assert language in client.probes.list()
    assert client.probes.get(f"language@{language.version}") == language


def test_a_probe_is_asked_about_files_samples_and_hours(
    client: Client, language: ProbeInfo, tmp_path: Path
) -> None:
    clip = next(clip for clip in clips() if clip.language == "deu")
    found = client.classify(clip.path, ["language"], timeline=Timeline())
    assert found.answers[0].classification.scores[0].label == "deu"
    assert found.labels in {(), ("deu",)}
    assert found.timelines["language"][-1].span.seconds[1] == pytest.approx(found.seconds)
    beside = client.embed(clip.path, probes=["language"])
    (answer,) = beside.answers
    assert answer.classification.scores[0].label == "deu"
    long = np.tile(speech(10), 70)  # more than goes in one message
    found = client.classify((long, 16_000), ["language"])
    assert found.seconds == 700
    with pytest.raises(AudioEmpty):
        client.classify(b"", ["language"])


def test_a_live_stream_is_asked_about(client: Client, language: ProbeInfo) -> None:
    data = s16(speech(4))
    chunks = [data[at : at + 9_999] for at in range(0, len(data), 9_999)]
    pcm = PcmFormat(SampleFormat.S16, 16_000)
    heard = list(
        client.classify_stream(chunks, pcm, ["language"], timeline=Timeline(32_000, 16_000))
    )
    assert [window.span.seconds for window in heard] == [(0, 2), (1, 3), (2, 4)]
    assert {len(window.answers) for window in heard} == {1}
    assert {len(window.held) for window in heard} == {1}


def test_vectors_that_somebody_has_are_learned_and_answered(client: Client) -> None:
    drawn = toys.drawn([toys.space("v")])
    given = [
        Examples(drawn.vectors[part], drawn.labels[part], drawn.groups[part])
        for part in (slice(0, 30), slice(30, None))
    ]
    info = client.probes.train_on_vectors("pets", given, [toys.space("v")], recipe=QUICK)
    assert info.labels == ("cat", "dog")
    said = client.classify_vectors(drawn.vectors, "pets", ["v"], top_n=1)
    right = [
        each.classification.scores[0].label == label
        for each, label in zip(said, drawn.labels, strict=True)
    ]
    assert np.mean(right) > 0.9
    with pytest.raises(SpaceMismatch):
        client.classify_vectors(drawn.vectors, "pets", ["w"])


def test_a_probe_moves_by_a_folder(client: Client, language: ProbeInfo, tmp_path: Path) -> None:
    folder = client.probes.export("language", tmp_path / "kept")
    assert sorted(each.name for each in folder.iterdir()) == ["probe.json", "probe.safetensors"]
    moved = client.probes.import_("moved", folder)
    assert (moved.name, moved.version, moved.digest) == ("moved", 1, language.digest)
    client.probes.delete("moved")
    with pytest.raises(ProbeNotFound):
        client.probes.delete("moved")
    client.probes.delete("moved", missing_ok=True)
    with pytest.raises(InvalidArgument, match="must be a folder with"):
        client.probes.import_("moved", tmp_path / "nowhere")


def test_examples_are_sent_in_parts_that_fit() -> None:
    drawn = toys.drawn([toys.space()])
    assert drawn.baseline is not None
    given = Examples(drawn.vectors, drawn.labels, drawn.groups, drawn.baseline)
    parts = list(_parts(given, 1_000))
    assert max(part.ByteSize() for part in parts) <= 1_200
    assert [label for part in parts for label in part.labels] == list(drawn.labels)
    assert sum(part.baseline.shape[0] for part in parts) == len(drawn.labels)
