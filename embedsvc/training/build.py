"""The model directory of a run: checkpoint, heads, projections, defaults, and a record."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from embedsvc.encoder import Encoder, resolve
from embedsvc.training.corpus import Corpus
from embedsvc.training.export import export
from embedsvc.training.objectives import Layers
from embedsvc.training.projections import collect, fit
from embedsvc.training.recipe import Output
from embedsvc.training.record import curves, record
from embedsvc.training.state import Run
from embedsvc.types import Pooling

RECORD, CURVES = "training.json", "training.svg"


def build(run: Run, corpus: Corpus, output: Output, directory: Path) -> None:
    """Write all files of the model but its card; `directory` may hold an older one.

    Raises `FailedPrecondition` when the run has kept no state yet.
    """
    export(run, directory)
    # A default that is not fitted yet would not load.
    for name in ("embedsvc.json", "projections.safetensors"):
        (directory / name).unlink(missing_ok=True)
    encoder = Encoder.load(resolve(str(directory)))
    sample = collect(encoder, corpus, [output.layer], output.clips)
    save_file(fit(sample, output.dim), directory / "projections.safetensors")
    text = json.dumps(_choices(output, Layers(**run.plan().recipe["layers"])), indent=1) + "\n"
    (directory / "embedsvc.json").write_text(text, encoding="utf-8")
    for path in directory.glob("*.safetensors"):
        path.chmod(0o644)  # they are written for their owner alone
    found = record(run, corpus)
    found["recipe"] = {**found["recipe"], "output": asdict(output)}
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (directory / RECORD).write_text(text, encoding="utf-8")
    (directory / CURVES).write_text(curves(found), encoding="utf-8")


def _choices(output: Output, taught: Layers) -> dict[str, Any]:
    """The model's own choice, and profiles of what its layers were taught."""
    usual = {"layer": output.layer, "pooling": Pooling.MEAN_STD.value}
    return {
        **usual,
        "projection": output.projection,
        "profiles": {
            "phonetic": {
                **usual,
                "projection": output.projection,
                "about": "how it sounds: the same words, whoever says them",
            },
            "language": {
                **usual,
                "layer": taught.language,
                "about": "which language is spoken: to put a probe on",
            },
            "speaker": {**usual, "layer": taught.voice, "about": "who speaks"},
        },
    }
