"""The probes of a server: trained, listed, moved, deleted."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedsvc.client.channel import Caller, Stubs
from embedsvc.client.operations import Running, Tell
from embedsvc.client.results import ServerInfo
from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter, parse
from embedsvc.types import Floats, ProbeInfo, ProbeRecipe, Space
from embedsvc.v1 import probe_pb2
from embedsvc.wire import metadata, spaces, tensors
from embedsvc.wire import probes as wire_probes

TENSORS_FILE = "probe.safetensors"
CARD_FILE = "probe.json"


@dataclass(frozen=True)
class Examples:
    """Vectors (n, D) with what they are to be answered as; `baseline` (n, any) to compare with.

    `labels` are one for each: a label, labels separated by commas, or a number as text. Those of
    one group, such as a speaker, are never both learned from and tested on.
    """

    vectors: Floats
    labels: Sequence[str]
    groups: Sequence[str] = ()
    baseline: Floats | None = None


class Probes:
    """Trains probes, tells about them, and moves them."""

    def __init__(self, stubs: Stubs, caller: Caller, info: Callable[[], ServerInfo]) -> None:
        self._stub = stubs.probes
        self._operations = stubs.operations
        self._caller = caller
        self._server = info

    def list(self) -> "list[ProbeInfo]":
        """The newest version of each, by name; those that came with the model are version 0."""
        found: list[ProbeInfo] = []
        request = probe_pb2.ListProbesRequest()
        while True:
            reply = self._caller.unary(self._stub.ListProbes, request)
            found += map(wire_probes.info, reply.probes)
            if not reply.next_page_token:
                return found
            request.page_token = reply.next_page_token

    def get(self, name: str) -> ProbeInfo:
        """A probe by NAME, or NAME@VERSION."""
        request = probe_pb2.GetProbeRequest(name=name)
        return wire_probes.info(self._caller.unary(self._stub.GetProbe, request).probe)

    def train(  # noqa: PLR0913  # each is a choice of its own
        self,
        name: str,
        collection: str,
        label: str,
        *,
        group: str = "",
        where: Filter | str | None = None,
        recipe: ProbeRecipe | None = None,
        license: str = "",
        about: str = "",
        tell: Tell | None = None,
    ) -> ProbeInfo:
        """Train a probe on a collection, and serve it from then on.

        `label` and `group` name metadata fields; `where` says which recordings. `tell` hears of
        the progress. Interrupted, the training is cancelled.
        """
        request = probe_pb2.TrainProbeRequest(
            name=name,
            collection=collection,
            label_field=label,
            group_field=group,
            recipe=wire_probes.recipe_message(recipe or ProbeRecipe()),
            card=probe_pb2.ProbeCard(license=license, about=about),
        )
        if where is not None:
            condition = parse(where) if isinstance(where, str) else where
            request.filter.CopyFrom(metadata.condition_message(condition))
        return self._finish(self._caller.unary(self._stub.TrainProbe, request), tell)

    def train_on_vectors(
        self,
        name: str,
        examples: Iterable[Examples],
        vector_spaces: Sequence[Space],
        *,
        recipe: ProbeRecipe | None = None,
        license: str = "",
        about: str = "",
        tell: Tell | None = None,
    ) -> ProbeInfo:
        """Train a probe on vectors of `vector_spaces` side by side, that come in any parts."""
        config = probe_pb2.TrainProbeOnVectorsRequest.Config(
            name=name,
            spaces=map(spaces.space_message, vector_spaces),
            recipe=wire_probes.recipe_message(recipe or ProbeRecipe()),
            card=probe_pb2.ProbeCard(license=license, about=about),
        )
        most = self._server().max_request_bytes // 2

        def requests() -> Iterator[probe_pb2.TrainProbeOnVectorsRequest]:
            yield probe_pb2.TrainProbeOnVectorsRequest(config=config)
            for each in examples:
                for part in _parts(each, most):
                    yield probe_pb2.TrainProbeOnVectorsRequest(examples=part)

        begun = self._caller.upload(self._stub.TrainProbeOnVectors, requests(), None)
        return self._finish(begun, tell)

    def delete(self, name: str, *, missing_ok: bool = False) -> None:
        """Delete a probe with all its versions, or NAME@VERSION."""
        request = probe_pb2.DeleteProbeRequest(name=name, allow_missing=missing_ok)
        self._caller.unary(self._stub.DeleteProbe, request)

    def export(self, name: str, folder: str | Path) -> Path:
        """Write a probe into `folder`, which is made; the folder."""
        reply = self._caller.unary(self._stub.ExportProbe, probe_pb2.ExportProbeRequest(name=name))
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for file, content in (
            (TENSORS_FILE, reply.files.tensors),
            (CARD_FILE, reply.files.card),
        ):
            draft = path / f".{file}.tmp"
            draft.write_bytes(content)
            draft.replace(path / file)
        return path

    def import_(self, name: str, folder: str | Path) -> ProbeInfo:
        """Serve the probe that `export` wrote into `folder`, as a new version of `name`."""
        path = Path(folder)
        try:
            tensors_, card = (path / TENSORS_FILE).read_bytes(), (path / CARD_FILE).read_bytes()
        except OSError as error:
            raise InvalidArgument(
                f"`{path}` must be a folder with {TENSORS_FILE} and {CARD_FILE}: {error.strerror}"
            ) from error
        request = probe_pb2.ImportProbeRequest(
            name=name, files=probe_pb2.ProbeFiles(tensors=tensors_, card=card)
        )
        return wire_probes.info(self._caller.unary(self._stub.ImportProbe, request).probe)

    def _finish(self, begun: Any, tell: Tell | None) -> ProbeInfo:
        operation = Running(begun, self._operations, self._caller).finish(tell)
        response = probe_pb2.TrainProbeResponse()
        operation.response.Unpack(response)
        return wire_probes.info(response.probe)


def _parts(examples: Examples, most_bytes: int) -> Iterator[probe_pb2.ProbeExamples]:
    """Examples in messages of at most about `most_bytes`."""
    vectors = np.asarray(examples.vectors, np.float32)
    width = vectors.shape[1] if vectors.ndim == 2 else 1
    width += 0 if examples.baseline is None else examples.baseline.shape[1]
    longest = max((len(text) for text in [*examples.labels, *examples.groups]), default=0)
    step = max(1, most_bytes // (4 * width + 8 * longest + 64))
    for start in range(0, max(1, len(vectors)), step):
        part = slice(start, start + step)
        message = probe_pb2.ProbeExamples(
            vectors=tensors.tensor_message(vectors[part]),
            labels=examples.labels[part],
            groups=examples.groups[part],
        )
        if examples.baseline is not None:
            message.baseline.CopyFrom(tensors.tensor_message(examples.baseline[part]))
        yield message
