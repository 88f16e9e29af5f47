"""The ServerService: what this server is and allows."""

from collections.abc import Iterable

from embedsvc.batching import Fault, LaneStats, Stats
from embedsvc.encoder import Profile
from embedsvc.pipeline.bodies import AnyEncoder
from embedsvc.service.backend import Backend
from embedsvc.service.search import MAX_TOP_K
from embedsvc.service.status import Context, unary
from embedsvc.timing import FRAME_RATE
from embedsvc.types import Lane
from embedsvc.v1 import server_pb2, server_pb2_grpc
from embedsvc.version import version
from embedsvc.wire import enums
from embedsvc.wire.times import duration, timestamp

CHUNK_BYTES = 256 * 1024
"""Larger chunks of an upload gain little; smaller ones cost time."""

FEATURES = (
    "embed",
    "upload",
    "stream",
    "collections",
    "search",
    "moments",
    "spaces",
    "probes",
    "transcription",
    "text_search",
)


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """Answers GetServerInfo."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @unary
    async def GetServerInfo(
        self, request: server_pb2.GetServerInfoRequest, context: Context
    ) -> server_pb2.GetServerInfoResponse:
        """Version, limits, model, features, what waits, and what is loaded."""
        return server_pb2.GetServerInfoResponse(
            version=version(),
            limits=self._limits(),
            model=self._model(),
            features=FEATURES,
            queue=_queue(self._backend.batcher.stats()),
            bodies=self._bodies(),
        )

    def _limits(self) -> server_pb2.ServerLimits:
        settings = self._backend.settings
        return server_pb2.ServerLimits(
            max_request_bytes=settings.server.max_request_bytes,
            max_response_bytes=settings.server.max_response_bytes,
            max_unary_audio_seconds=settings.audio.max_unary_seconds,
            max_upload_audio_seconds=settings.audio.max_upload_seconds,
            max_upload_bytes=settings.audio.max_upload_bytes,
            max_batch_items=settings.batcher.max_batch_items,
            queue_capacity_frames=settings.batcher.queue_frames,
            recommended_chunk_bytes=min(CHUNK_BYTES, settings.server.max_request_bytes // 2),
            max_top_k=MAX_TOP_K,
        )

    def _model(self) -> server_pb2.ModelInfo:
        encoder = self._backend.embedder.encoder
        return server_pb2.ModelInfo(
            name=encoder.name,
            weights=encoder.weights,
            layer_count=encoder.layers,
            dim=encoder.dim,
            frame_rate_hz=FRAME_RATE,
            parameter_count=encoder.parameters,
            device=str(encoder.device),
            default_layer=encoder.defaults.layer,
            default_pooling=encoder.defaults.pooling,
            default_projection=encoder.defaults.projection,
            precision=encoder.precision,
            precision_reason=encoder.why,
            runtime=encoder.runtime,
            projections=sorted({name for name, _, _ in encoder.projections.each}),
            profiles=[_profile(each) for _, each in sorted(encoder.profiles.items())],
        )

    def _bodies(self) -> list[server_pb2.BodyInfo]:
        bodies, faults = self._backend.bodies, self._backend.batcher.faults()
        return [
            _body(encoder, bodies.heads.on(key), faults.get(key))
            for key, encoder in bodies.encoders.items()
        ]


def _body(encoder: AnyEncoder, heads: Iterable[str], fault: Fault | None) -> server_pb2.BodyInfo:
    return server_pb2.BodyInfo(
        model=encoder.name,
        heads=heads,
        weights=encoder.weights,
        parameter_count=encoder.parameters,
        precision=encoder.precision,
        device=str(encoder.device),
        serving=fault is None,
        not_serving_since=None if fault is None else timestamp(fault.since),
    )


def _profile(profile: Profile) -> server_pb2.Profile:
    return server_pb2.Profile(
        name=profile.name,
        layer=profile.layer,
        pooling=profile.pooling,
        projection=profile.projection,
        about=profile.about,
        basis=profile.basis,
    )


def _queue(stats: Stats) -> server_pb2.QueueStats:
    return server_pb2.QueueStats(
        lanes=[_lane(lane, each) for lane, each in stats.lanes.items()],
        batches=stats.batches,
        frames=stats.frames,
        padding_ratio=stats.padding,
        cost_error_ratio=stats.cost_error,
        refused=stats.refused,
        dropped=stats.dropped,
        shared=stats.shared,
        cache_hits=stats.cache_hits,
        quarantined=stats.quarantined,
        batch_frames=stats.budget_frames,
    )


def _lane(lane: Lane, stats: LaneStats) -> server_pb2.LaneStats:
    return server_pb2.LaneStats(
        lane=enums.LANE[lane],
        waiting_frames=stats.waiting_frames,
        predicted=duration(stats.predicted_seconds),
        oldest=duration(stats.oldest_seconds),
    )
