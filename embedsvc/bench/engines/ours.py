"""The encoder of this package."""

from collections.abc import Sequence

from embedsvc.bench.engines.engine import Engine, Job
from embedsvc.encoder import Encoder, resolve
from embedsvc.types import Ask, Floats, Frames, Precision


def engines(job: Job) -> list[Engine]:
    """All utterances of a batch in one pass, as the service does it.

    In the precision asked for, whether or not the service would find it near enough.
    """
    encoder = Encoder.load(resolve(str(job.model)), job.threads, job.device)
    precision = Precision(job.precision)
    if precision is not Precision.FP32:
        encoder = encoder.at(precision)
    layer = encoder.layers

    def encode(utterances: Sequence[Floats]) -> list[Floats]:
        asks = [Ask((layer,), (0, len(features))) for features in utterances]
        answers = encoder.encode([Frames(features) for features in utterances], asks)
        return [answer.frames[layer] for answer in answers]

    return [Engine(f"embedsvc {precision}", encode)]
