"""Kill a process that writes, again and again, and look for what it acknowledged.

python -m tests.index.kill_loop --rounds 12
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from embedsvc.index import Catalog, Collection, TextQuery, Tuning, WriteMode
from embedsvc.texts.terms import asked
from embedsvc.types import HeadKind, Line, Recording, Span, TextHead, Texts, TextUnit
from tests.index.builders import SEGMENTATION, coded, recording, space

DIM, MORE = 64, 32
SPACES = {"first": space(DIM), "second": space(MORE)}
TEXTS = Texts((TextHead("phones", HeadKind.PHONES),))
IDS = 2_000
TUNING = Tuning(
    tail_limit=512, dead_floor=64, columns_from=64, accelerate_from=128, ballast_bytes=0
)


def versioned(id: str, version: int) -> Recording:
    """The content of `id` as `version` writes it."""
    seed = 100_000 * version + int(id[1:])
    made = recording(id, seed, dim=DIM, metadata={"version": version}, more=(MORE,))
    return replace(made, codes=coded(seed), lines=told(seed))


def told(seed: int) -> tuple[Line, ...]:
    """Texts as a recording of that seed may have them: a word of its own, and phones."""
    word = TextUnit(f"w{seed}", Span(0, 50))
    phones = tuple(
        TextUnit("ptkaiu"[int(digit) % 6], Span(10 * place, 10 * place + 10))
        for place, digit in enumerate(str(seed))
    )
    heard = " ".join(unit.text for unit in phones)
    return Line(word.text, (word,)), Line(heard, phones, "phones", HeadKind.PHONES)


def child(directory: Path, version: int) -> None:
    """Write and delete for ever; say each thing before and after it is done."""
    chance = random.Random(version)
    with Catalog(directory, TUNING) as catalog:
        collection = catalog.get("x")
        threading.Thread(target=compact_often, args=(collection,), daemon=True).start()
        while True:
            ids = sorted({f"u{chance.randrange(IDS)}" for _ in range(4)})
            say("put?", *ids)
            batch = [versioned(id, version) for id in ids]
            collection.add(batch, mode=WriteMode.UPSERT)
            say("put", *ids)
            if chance.random() < 0.2:
                victim = f"u{chance.randrange(IDS)}"
                say("delete?", victim)
                collection.delete([victim])
                say("delete", victim)


def compact_often(collection: Collection) -> None:
    while True:
        time.sleep(0.1)
        collection.compact()
        collection.accelerate()


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


@dataclass
class Tally:
    """The oracle, and what was found to disagree with it."""

    known: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    unfound: list[str] = field(default_factory=list)
    asked: int = 0
    missed: int = 0
    accelerated: int = 0
    miscoded: list[str] = field(default_factory=list)
    mistold: list[str] = field(default_factory=list)
    rebuilt: int = 0
    open_seconds: list[float] = field(default_factory=list)

    def hear(self, lines: Iterator[str], version: int) -> dict[str, int | None]:
        """Take in what a child said; what was begun and not acknowledged, with its outcome."""
        pending: dict[str, int | None] = {}
        for line in lines:
            what, *ids = line.split()
            if what in {"put?", "delete?"}:
                pending = dict.fromkeys(ids, version if what == "put?" else None)
                continue
            self.acknowledged += len(ids)
            pending = {}
            for id in ids:
                if what == "put":
                    self.known[id] = version
                else:
                    self.known.pop(id, None)
        return pending

    def check(self, collection: Collection, pending: dict[str, int | None]) -> None:
        """Compare the collection with the oracle, then take over what was pending and is done."""
        rows = {
            item.id: int(item.metadata["version"])
            for item in collection.page(limit=10_000).recordings
        }
        for id in {*rows, *self.known}:
            allowed = {self.known.get(id), pending.get(id, self.known.get(id))}
            if rows.get(id) not in allowed:
                (self.ghosts if id in rows else self.lost).append(id)
        for each in collection._store.view.spaces:
            self.accelerated += each.base.proposals is not None
        for id in random.sample(sorted(rows), min(200, len(rows))):
            self.look(collection, versioned(id, rows[id]))
            codes = collection.codes.of(id)
            expected = versioned(id, rows[id]).codes
            if expected is None or not np.array_equal(codes, expected):
                self.miscoded.append(id)
            self.look_up(collection, versioned(id, rows[id]))
        for id in random.sample([f"u{n}" for n in range(IDS)], 50):
            found = collection.search(versioned(id, 1).segments[0].vector, 5)
            self.ghosts += [hit.id for hit in found.hits if hit.id not in rows]
        self.known = rows

    def look_up(self, collection: Collection, item: Recording) -> None:
        """Read the texts of a recording that is there, and find it by its word."""
        (word, _) = item.lines
        hits = collection.texts.search(TextQuery(phrases=asked(word.text))).words
        same = [(line.text, line.span) for line in collection.texts.of(item.id)]
        if same != [(line.text, line.span) for line in item.lines]:
            self.mistold.append(item.id)
        if [hit.id for hit in hits] != [item.id]:
            self.mistold.append(item.id)

    def look(self, collection: Collection, item: Recording) -> None:
        """Search for a recording that is there, in each space."""
        for name, query in zip(SPACES, item.segments[0].vectors, strict=True):
            found = collection.search(query, 1, space=name)
            self.asked += 1
            if found.hits[0].id != item.id and found.exact:
                self.unfound.append(item.id)
            elif found.hits[0].id != item.id:
                self.missed += 1


def run(directory: Path, rounds: int, seconds: float) -> Tally:
    """`rounds` children, each killed after about `seconds`; one base is damaged in between."""
    tally = Tally()
    with Catalog(directory, TUNING) as catalog:
        catalog.create("x", SPACES, SEGMENTATION, recipe=b"recipe", texts=TEXTS)
    for version in range(1, rounds + 1):
        lines = killed(directory, version, seconds * random.uniform(0.5, 1.5))
        pending = tally.hear(iter(lines), version)
        if version == max(1, rounds * 2 // 3):
            tally.rebuilt += corrupt(directory)
        began = time.monotonic()
        with Catalog(directory, TUNING) as catalog:
            collection = catalog.get("x")
            tally.open_seconds.append(time.monotonic() - began)
            tally.check(collection, pending)
    return tally


def killed(directory: Path, version: int, seconds: float) -> list[str]:
    """What a child said before it was killed, `seconds` after its first word."""
    command = [sys.executable, "-m", "tests.index.kill_loop", "--child", str(directory)]
    with subprocess.Popen(
        [*command, "--version", str(version)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        lines += process.stdout.readlines()
        timer.join()
    assert process.returncode == -9
    return [line for line in lines if line.endswith("\n")]


def corrupt(directory: Path) -> int:
    """Flip a byte in the middle of each base and accelerator; how many there were."""
    bases = list(directory.rglob("base-*"))
    for path in bases:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    return len(bases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--child", type=Path)
    parser.add_argument("--version", type=int)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.version)
    with tempfile.TemporaryDirectory() as directory:
        tally = run(Path(directory), asked.rounds, asked.seconds)
    say(
        f"{asked.rounds} rounds, {tally.acknowledged} acknowledged writes, "
        f"{len(tally.lost)} lost, {len(tally.ghosts)} ghosts, {len(tally.unfound)} not found, "
        f"{len(tally.miscoded)} with other codes, "
        f"{len(tally.mistold)} with other texts, "
        f"{tally.missed} of {tally.asked} missed by {tally.accelerated} accelerators, "
        f"{tally.rebuilt} damaged files, opened in {max(tally.open_seconds) * 1000:.0f} ms at most"
    )


if __name__ == "__main__":
    main()
