"""`embedsvc demo`: the whole service in a minute, on speech that comes with it.

Starts the real server in its own process, with a folder that is gone afterwards, and talks to it
over gRPC like any other client.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from embedsvc.cli.classify import answer_text
from embedsvc.cli.output import emit, say, span_text, table
from embedsvc.client import Client, Collection
from embedsvc.client.process import ServerProcess
from embedsvc.errors import EmbedsvcError
from embedsvc.samples import Clip, clips
from embedsvc.timing import SAMPLE_RATE, to_samples
from embedsvc.types import Floats, HeadKind, Hit, Metadata, Span

COLLECTION = "demo"
BROADCAST = "broadcast"
PAUSE = np.zeros(to_samples(0.4), np.float32)
TYPED = "b a n a n a"
"""Phones, so that nothing else has to be installed."""

SHOWN_HITS = 3
SHOWN_QUERIES = 3


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("demo", help="see the whole service work, on bundled speech")
    parser.add_argument("--model", default="mini", metavar="MODEL", help="default: mini")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Every stage in order, then what each one took."""
    demo = Demo(as_json=chosen.json)
    with tempfile.TemporaryDirectory(prefix="embedsvc-demo-") as folder:
        with demo.stage("start the server"):
            server = ServerProcess(Path(folder) / "data", ["--model", chosen.model])
        with server:
            with Client(server.target) as client:
                demo.play(client)
            with demo.stage("stop the server"):
                server.stop()
    demo.show_times()
    return 0


class Demo:
    """The stages of the demonstration, and the time that each took."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._seconds: dict[str, float] = {}
        self._archive = clips("archive")
        self._queries = clips("query")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce and time one stage."""
        say(f"{name} ...")
        started = time.perf_counter()
        yield
        self._seconds[name] = time.perf_counter() - started

    def play(self, client: Client) -> None:
        """Everything a client does."""
        with self.stage("embed one clip of each language"):
            self._embed(client)
        hearing = [head.name for head in client.heads() if head.kind is HeadKind.PHONES]
        collection = client.create_collection(COLLECTION, texts=hearing)
        with self.stage(f"index {len(self._archive)} clips and a broadcast"):
            edges = self._index(collection)
        with self.stage(f"search with {len(self._queries)} clips of other voices"):
            self._search(collection)
        with self.stage("search across languages"):
            self._cross(collection)
        with self.stage("find the moment in the broadcast"):
            self._locate(collection, edges)
        if hearing:
            with self.stage(f"type a word, as {hearing[0]!r} may have heard it"):
                self._type(collection)
        if bundled := [info.name for info in client.probes.list() if not info.version]:
            with self.stage(f"ask the model's probes: {', '.join(bundled)}"):
                self._classify(client, bundled)
        if heads := [head.name for head in client.heads() if not head.languages]:
            with self.stage(f"write down the queries with head {heads[0]!r}"):
                self._transcribe(client, heads[0])

    def show_times(self) -> None:
        """What each stage took."""
        total = sum(self._seconds.values())
        if self._as_json:
            emit({"stage": "times", "seconds": self._seconds, "total": total})
            return
        rows = [(name, f"{seconds:.2f} s") for name, seconds in self._seconds.items()]
        table("Time", ("stage", "took>"), [*rows, ("total", f"{total:.2f} s")])

    def _embed(self, client: Client) -> None:
        first = {clip.language: clip for clip in reversed(self._archive)}
        chosen = sorted(first.values(), key=lambda clip: clip.name)
        answers = client.embed_batch([clip.data() for clip in chosen])
        rows: list[dict[str, object]] = []
        for clip, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, EmbedsvcError):
                raise answer
            rows.append(
                {
                    "language": clip.name,
                    "says": clip.text,
                    "seconds>": round(answer.seconds, 1),
                    "frames>": answer.frame_count,
                    "dim>": len(answer.vector),
                }
            )
        self._show("Embedded", rows)

    def _index(self, collection: Collection) -> dict[str, Span]:
        batch = [(clip.path.stem, clip.data(), _labels(clip)) for clip in self._archive]
        for result in collection.add_batch(batch):
            if result.error is not None:
                raise result.error
        edges, samples = broadcast([clip for clip in self._archive if clip.group == "music"])
        collection.add(BROADCAST, (samples, SAMPLE_RATE), {"kind": BROADCAST})
        return edges

    def _search(self, collection: Collection) -> None:
        first = self._nearest(collection, "Nearest clips", lambda _: 'kind = "clip"')
        say(f"  the same sentence was found first by {first} of {len(self._queries)} queries")

    def _cross(self, collection: Collection) -> None:
        first = self._nearest(
            collection,
            "Nearest clips in other languages",
            lambda query: f'kind = "clip" and language != "{query.name}"',
        )
        say(f"  the same content was found first by {first} of {len(self._queries)} queries")

    def _nearest(self, collection: Collection, title: str, where: Callable[[Clip], str]) -> int:
        """Search with every query, show some; how many found what they say first."""
        rows: list[dict[str, object]] = []
        shown = {query.language: query for query in self._queries}
        first = 0
        for query in self._queries:
            found = collection.search(query.data(), top_k=SHOWN_HITS, where=where(query))
            first += found[0].metadata["group"] == query.group
            if self._as_json or query in list(shown.values())[:SHOWN_QUERIES]:
                rows += [_row(query, hit) for hit in found]
        self._show(f"{title}, for {SHOWN_QUERIES} of the queries", rows)
        return first

    def _locate(self, collection: Collection, edges: dict[str, Span]) -> None:
        rows: list[dict[str, object]] = []
        for query in self._queries:
            if query.group != "music":
                continue
            (hit,) = collection.search(query.data(), top_k=1, where=f'kind = "{BROADCAST}"')
            rows.append(
                {
                    "query": f"{query.name}: {query.group}",
                    "found at": span_text(hit.span),
                    "said at": span_text(edges[query.language]),
                    "score>": f"{hit.score:.3f}",
                }
            )
        self._show("The moment that matched, in a long recording", rows)

    def _type(self, collection: Collection) -> None:
        found = collection.search_text(
            phones=TYPED, top_k=SHOWN_HITS, where='kind = "clip"', one_per_recording=True
        )
        rows: list[dict[str, object]] = [
            {
                "typed": TYPED,
                "score>": f"{hit.score:.3f}",
                "language": hit.metadata["language"],
                "span": span_text(hit.span),
                "heard": hit.text,
                "says": hit.metadata["says"],
            }
            for hit in found
        ]
        self._show("Where a typed word is heard, in synthetic speech", rows)

    def _classify(self, client: Client, probes: Sequence[str]) -> None:
        rows: list[dict[str, object]] = []
        for query in self._queries:
            found = client.classify(query.data(), probes, top_n=1)
            answers = {each.probe: answer_text(each) for each in found.answers}
            rows.append({"query": f"{query.name}: {query.group}", **answers})
        self._show("What probes say of the queries", rows)

    def _transcribe(self, client: Client, head: str) -> None:
        rows: list[dict[str, object]] = []
        for query in self._queries[:SHOWN_QUERIES]:
            written = client.transcribe(query.data(), head=head)
            rows.append({"query": query.name, "says": query.text, "transcribed": written.text})
        self._show("Transcribed", rows)

    def _show(self, title: str, rows: Sequence[dict[str, object]]) -> None:
        if self._as_json:
            for row in rows:
                emit({"stage": title, **{name.rstrip(">"): value for name, value in row.items()}})
        else:
            table(title, tuple(rows[0]), [tuple(row.values()) for row in rows])


def broadcast(parts: Sequence[Clip]) -> tuple[dict[str, Span], Floats]:
    """One long recording of `parts`, and where each language is in it."""
    from embedsvc.audio import Door, decode

    edges: dict[str, Span] = {}
    pieces: list[Floats] = []
    at = 0
    for clip in parts:
        samples = decode(clip.data(), Door()).samples
        edges[clip.language] = Span(at, at + len(samples))
        pieces += [samples, PAUSE]
        at += len(samples) + len(PAUSE)
    return edges, np.concatenate(pieces)


def _labels(clip: Clip) -> Metadata:
    return {"kind": "clip", "language": clip.name, "group": clip.group, "says": clip.text}


def _row(query: Clip, hit: Hit) -> dict[str, Any]:
    return {
        "query": f"{query.name}: {query.group}",
        "score>": f"{hit.score:.3f}",
        "language": hit.metadata["language"],
        "group": hit.metadata["group"],
        "span": span_text(hit.span),
        "says": hit.metadata["says"],
    }
