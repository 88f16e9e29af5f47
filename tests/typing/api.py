"""How the package is meant to be used, for the type checker; never executed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedsvc import (
    AddedRecording,
    Classified,
    Client,
    Collection,
    Embedding,
    Examples,
    Lane,
    OutputSpec,
    PcmFormat,
    Pooling,
    ProbeInfo,
    ProbeRecipe,
    ProbeTask,
    SampleFormat,
    SearchResult,
    Segmentation,
    ServerInfo,
    Span,
    Timeline,
    Windowing,
)
from embedsvc.errors import EmbedsvcError, QueueFull
from embedsvc.samples import Clip, clips
from embedsvc.testing import serving


def embedding(samples: NDArray[np.float32]) -> None:
    with Client() as local, Client("localhost:50051", model="mini", timeout=5.0) as client:
        vector: NDArray[np.float32] = local.embed("talk.wav").vector
        client.embed(Path("talk.wav"), layer=6, pooling="none", channels="first")
        client.embed(b"RIFF", pooling=Pooling.MEAN, windowing=Windowing(320_000, 16_000))
        client.embed("talk.wav", lane=Lane.BULK)
        answer: Embedding = client.embed((samples, 16_000))
        seconds: float = answer.seconds
        fingerprint: str = answer.space.fingerprint
        spans: list[Span] = [output.span for output in answer.outputs]
        codes: list[str] = [warning.code for warning in answer.warnings]
        assert vector is not None, (seconds, fingerprint, spans, codes)
        for each in client.embed_batch(["a.wav", "b.wav"], outputs=[OutputSpec("low", 2)]):
            if isinstance(each, EmbedsvcError):
                reason: str = each.reason
                raise each from ValueError(reason)
            answer = each
        info: ServerInfo = client.info()
        client.wait_until_serving(timeout=float(info.max_unary_seconds))


def streaming(client: Client, chunks: list[bytes | None]) -> list[Span]:
    pcm = PcmFormat(SampleFormat.S16, 16_000)
    return [window.span for window in client.stream(chunks, pcm)]


def searching(client: Client) -> None:
    talks: Collection = client.create_collection(
        "talks",
        vectors=OutputSpec(layer=4, pooling=Pooling.MEAN),
        segmentation=Segmentation(96_000, 48_000),
        exist_ok=True,
    )
    added: AddedRecording = talks.add("a", "talk.wav", {"language": "pol", "year": 1990})
    found: SearchResult = talks.search("query.wav", where='language = "pol"', top_k=3)
    for hit in found:
        start, end = hit.span.seconds
        assert start < end, (hit.id, hit.score, hit.metadata, added.segment_count)
    deleted: int = talks.delete(where="year < 1990", dry_run=True)
    names: list[str] = [info.name for info in client.collections()]
    assert names, deleted


def probing(client: Client, vectors: NDArray[np.float32]) -> None:
    recipe = ProbeRecipe(task=ProbeTask.SINGLE_LABEL, strengths=(0.1, 1.0))
    made: ProbeInfo = client.probes.train(
        "language", "talks", "language", group="speaker", where="year > 1990", recipe=recipe
    )
    given = [Examples(vectors, ["a", "b"], ["anna", "jan"])]
    client.probes.train_on_vectors("kind", given, made.spaces)
    found: Classified = client.classify("a.wav", ["language@3"], timeline=Timeline(agree=3))
    labels: tuple[str, ...] = found.labels
    spans: list[Span] = [each.span for each in found.timelines["language@3"]]
    probability: float = found.answers[0].classification.scores[0].probability
    said = client.classify_vectors(vectors, "kind", [space.fingerprint for space in made.spaces])
    assert said, (labels, spans, probability, client.embed("a.wav", probes=["kind"]).answers)


def testing() -> None:
    first: Clip = clips("archive")[0]
    with serving({"audio": {"max_unary_seconds": 5.0}}) as target, Client(target) as client:
        try:
            client.embed(first.data())
        except QueueFull as error:
            wait: float | None = error.retry_after_seconds
            raise RuntimeError(wait) from error
