"""How fast exports are beside our own network: `python -m tests.encoder.onnx.speed`.

Everything takes turns in one process, on `mini` and on three layers of the published size with
random weights, whose values decide nothing here.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from embedsvc.cli.output import table
from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.onnx import open_exported, write
from embedsvc.encoder.precision import REDUCED
from embedsvc.types import Ask, ExportFormat
from tests.encoder.reference import reference, save, utterance
from tests.encoder.test_model import REAL

LENGTHS = (50, 250, 750, 1_000)
ROUNDS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    with tempfile.TemporaryDirectory() as folder:
        large = save(reference(**(REAL | {"num_hidden_layers": 3})), Path(folder) / "large")
        for model in ("mini", str(large)):
            compare(model, Path(folder) / Path(model).name, threads)


def compare(model: str, folder: Path, threads: int) -> None:
    """Show times of a model and of its exports."""
    checkpoint = resolve(model)
    exact = Encoder.load(checkpoint, threads)
    encoders = {"torch fp32": exact}
    for precision in REDUCED:
        encoders[f"torch {precision}"] = exact.at(precision)
    for kind in ExportFormat:
        made = folder / kind
        made.mkdir(parents=True)
        manifest = write(checkpoint, made, kind, (exact.layers,))
        megabytes = sum(path.stat().st_size for path in made.glob("model.onnx*")) / 1e6
        encoders[f"{kind} ({megabytes:.1f} MB)"] = open_exported(made, manifest, threads)
    rows = []
    for length in LENGTHS:
        times = measure(encoders, length)
        middle = {name: median(taken) for name, taken in times.items()}
        for name, taken in times.items():
            gain = middle["torch fp32"] / middle[name]
            spread = f"{min(taken) * 1e3:.0f}-{max(taken) * 1e3:.0f}"
            rows.append((length / 50, name, f"{middle[name] * 1e3:.1f}", spread, f"{gain:.2f}"))
    columns = ("seconds>", "by", "ms (median)>", "range>", "times as fast>")
    table(f"{checkpoint.name}, threads {threads}, rounds {ROUNDS}", columns, rows)


def measure(encoders: Mapping[str, Encoder], length: int) -> dict[str, list[float]]:
    """Seconds of each round, the first of which does not count."""
    frames = utterance(length)
    times: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(ROUNDS + 1):
        for name, encoder in encoders.items():
            started = time.perf_counter()
            encoder.encode([frames], [Ask((encoder.layers,), runs=((0, length),))])
            times[name].append(time.perf_counter() - started)
    return {name: taken[1:] for name, taken in times.items()}


if __name__ == "__main__":
    main()
