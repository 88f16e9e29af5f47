"""Probes for a real server: of its own model's space, trained in a moment."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2

from embedsvc.probes import Examples, Probe, to_files, train
from embedsvc.types import Floats, Space
from embedsvc.v1 import embedding_pb2, probe_pb2, types_pb2
from embedsvc.wire import probes, spaces, tensors
from tests.probes import toys
from tests.service.calls import Stubs, arrays, pcm, request, speech

KINDS = ("hum", "hiss")


def sound(kind: str, seconds: float = 2.0, seed: int = 0) -> Floats:
    """Samples (N,) of a voice, or of noise: an encoder tells them apart easily."""
    if kind == "hum":
        return speech(seconds, seed)
    random = np.random.default_rng(seed)
    pace = random.uniform(500, 1500)
    level = 0.5 + 0.4 * np.sin(np.arange(round(seconds * 16_000)) / pace)
    return np.asarray(0.1 * level * random.standard_normal(len(level)), np.float32)


ORDERS = (("hum",), ("hiss",), ("hum", "hiss"), ("hiss", "hum"), ("hum", "hiss", "hum"))
"""What a recording has after each other: how a sound is heard depends on what is around it."""

PIECE = 50
"""Frames of an example."""


def spec(layer: int, pooling: types_pb2.Pooling.ValueType) -> embedding_pb2.OutputSpec:
    """An output without a projection."""
    return embedding_pb2.OutputSpec(
        layer=layer, pooling=pooling, projection="", dtype=types_pb2.DTYPE_FLOAT32
    )


def learned(
    stubs: Stubs, *layers: int, pooling: types_pb2.Pooling.ValueType = types_pb2.POOLING_MEAN
) -> Probe:
    """A probe that tells hums from hisses by layers of the server's model."""
    vectors: list[Floats] = []
    labels: list[str] = []
    for seed in range(2 * len(ORDERS)):
        order = ORDERS[seed % len(ORDERS)]
        samples = np.concatenate([sound(kind, 3, seed) for kind in order])
        asked = [spec(layer, types_pb2.POOLING_NONE) for layer in layers]
        found = stubs.embedding.Embed(request(pcm(samples), *asked), timeout=60).embedding
        for place, kind in enumerate(order):
            part = [frames[150 * place : 150 * place + 148] for frames in arrays(found)]
            rows = _frames(part) if pooling == types_pb2.POOLING_NONE else _pieces(part)
            vectors.append(rows)
            labels += [kind] * len(rows)
    asked = [spec(layer, pooling) for layer in layers]
    told = stubs.embedding.Embed(request(pcm(speech()), *asked), timeout=60).embedding
    read = tuple(spaces.space(output.space) for output in told.outputs)
    groups = tuple(str(place // 3) for place in range(len(labels)))
    examples = Examples(np.concatenate(vectors), tuple(labels), groups, read)
    recipe = replace(toys.QUICK, false_unknowns=0.0)
    return train("kind", 1, examples, recipe, background=None, tell=lambda *_: None)


def _frames(parts: Sequence[Floats]) -> Floats:
    return np.hstack([part[::10] for part in parts])


def _pieces(parts: Sequence[Floats]) -> Floats:
    starts = range(0, len(parts[0]) - PIECE + 3, PIECE)
    means = [np.stack([part[at : at + PIECE].mean(axis=0) for at in starts]) for part in parts]
    return np.hstack([toys.unit(each) for each in means])


def put(stubs: Stubs, name: str, probe: Probe) -> probe_pb2.Probe:
    """Import a probe."""
    files = to_files(probe)
    asked = probe_pb2.ImportProbeRequest(
        name=name, files=probe_pb2.ProbeFiles(tensors=files.tensors, card=files.card)
    )
    return stubs.probes.ImportProbe(asked, timeout=60).probe


def examples(drawn: Examples, part: slice = slice(None)) -> probe_pb2.ProbeExamples:
    """Examples as a message."""
    message = probe_pb2.ProbeExamples(
        vectors=tensors.tensor_message(drawn.vectors[part]),
        labels=drawn.labels[part],
        groups=drawn.groups[part],
    )
    if drawn.baseline is not None:
        message.baseline.CopyFrom(tensors.tensor_message(drawn.baseline[part]))
    return message


def training(
    name: str, read: Sequence[Space], drawn: Examples, **fields: Any
) -> Iterator[probe_pb2.TrainProbeOnVectorsRequest]:
    """The messages of a training on vectors, in two parts."""
    kind = probe_pb2.TrainProbeOnVectorsRequest
    recipe = fields.pop("recipe", probes.recipe_message(toys.QUICK))
    config = kind.Config(name=name, spaces=map(spaces.space_message, read), recipe=recipe, **fields)
    yield kind(config=config)
    half = len(drawn.labels) // 2
    yield kind(examples=examples(drawn, slice(0, half)))
    yield kind(examples=examples(drawn, slice(half, None)))


def ended(stubs: Stubs, name: str, seconds: int = 60) -> Any:
    """The operation when it is over."""
    asked = operations_pb2.WaitOperationRequest(
        name=name, timeout=duration_pb2.Duration(seconds=seconds)
    )
    operation = stubs.operations.WaitOperation(asked, timeout=seconds + 30)
    assert operation.done, operation
    return operation


def trained(stubs: Stubs, begun: Any) -> probe_pb2.Probe:
    """The probe of an operation that went well."""
    operation = ended(stubs, begun.name)
    assert not operation.HasField("error"), operation.error
    response = probe_pb2.TrainProbeResponse()
    assert operation.response.Unpack(response)
    return response.probe


def trainers(pid: int) -> list[int]:
    """The processes that train for a server."""
    found = subprocess.run(
        ["ps", "--ppid", str(pid), "-o", "pid=,args="], capture_output=True, text=True, check=False
    )
    lines = found.stdout.splitlines()
    return [int(line.split()[0]) for line in lines if "probes.worker" in line]


def workfolder(home: Path) -> list[str]:
    """What is kept for trainings of a data directory."""
    folder = home / "probes" / ".work"
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
