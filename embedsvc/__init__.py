"""Multilingual speech embeddings and search by audio, over gRPC.

from embedsvc import Client

with Client(":local:") as client:
    print(client.embed("talk.wav").vector)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedsvc.client import (
        AddedRecording,
        Classified,
        Client,
        Collection,
        Embedding,
        Examples,
        SearchResult,
        ServerInfo,
    )
    from embedsvc.types import (
        Lane,
        MomentMethod,
        MomentSearch,
        OutputSpec,
        PcmFormat,
        Pooling,
        ProbeInfo,
        ProbeRecipe,
        ProbeTask,
        SampleFormat,
        Segmentation,
        Span,
        Timeline,
        Windowing,
    )

_HOMES = {
    "embedsvc.client": (
        "AddedRecording",
        "Classified",
        "Client",
        "Collection",
        "Embedding",
        "Examples",
        "SearchResult",
        "ServerInfo",
    ),
    "embedsvc.types": (
        "Lane",
        "MomentMethod",
        "MomentSearch",
        "OutputSpec",
        "PcmFormat",
        "Pooling",
        "ProbeInfo",
        "ProbeRecipe",
        "ProbeTask",
        "SampleFormat",
        "Segmentation",
        "Span",
        "Timeline",
        "Windowing",
    ),
}

__all__ = [
    "AddedRecording",
    "Classified",
    "Client",
    "Collection",
    "Embedding",
    "Examples",
    "Lane",
    "MomentMethod",
    "MomentSearch",
    "OutputSpec",
    "PcmFormat",
    "Pooling",
    "ProbeInfo",
    "ProbeRecipe",
    "ProbeTask",
    "SampleFormat",
    "SearchResult",
    "Segmentation",
    "ServerInfo",
    "Span",
    "Timeline",
    "Windowing",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: decoders and tools start without gRPC."""
    import importlib  # noqa: PLC0415

    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'embedsvc' has no attribute {name!r}")
