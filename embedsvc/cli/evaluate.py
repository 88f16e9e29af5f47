"""`embedsvc evaluate`: measure the service, or a model, on labeled speech.

`encoder` is in `evaluate_encoder`, `retrieval --stages` in `evaluate_stages`. `retrieval` goes
through the front door of the service: it indexes a set whose rows name language, speaker and group
(equal groups say the same), asks for each recording what says the same in another language or by
another speaker, and puts chance and mean cepstra beside what the model finds.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedsvc import filters
from embedsvc.cli import (
    connection,
    evaluate_duplicates,
    evaluate_encoder,
    evaluate_moments,
    evaluate_probe,
    evaluate_stages,
    evaluate_streams,
    evaluate_text_search,
    evaluate_transcription,
)
from embedsvc.cli.index import Item, results, select
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.cli.search import condition
from embedsvc.client import Client, Collection
from embedsvc.errors import InvalidArgument
from embedsvc.filters import And, Equals, Filter, Not
from embedsvc.timing import FRAME, to_seconds
from embedsvc.types import OutputSpec, Pooling, Segment, Space, Span, Windowing

INDEX = "index.tsv"
COLUMNS = {"language", "speaker"}
DEPTH = 10
LATENCY_QUERIES = 200
LANGUAGE_CODE = 3
"""Letters of a language before its region, as in por-BR."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("evaluate", help="measure the service, or a model")
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    retrieval = what.add_parser("retrieval", help="is what says the same found?")
    retrieval.add_argument(
        "index", type=Path, metavar="INDEX.tsv", help="beside its sound files, or their folder"
    )
    retrieval.add_argument(
        "--only",
        type=condition,
        default=filters.parse('split = "dev"'),
        metavar="EXPR",
        help="""rows to use (default: split = "dev")""",
    )
    retrieval.add_argument("--layer", type=int, help="default: the model's choice")
    retrieval.add_argument("--pooling", choices=["mean", "mean_std", "max"])
    retrieval.add_argument("--projection", help="default: the model's choice; empty for none")
    retrieval.add_argument("--profile", default="", help="instead of these three")
    retrieval.add_argument(
        "--stages",
        action="store_true",
        help="what each step adds across languages, by pair, without the service",
    )
    retrieval.add_argument(
        "--figure", type=Path, metavar="FILE.svg", help="with --stages: a map of pairs of languages"
    )
    connection.add_flags(retrieval)
    retrieval.set_defaults(run=run)
    evaluate_encoder.add(what)
    evaluate_moments.add(what)
    evaluate_duplicates.add(what)
    evaluate_probe.add(what)
    evaluate_transcription.add(what)
    evaluate_streams.add(what)
    evaluate_text_search.add(what)


@dataclass(frozen=True)
class Task:
    """What is asked: which recordings may answer, and which of them would be right."""

    name: str
    condition: Callable[[Item], Filter]
    allowed: Callable[[Item, Item], bool]


@dataclass(frozen=True)
class Outcome:
    """How one system did in one task."""

    system: str
    task: str
    queries: int
    r1: float
    r10: float
    mrr: float
    chance1: float
    chance10: float


def run(chosen: argparse.Namespace) -> int:
    """Index, ask, and print what was found."""
    if chosen.index.is_dir():
        chosen.index = chosen.index / INDEX
    if chosen.stages:
        return evaluate_stages.run(chosen, chosen.index)
    if chosen.figure is not None:
        raise InvalidArgument("`--figure` must come with --stages")
    items = select([chosen.index.parent], chosen.index, chosen.only)
    if not items:
        raise InvalidArgument(f"`INDEX.tsv` must have rows that meet --only: {chosen.index}")
    for item in items:
        if missing := COLUMNS - item.metadata.keys():
            raise InvalidArgument(
                f"`INDEX.tsv` must say {', '.join(sorted(COLUMNS))} of {item.id}, "
                f"but has no {', '.join(sorted(missing))}"
            )
    with tempfile.TemporaryDirectory(prefix="embedsvc-evaluate-") as folder:
        if chosen.target is None and chosen.data is None:
            chosen.data = Path(folder)
        with connection.connect(chosen) as client:
            _measure(client, items, chosen)
    return 0


def _measure(client: Client, items: Sequence[Item], chosen: argparse.Namespace) -> None:
    name = f"evaluate-{time.time_ns():x}"
    pooling = None if chosen.pooling is None else Pooling(chosen.pooling)
    spec = OutputSpec("", chosen.layer, pooling, chosen.projection, profile=chosen.profile)
    try:
        model = client.create_collection(f"{name}-model", vectors=spec)
        readable, seconds = _index(client, model, items)
        speed = {"failed": len(items) - len(readable), **_speed(model, readable, seconds)}
        _report(speed, as_json=chosen.json)
        baseline = _baseline(client, f"{name}-mfcc", readable)
        systems = {client.info().model: model, "MFCC mean+std": baseline}
        outcomes = [
            outcome
            for task in (_OTHER_LANGUAGE, _OTHER_SPEAKER)
            for system, collection in systems.items()
            if (outcome := _ask(system, collection, task, readable)) is not None
        ]
        _show(outcomes, as_json=chosen.json)
    finally:
        for suffix in ("model", "mfcc"):
            client.delete_collection(f"{name}-{suffix}", missing_ok=True)


def _index(
    client: Client, collection: Collection, items: Sequence[Item]
) -> tuple[list[Item], float]:
    """Index everything; what could be read, and the seconds it took."""
    started = time.perf_counter()
    with progress() as bar:
        failed = {
            result.id: result.error
            for result in results(client, collection, items, bar)
            if result.error is not None
        }
    took = time.perf_counter() - started
    for id, error in failed.items():  # the field's name
        say(f"{id}: {error}")
    readable = [item for item in items if item.id not in failed]
    if not readable:
        raise InvalidArgument("`INDEX.tsv` must name sound files that can be read")
    return readable, took


def _speed(collection: Collection, items: Sequence[Item], took: float) -> dict[str, float]:
    """Time searches one by one and four at once, beside the `took` seconds of indexing."""
    seconds = to_seconds(sum(recording.length for recording in collection.list()))
    queries = items[:: max(1, len(items) // LATENCY_QUERIES)]
    single = sorted(_timed(lambda item: collection.search(item.path), item) for item in queries)
    started = time.perf_counter()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda item: collection.search(item.path), queries))
    return {
        "recordings": len(items),
        "audio_seconds": seconds,
        "index_seconds": took,
        "audio_seconds_per_second": seconds / took,
        "searches_per_second": len(queries) / (time.perf_counter() - started),
        "search_p50_ms": statistics.median(single) * 1e3,
        "search_p95_ms": single[int(len(single) * 0.95)] * 1e3,
        "search_p99_ms": single[int(len(single) * 0.99)] * 1e3,
    }


def _timed(call: Callable[[Item], object], item: Item) -> float:
    started = time.perf_counter()
    call(item)
    return time.perf_counter() - started


def _baseline(client: Client, name: str, items: Sequence[Item]) -> Collection:
    """The same recordings as mean cepstra, standardized over the set."""
    from embedsvc.audio import Door, decode, log_mel
    from embedsvc.evaluation import mfcc_vector

    with progress() as bar:
        matrix = np.stack(
            [
                mfcc_vector(log_mel(decode(item.path.read_bytes(), Door()).samples))
                for item in bar.track(items, description="cepstra")
            ]
        )
    matrix = (matrix - matrix.mean(axis=0)) / (matrix.std(axis=0) + 1e-6)
    space = Space("mfcc-mean-std", "mfcc", "", 0, Pooling.MEAN_STD, Windowing(), "", True, 40)
    collection = client.create_collection(name, foreign_space=space)
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda pair: collection.add_vectors(
                    pair[0].id,
                    [Segment(Span(0, FRAME), pair[1])],
                    space.fingerprint,
                    pair[0].metadata,
                ),
                zip(items, matrix, strict=True),
            )
        )
    return collection


def _language(item: Item) -> str:
    return str(item.metadata["language"])


def _speaker(item: Item) -> str:
    return str(item.metadata["speaker"])


_OTHER_LANGUAGE = Task(
    "another language",
    lambda item: Not(_same_language(item)),
    lambda query, item: _language(query)[:LANGUAGE_CODE] != _language(item)[:LANGUAGE_CODE],
)
_OTHER_SPEAKER = Task(
    "the language, another speaker",
    lambda item: And((_same_language(item), Not(Equals("speaker", _speaker(item))))),
    lambda query, item: (
        _language(query)[:LANGUAGE_CODE] == _language(item)[:LANGUAGE_CODE]
        and _speaker(query) != _speaker(item)
    ),
)


def _same_language(item: Item) -> Filter:
    """The language with any region, by the order of text: por <= x < pos."""
    code = _language(item)[:LANGUAGE_CODE]
    return filters.Range("language", gte=code, lt=code[:-1] + chr(ord(code[-1]) + 1))


def _ask(system: str, collection: Collection, task: Task, items: Sequence[Item]) -> Outcome | None:
    """Search with every recording that has something to find."""
    from embedsvc.evaluation import chance_at, hit_at, mean_reciprocal_rank

    questions = list(_questions(task, items))
    if not questions:
        return None

    def ask(question: tuple[Item, frozenset[str], int]) -> list[str]:
        found = collection.search(
            recording=question[0].id,
            top_k=DEPTH,
            where=task.condition(question[0]),
            one_per_recording=True,
        )
        return [hit.id for hit in found]

    with progress() as bar, ThreadPoolExecutor(2) as threads:
        answers = threads.map(ask, questions)
        title = f"{system}: {task.name}"
        ranked = list(bar.track(answers, total=len(questions), description=title))
    relevant = [wanted for _, wanted, _ in questions]
    return Outcome(
        system=system,
        task=task.name,
        queries=len(questions),
        r1=_mean(hit_at(1, *pair) for pair in zip(ranked, relevant, strict=True)),
        r10=_mean(hit_at(DEPTH, *pair) for pair in zip(ranked, relevant, strict=True)),
        mrr=mean_reciprocal_rank(ranked, relevant),
        chance1=_mean(chance_at(1, count, len(wanted)) for _, wanted, count in questions),
        chance10=_mean(chance_at(DEPTH, count, len(wanted)) for _, wanted, count in questions),
    )


def _questions(task: Task, items: Sequence[Item]) -> Iterator[tuple[Item, frozenset[str], int]]:
    """Each query, the ids that would be right, and how many may answer."""
    groups: Mapping[str, list[Item]] = defaultdict(list)
    kinds: dict[tuple[str, str], int] = {}
    for item in items:
        if item.metadata.get("group"):
            groups[str(item.metadata["group"])].append(item)
    for item in items:
        group = groups.get(str(item.metadata.get("group") or ""), [])
        relevant = frozenset(other.id for other in group if task.allowed(item, other))
        if relevant:
            kind = (_language(item), _speaker(item))
            if kind not in kinds:
                kinds[kind] = sum(task.allowed(item, other) for other in items)
            yield item, relevant, kinds[kind]


def _mean(values: Iterator[float]) -> float:
    return statistics.fmean(values)


def _report(speed: Mapping[str, float], *, as_json: bool) -> None:
    if as_json:
        emit({"measure": "speed", **speed})
        return
    rows = [(name.replace("_", " "), f"{value:,.1f}") for name, value in speed.items()]
    table("Speed", ("measure", "value>"), rows)


def _show(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    if as_json:
        for outcome in outcomes:
            emit({"measure": "retrieval", **vars(outcome)})
        return
    rows = [
        (
            outcome.task,
            outcome.system,
            outcome.queries,
            f"{outcome.r1:.1%}",
            f"{outcome.r10:.1%}",
            f"{outcome.mrr:.3f}",
            f"{outcome.chance1:.1%} / {outcome.chance10:.1%}",
        )
        for outcome in outcomes
    ]
    columns = ("the same in", "system", "queries>", "R@1>", "R@10>", "MRR>", "chance>")
    table("Same content found", columns, rows)
