"""The client: one class for a server and for this process, with numpy arrays out."""

from embedsvc.client.audible import Audible
from embedsvc.client.batch_transcribing import Written
from embedsvc.client.bodies import BodyInfo
from embedsvc.client.client import Client
from embedsvc.client.collection import Collection
from embedsvc.client.probes import Examples, Probes
from embedsvc.client.results import (
    AddedRecording,
    Classified,
    Embedding,
    HeardWindow,
    SearchResult,
    ServerInfo,
    Window,
)
from embedsvc.client.transcripts import (
    Aligned,
    FinalText,
    InterimText,
    SpeechEvent,
    StreamEnd,
    StreamProgress,
    Transcript,
)

__all__ = [
    "AddedRecording",
    "Aligned",
    "Audible",
    "BodyInfo",
    "Classified",
    "Client",
    "Collection",
    "Embedding",
    "Examples",
    "FinalText",
    "HeardWindow",
    "InterimText",
    "Probes",
    "SearchResult",
    "ServerInfo",
    "SpeechEvent",
    "StreamEnd",
    "StreamProgress",
    "Transcript",
    "Window",
    "Written",
]
