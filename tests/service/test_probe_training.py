"""Training probes over gRPC: an operation that tells, ends at once, and outlives the server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from embedsvc.probes import Examples
from embedsvc.samples import clips
from embedsvc.testing import serving
from embedsvc.v1 import collection_pb2, embedding_pb2, operation_pb2, probe_pb2, types_pb2
from embedsvc.wire import spaces, tensors
from tests.probes import toys
from tests.service import probing
from tests.service.calls import Stubs, adding, pcm, ready, recording, refused, value
from tests.service.probing import ended, trained, training, workfolder

SPACE = toys.space("t")
QUICK = probe_pb2.ProbeRecipe(strengths=[0.1], folds=2)
SPEAKERS = 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "data"


@pytest.fixture(scope="module")
def probes(home: Path) -> Iterator[Stubs]:
    """A server for these tests alone."""
    with serving({"data": str(home)}) as target, Stubs(target) as stubs:
        yield stubs


@pytest.fixture(scope="module")
def animals(probes: Stubs) -> str:
    """A collection of vectors with labels, some of them without."""
    asked = collection_pb2.CreateCollectionRequest(name="animals")
    asked.foreign_space.CopyFrom(spaces.space_message(SPACE))
    probes.collections.CreateCollection(asked, timeout=30)
    drawn = toys.drawn([SPACE], each=SPEAKERS * 5)
    sent = [
        ready(
            f"r{place}",
            np.stack([vector, vector]),
            "t",
            kind=drawn.labels[place],
            speaker=place // 2 % SPEAKERS,
            year=1980 + place,
        )
        for place, vector in enumerate(drawn.vectors)
    ]
    sent.append(ready("unlabelled", drawn.vectors[:1], "t", speaker=1))
    probes.collections.AddRecordings(adding("animals", *sent), timeout=30)
    return "animals"


def order(name: str, **fields: Any) -> probe_pb2.TrainProbeRequest:
    usual: dict[str, Any] = {
        "collection": "animals",
        "label_field": "kind",
        "group_field": "speaker",
        "recipe": QUICK,
    }
    return probe_pb2.TrainProbeRequest(name=name, **usual | fields)


@pytest.fixture(scope="module")
def spoken(probes: Stubs) -> str:
    """A collection of speech in two spaces, from one layer each."""
    specs = [
        embedding_pb2.OutputSpec(name="low", layer=1, projection=""),
        embedding_pb2.OutputSpec(name="high", layer=5, projection=""),
    ]
    asked = collection_pb2.CreateCollectionRequest(name="spoken", spaces=specs)
    probes.collections.CreateCollection(asked, timeout=30)
    chosen = [clip for clip in clips() if clip.language in {"deu", "eng"}]
    sent = [
        recording(
            clip.path.stem,
            types_pb2.Audio(encoded=clip.data()),
            kind=clip.language,
            speaker=clip.voice,
        )
        for clip in chosen
    ]
    probes.collections.AddRecordings(adding("spoken", *sent), timeout=120)
    return "spoken"


def test_a_probe_reads_the_spaces_of_a_collection_that_it_is_told_to(
    probes: Stubs, spoken: str
) -> None:
    mixing = probe_pb2.ProbeRecipe()
    mixing.CopyFrom(QUICK)
    mixing.mix_layers = True
    both = order("both", collection=spoken, spaces=["low", "high"], recipe=mixing)
    probe = trained(probes, probes.probes.TrainProbe(both))
    assert [space.layer for space in probe.spaces] == [1, 5]
    clip = next(clip for clip in clips() if clip.language == "deu")
    asked = probe_pb2.ClassifyAudioRequest(
        audio=types_pb2.Audio(encoded=clip.data()), probes=["both"]
    )
    (answer,) = probes.probes.ClassifyAudio(asked, timeout=30).classifications
    assert answer.scores[0].label == "deu"


@pytest.mark.parametrize("names", [["low", "low"], ["lower"]])
def test_a_space_is_named_once_and_exists(probes: Stubs, spoken: str, names: list[str]) -> None:
    refusal = refused(probes.probes.TrainProbe, order("x", collection=spoken, spaces=names))
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "spaces")


def test_a_probe_is_trained_on_a_collection(probes: Stubs, animals: str, home: Path) -> None:
    card = probe_pb2.ProbeCard(license="CC0-1.0", about="drawn")
    begun = probes.probes.TrainProbe(order("animal", card=card), timeout=30)
    metadata = operation_pb2.OperationMetadata()
    assert begun.metadata.Unpack(metadata)
    assert (metadata.kind, metadata.target) == ("train-probe", "probes/animal")
    probe = trained(probes, begun)
    assert (probe.name, probe.version, probe.license, probe.about) == (
        "animal",
        1,
        "CC0-1.0",
        "drawn",
    )
    assert probe.labels == ["cat", "dog"]
    assert [each.fingerprint for each in probe.spaces] == ["t"]
    assert probe.figures["accuracy"] > 0.9
    report = json.loads(probe.report)
    assert report["examples"] == {
        "count": 2 * 2 * SPEAKERS * 5,
        "groups": SPEAKERS,
        "labels": {
            name: {"examples": 2 * SPEAKERS * 5, "groups": SPEAKERS} for name in ("cat", "dog")
        },
    }
    assert "NO_BACKGROUND" in {each["code"] for each in report["warnings"]}
    drawn = toys.drawn([SPACE], each=20)
    asked = probe_pb2.ClassifyVectorsRequest(
        probe="animal",
        vectors=tensors.tensor_message(drawn.vectors),
        space_fingerprints=["t"],
    )
    said = probes.probes.ClassifyVectors(asked, timeout=30).classifications
    right = [each.labels == [label] for each, label in zip(said, drawn.labels, strict=True)]
    assert np.mean(right) > 0.8
    assert workfolder(home) == []


def test_a_filter_chooses_and_a_second_training_is_the_second_version(
    probes: Stubs, animals: str
) -> None:
    condition = collection_pb2.Filter(
        range=collection_pb2.Filter.Range(field="year", lt=value(2010))
    )
    first = trained(probes, probes.probes.TrainProbe(order("chosen", filter=condition)))
    second = trained(probes, probes.probes.TrainProbe(order("chosen")))
    assert (first.version, second.version) == (1, 2)
    assert json.loads(first.report)["examples"]["count"] == 60
    assert json.loads(second.report)["examples"]["count"] == 160


def test_without_a_group_the_parts_of_a_recording_stay_together(
    probes: Stubs, animals: str
) -> None:
    probe = trained(probes, probes.probes.TrainProbe(order("alone", group_field="")))
    report = json.loads(probe.report)
    assert report["examples"]["groups"] == 2 * SPEAKERS * 5
    assert "NO_GROUPS" in {each["code"] for each in report["warnings"]}


def test_a_probe_of_audio_knows_what_is_not_speech(probes: Stubs) -> None:
    made = collection_pb2.CreateCollectionRequest(name="sounds")
    probes.collections.CreateCollection(made, timeout=30)
    sent = [
        recording(f"{kind}-{seed}", pcm(probing.sound(kind, 1, seed)), kind=kind, speaker=seed)
        for kind in probing.KINDS
        for seed in range(8)
    ]
    probes.collections.AddRecordings(adding("sounds", *sent), timeout=60)
    probe = trained(probes, probes.probes.TrainProbe(order("sound", collection="sounds")))
    report = json.loads(probe.report)
    assert "NO_BACKGROUND" not in {each["code"] for each in report["warnings"]}
    assert 0 <= probe.figures["unknown_background"] <= 1
    asked = probe_pb2.ClassifyAudioRequest(
        audio=pcm(probing.sound("hiss", 1, 30)), probes=["sound"]
    )
    (said,) = probes.probes.ClassifyAudio(asked, timeout=30).classifications
    assert said.scores[0].label == "hiss"


def test_a_probe_is_trained_on_vectors_in_parts(probes: Stubs, home: Path) -> None:
    read = [toys.space("a"), toys.space("b")]
    drawn = toys.drawn(read)
    messages = training("sent", read, drawn, card=probe_pb2.ProbeCard(about="in parts"))
    probe = trained(probes, probes.probes.TrainProbeOnVectors(messages, timeout=60))
    assert probe.about == "in parts"
    # Of several spaces the best one is chosen, unless they are to be mixed.
    assert len(probe.spaces) == 1
    assert probe.figures["baseline_accuracy"] < probe.figures["accuracy"]
    mixed = probe_pb2.ProbeRecipe(strengths=[0.1], folds=2, mix_layers=True)
    messages = training("sent", read, drawn, recipe=mixed)
    probe = trained(probes, probes.probes.TrainProbeOnVectors(messages, timeout=60))
    assert [each.fingerprint for each in probe.spaces] == ["a", "b"]
    assert workfolder(home) == []


def test_several_labels_and_numbers_are_learned_too(probes: Stubs) -> None:
    drawn = toys.drawn([SPACE])
    several = tuple("pet, dog" if label == "dog" else "pet," for label in drawn.labels)
    some = tuple("" if n % 5 == 0 else text for n, text in enumerate(several))
    told = Examples(drawn.vectors, some, drawn.groups, drawn.spaces)
    multi = probe_pb2.ProbeRecipe(task=probe_pb2.PROBE_TASK_MULTI_LABEL, strengths=[0.1], folds=2)
    begun = probes.probes.TrainProbeOnVectors(training("multi", [SPACE], told, recipe=multi))
    assert trained(probes, begun).labels == ["dog", "pet"]
    numbers = Examples(
        drawn.vectors, tuple(map(str, drawn.vectors[:, 0])), drawn.groups, drawn.spaces
    )
    number = probe_pb2.ProbeRecipe(task=probe_pb2.PROBE_TASK_REGRESSION, strengths=[1], folds=2)
    begun = probes.probes.TrainProbeOnVectors(training("number", [SPACE], numbers, recipe=number))
    assert trained(probes, begun).figures["r2"] > 0.5
    asked = probe_pb2.ClassifyVectorsRequest(
        probe="number",
        vectors=tensors.tensor_message(drawn.vectors[:1]),
        space_fingerprints=["t"],
    )
    (said,) = probes.probes.ClassifyVectors(asked, timeout=30).classifications
    assert said.HasField("value")
    assert said.interval_low < said.value < said.interval_high


def test_what_cannot_be_learned_is_told_by_the_operation(probes: Stubs, animals: str) -> None:
    over = ended(probes, probes.probes.TrainProbe(order("none", label_field="color")).name)
    assert over.error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert "'color'" in over.error.message
    one = Examples(np.ones((9, toys.DIM), np.float32), ("a",) * 9, ("1",) * 9, (SPACE,))
    begun = probes.probes.TrainProbeOnVectors(training("one", [SPACE], one), timeout=30)
    over = ended(probes, begun.name)
    assert over.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert refused(probes.probes.GetProbe, probe_pb2.GetProbeRequest(name="one")).code == (
        "NOT_FOUND"
    )


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"name": "A"}, "INVALID_ARGUMENT", "name"),
        ({"name": "a@3"}, "INVALID_ARGUMENT", "name"),
        ({"collection": "nothing"}, "NOT_FOUND", "collection"),
        ({"label_field": ""}, "INVALID_ARGUMENT", "label_field"),
        ({"recipe": probe_pb2.ProbeRecipe(alpha=0.9)}, "INVALID_ARGUMENT", "recipe.alpha"),
        ({"recipe": probe_pb2.ProbeRecipe(folds=1)}, "INVALID_ARGUMENT", "recipe.folds"),
        ({"recipe": probe_pb2.ProbeRecipe(strengths=[-1])}, "INVALID_ARGUMENT", "recipe.strengths"),
        (
            {"recipe": probe_pb2.ProbeRecipe(calibration="hope")},
            "INVALID_ARGUMENT",
            "recipe.calibration",
        ),
        ({"card": probe_pb2.ProbeCard(about="x" * 10_001)}, "INVALID_ARGUMENT", "card.about"),
    ],
)
def test_an_order_that_can_not_be_is_refused_at_once(
    probes: Stubs, animals: str, fields: dict[str, Any], code: str, path: str
) -> None:
    asked = order(**{"name": "x", **fields})
    refusal = refused(probes.probes.TrainProbe, asked)
    assert (refusal.code, refusal.path) == (code, path)


def parts(*given: probe_pb2.ProbeExamples) -> Iterator[Any]:
    kind = probe_pb2.TrainProbeOnVectorsRequest
    config = kind.Config(name="refused", spaces=[spaces.space_message(SPACE)], recipe=QUICK)
    yield kind(config=config)
    for each in given:
        yield kind(examples=each)


def some(rows: Any, labels: int = 2, **fields: Any) -> probe_pb2.ProbeExamples:
    return probe_pb2.ProbeExamples(
        vectors=tensors.tensor_message(np.asarray(rows, np.float32)),
        labels=["a"] * labels,
        **fields,
    )


ROWS = np.ones((2, toys.DIM))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ([], "examples"),
        ([some(np.ones((2, 3)))], "examples.vectors"),
        ([some(ROWS * np.nan)], "examples.vectors"),
        ([some(ROWS, labels=3)], "examples.labels"),
        ([some(ROWS, groups=["a"])], "examples.groups"),
        ([probe_pb2.ProbeExamples(labels=["a"])], "examples.vectors.shape"),
        (
            [some(ROWS), some(ROWS, baseline=tensors.tensor_message(np.ones((2, 1), np.float32)))],
            "examples.baseline",
        ),
    ],
)
def test_examples_that_do_not_fit_are_refused(
    probes: Stubs, home: Path, given: list[probe_pb2.ProbeExamples], path: str
) -> None:
    refusal = refused(probes.probes.TrainProbeOnVectors, parts(*given))
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", path)
    assert workfolder(home) == []


def test_a_space_that_is_there_twice_is_refused(probes: Stubs, home: Path) -> None:
    read = [toys.space("a"), SPACE, toys.space("b"), SPACE]
    sent = training("twice", read, toys.drawn(read))
    refusal = refused(probes.probes.TrainProbeOnVectors, sent)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "config.spaces[3]")
    assert workfolder(home) == []


def test_two_names_of_one_space_are_refused(probes: Stubs) -> None:
    same = [embedding_pb2.OutputSpec(name=name, layer=1) for name in ("one", "other")]
    made = collection_pb2.CreateCollectionRequest(name="alike", spaces=same)
    probes.collections.CreateCollection(made, timeout=30)
    asked = order("x", collection="alike", spaces=["one", "other"])
    refusal = refused(probes.probes.TrainProbe, asked)
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "spaces[1]")


def test_a_collection_of_vectors_that_have_lengths_is_refused(probes: Stubs) -> None:
    asked = collection_pb2.CreateCollectionRequest(
        name="lengths", foreign_space=types_pb2.Space(fingerprint="u", dim=4)
    )
    probes.collections.CreateCollection(asked, timeout=30)
    refusal = refused(probes.probes.TrainProbe, order("x", collection="lengths"))
    assert (refusal.code, refusal.path) == ("FAILED_PRECONDITION", "collection")
