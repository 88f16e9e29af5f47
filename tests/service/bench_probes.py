"""What probes cost those who are served: `python -m tests.service.bench_probes`.

Calls with and without are interleaved, so that what else the machine does falls on both.
"""

# ruff: noqa: T201  # it speaks to whoever runs it

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from embedsvc import Client, ProbeRecipe, Timeline
from embedsvc.client import Examples
from embedsvc.client.operations import Status
from embedsvc.client.process import ServerProcess
from embedsvc.errors import Cancelled, EmbedsvcError
from embedsvc.samples import clips
from embedsvc.types import Floats
from tests.probes import toys

ROUNDS = 8
STRETCH_SECONDS = 6.0
PAUSE_SECONDS = 0.02
MINUTES = (10, 60)

Sound = tuple[Floats, int]


def main() -> None:
    """All measurements, one line each."""
    sounds = [soundfile.read(clip.path, dtype="float32") for clip in clips()[:60]]
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(Path(folder) / "data") as server,
        Client(server.target) as client,
    ):
        collection = client.create_collection("sentences")
        collection.add_batch(
            [
                (clip.path.stem, clip.data(), {"language": clip.language, "voice": clip.voice})
                for clip in clips()
            ]
        )
        client.probes.train("language", "sentences", "language", group="voice")
        beside(client, sounds)
        while_training(client, sounds)
        long_files(client, server, sounds, Path(folder))


def beside(client: Client, sounds: Sequence[Sound]) -> None:
    """`Embed` with a probe and without, the same audio one after the other."""
    alone, more = [], []
    for turn in range(ROUNDS):
        for place, sound in enumerate(sounds):
            took: dict[bool, float] = {}
            ways: tuple[list[str], ...] = ([], ["language"])
            for asked in ways[:: 1 if (turn + place) % 2 else -1]:
                started = time.perf_counter()
                client.embed(sound, probes=asked)
                took[bool(asked)] = time.perf_counter() - started
            if turn:
                alone.append(took[False])
                more.append(took[True] - took[False])
    low, middle, high = 1e3 * np.percentile(more, [25, 50, 75])
    print(
        f"Embed of 4 s: {1e3 * np.median(alone):.2f} ms; with a probe {middle:+.2f} ms "
        f"(median of {len(more)} pairs, middle half {low:+.2f} to {high:+.2f})"
    )


def while_training(client: Client, sounds: Sequence[Sound]) -> None:
    """`ClassifyAudio` again and again, alone and while a large probe is trained, in turns."""
    stretch(client, sounds)
    alone: list[float] = []
    busy: list[float] = []
    for _ in range(3):
        alone += stretch(client, sounds)
        with training(client.target):
            busy += stretch(client, sounds)
    for name, took in (("alone", alone), ("while a probe is trained", busy)):
        half, most = 1e3 * np.percentile(took, [50, 95])
        print(f"ClassifyAudio {name}: p50 {half:.1f}, p95 {most:.1f} ms of {len(took)}")


def stretch(client: Client, sounds: Sequence[Sound]) -> list[float]:
    """Seconds that calls took, one after the other with a pause between."""
    took: list[float] = []
    until = time.monotonic() + STRETCH_SECONDS
    while time.monotonic() < until:
        started = time.perf_counter()
        client.classify(sounds[len(took) % len(sounds)], ["language"])
        took.append(time.perf_counter() - started)
        time.sleep(PAUSE_SECONDS)
    return took


@contextmanager
def training(target: str) -> Iterator[None]:
    """A training of 20,000 vectors of 1,024 dimensions goes on in the block."""
    space = toys.space("t", 1024)
    drawn = toys.drawn([space], [f"l{n}" for n in range(20)], each=1_000)
    begun, over = threading.Event(), threading.Event()

    def tell(now: Status) -> None:
        if now.total and now.step != "starting":
            begun.set()
        if over.is_set():
            raise KeyboardInterrupt  # as whoever presses Ctrl-C

    def train() -> None:
        with Client(target) as client:
            given = Examples(drawn.vectors, drawn.labels, drawn.groups)
            try:
                client.probes.train_on_vectors(
                    "large", [given], [space], recipe=ProbeRecipe(folds=10), tell=tell
                )
            except (KeyboardInterrupt, Cancelled):
                return
            except EmbedsvcError as error:
                print(error)
            begun.set()

    thread = threading.Thread(target=train)
    thread.start()
    begun.wait()
    yield
    assert thread.is_alive(), "the training was over too soon"
    over.set()
    thread.join()


def long_files(
    client: Client, server: ServerProcess, sounds: Sequence[Sound], folder: Path
) -> None:
    """Long files over time: how long that takes, and the memory of the server."""
    whole = np.concatenate([samples for samples, _ in sounds])
    for minutes in MINUTES:
        path = folder / f"{minutes}.flac"
        soundfile.write(path, np.resize(whole, minutes * 60 * 16_000), 16_000)
        before, started = resident(server.pid), time.perf_counter()
        found = client.classify(path, ["language"], timeline=Timeline())
        print(
            f"{minutes} min: {time.perf_counter() - started:.1f} s, "
            f"{len(found.timelines['language'])} spans, {resident(server.pid) - before:+.0f} MiB"
        )


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
