"""The ProbeService: trains probes, keeps them, and classifies with them."""

import asyncio
from collections.abc import AsyncIterator

from google.longrunning import operations_pb2

from embedsvc.errors import InvalidArgument, ProbeNotFound, StreamProtocol
from embedsvc.pipeline.probe_training import Labelled, Order
from embedsvc.pipeline.threads import ended_apart
from embedsvc.probes import Gathering, ProbeFiles, Shelf, check_name, from_files, parsed, to_files
from embedsvc.service import convert, operations, paging, streams
from embedsvc.service.classify import Classifying
from embedsvc.service.status import Context, naming, unary
from embedsvc.v1 import probe_pb2
from embedsvc.wire import metadata, probes, spaces, tensors

MOST_TEXT = 10_000
"""Characters of what stands beside a probe."""


class ProbeServicer(Classifying):
    """Answers everything about probes."""

    @unary
    async def TrainProbe(
        self, request: probe_pb2.TrainProbeRequest, context: Context
    ) -> operations_pb2.Operation:
        """Begin to train a probe on a collection."""
        condition = metadata.condition(request.filter) if request.HasField("filter") else None
        order = _order(request.name, request.recipe, request.card)
        source = Labelled(
            request.collection,
            request.label_field,
            request.group_field,
            condition,
            tuple(request.spaces),
        )
        backend = self._backend
        with naming(name="name", collection="collection", space="spaces"):
            begun = await backend.trainings.on_collection(backend.operations, order, source)
        return await operations.message(backend, begun)

    @unary
    async def TrainProbeOnVectors(
        self,
        request_iterator: AsyncIterator[probe_pb2.TrainProbeOnVectorsRequest],
        context: Context,
    ) -> operations_pb2.Operation:
        """Gather examples, then begin to train a probe on them."""
        config: probe_pb2.TrainProbeOnVectorsRequest.Config
        config, rest = await streams.opened(request_iterator, self._backend.settings.server)
        order = _order(config.name, config.recipe, config.card, "config.")
        read = tuple(
            spaces.space(each, f"config.spaces[{place}]")
            for place, each in enumerate(config.spaces)
        )
        backend = self._backend
        ongoing = backend.operations
        folder, gathering = backend.trainings.gathering(order.name, read)
        async with ended_apart(gathering):
            with ongoing.place(f"probes/{order.name}"):
                await _gathered(gathering, rest)
            begun = await backend.trainings.on_vectors(ongoing, order, folder)
        return await operations.message(backend, begun)

    @unary
    async def GetProbe(
        self, request: probe_pb2.GetProbeRequest, context: Context
    ) -> probe_pb2.GetProbeResponse:
        """A probe as it is served."""
        probe = await asyncio.to_thread(self._backend.shelf.get, request.name, "name")
        bundled = self._backend.shelf.is_bundled(probe)
        return probe_pb2.GetProbeResponse(probe=probes.info_message(probe.info, bundled=bundled))

    @unary
    async def ListProbes(
        self, request: probe_pb2.ListProbesRequest, context: Context
    ) -> probe_pb2.ListProbesResponse:
        """The newest version of each, by name."""
        size = convert.page_size(request.page_size)
        after = paging.cursor(request.page_token, "probes")
        most = self._backend.settings.server.max_response_bytes
        response = await asyncio.to_thread(_page, self._backend.shelf, after, size, most)
        return convert.fitting(response, most, "raise `server.max_response_bytes`")

    @unary
    async def DeleteProbe(
        self, request: probe_pb2.DeleteProbeRequest, context: Context
    ) -> probe_pb2.DeleteProbeResponse:
        """A probe, or one version of it, gone."""
        try:
            await asyncio.to_thread(self._backend.own_shelf.delete, request.name)
        except ProbeNotFound:
            if not request.allow_missing:
                raise
        return probe_pb2.DeleteProbeResponse()

    @unary
    async def ExportProbe(
        self, request: probe_pb2.ExportProbeRequest, context: Context
    ) -> probe_pb2.ExportProbeResponse:
        """A probe as files."""
        probe = await asyncio.to_thread(self._backend.shelf.get, request.name, "name")
        files = await asyncio.to_thread(to_files, probe)
        response = probe_pb2.ExportProbeResponse(
            files=probe_pb2.ProbeFiles(tensors=files.tensors, card=files.card)
        )
        most = self._backend.settings.server.max_response_bytes
        return convert.fitting(response, most, "raise `server.max_response_bytes`")

    @unary
    async def ImportProbe(
        self, request: probe_pb2.ImportProbeRequest, context: Context
    ) -> probe_pb2.ImportProbeResponse:
        """A probe of files, served under a name from now on."""
        name = check_name(request.name)
        files = ProbeFiles(request.files.tensors, request.files.card)
        with naming(tensors="files.tensors", card="files.card"):
            probe = await asyncio.to_thread(from_files, files.tensors, files.card)
        served = await asyncio.to_thread(self._backend.own_shelf.add, name, probe)
        return probe_pb2.ImportProbeResponse(probe=probes.info_message(served.info))


def _page(shelf: Shelf, after: str, size: int, most_bytes: int) -> probe_pb2.ListProbesResponse:
    """Probes by name, as many as a message takes; there is one at a time in memory."""
    response = probe_pb2.ListProbesResponse()
    room = int(most_bytes * convert.MESSAGE_SHARE)
    for probe in shelf.each(after):
        message = probes.info_message(probe.info, bundled=shelf.is_bundled(probe))
        room -= message.ByteSize()
        if len(response.probes) == size or (room < 0 and response.probes):
            response.next_page_token = paging.token(response.probes[-1].name, "probes")
            break
        response.probes.append(message)
    return response


def _order(
    name: str, recipe: probe_pb2.ProbeRecipe, card: probe_pb2.ProbeCard, under: str = ""
) -> Order:
    field = f"{under}name"
    if parsed(name, field)[1] is not None:
        raise InvalidArgument(f"`{field}` must be without a version, but is {name!r}", field=field)
    for part in ("license", "about"):
        if len(getattr(card, part)) > MOST_TEXT:
            field = f"{under}card.{part}"
            raise InvalidArgument(f"`{field}` must be at most {MOST_TEXT} characters", field=field)
    read = probes.recipe(recipe, f"{under}recipe")
    return Order(name, read, card.license, card.about)


async def _gathered(
    gathering: Gathering, messages: AsyncIterator[probe_pb2.TrainProbeOnVectorsRequest]
) -> None:
    """Take all examples of a stream; raises InvalidArgument for none."""
    async for message in messages:
        if message.WhichOneof("message") != "examples":
            raise StreamProtocol("`config` must come once, and only `examples` after it")
        await asyncio.to_thread(_gather, gathering, message.examples)
    if not gathering.count:
        raise InvalidArgument("`examples` must be some, but are none", field="examples")
    await asyncio.to_thread(gathering.finish)


def _gather(gathering: Gathering, message: probe_pb2.ProbeExamples) -> None:
    baseline = None
    with naming(
        **{each: f"examples.{each}" for each in ("vectors", "labels", "groups", "baseline")}
    ):
        if message.HasField("baseline"):
            baseline = tensors.array(message.baseline, "baseline", dimensions=2)
        vectors = tensors.array(message.vectors, "vectors", dimensions=2)
        gathering.add(vectors, message.labels, message.groups, baseline)
