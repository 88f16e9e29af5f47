"""Multilingual speech embeddings and search by audio, over gRPC.

from embedsvc import Client

with Client(":local:") as client:
    print(client.embed("talk.wav").vector)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedsvc.client import (
        AddedRecording,
        Client,
        Collection,
        Embedding,
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
        SampleFormat,
        Segmentation,
        Span,
        Windowing,
    )

_HOMES = {
    "embedsvc.client": (
        "AddedRecording",
        "Client",
        "Collection",
        "Embedding",
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
        "SampleFormat",
        "Segmentation",
        "Span",
        "Windowing",
    ),
}

__all__ = [
    "AddedRecording",
    "Client",
    "Collection",
    "Embedding",
    "Lane",
    "MomentMethod",
    "MomentSearch",
    "OutputSpec",
    "PcmFormat",
    "Pooling",
    "SampleFormat",
    "SearchResult",
    "Segmentation",
    "ServerInfo",
    "Span",
    "Windowing",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: decoders and tools start without gRPC."""
    import importlib  # noqa: PLC0415

    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'embedsvc' has no attribute {name!r}")
