"""`embedsvc doctor`: is this machine, or that server, in order? Each fault names its cure."""

import argparse
import importlib
import platform
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from embedsvc.cli.output import emit, table
from embedsvc.errors import EmbedsvcError
from embedsvc.types import HeadInfo, Runtime

if TYPE_CHECKING:
    from embedsvc.client import BodyInfo
    from embedsvc.settings import ModelSettings

FREE_BYTES = 512 * 1024 * 1024
PACKAGES = ("torch", "faiss", "apsw", "grpc", "soundfile", "soxr", "safetensors", "scipy")

SPEED_SECONDS = 10
"""Audio that the model is timed with."""

Check = Callable[[], str]


class Fault(Exception):
    """Something is wrong; the message says what to do."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("doctor", help="check this machine, or a server")
    parser.add_argument("--target", metavar="HOST:PORT", help="check this server instead")
    parser.add_argument("--data", metavar="DIR", type=Path, help="where collections are kept")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Run every check; 0 when all are well."""
    checks = _server(chosen.target) if chosen.target else _machine(chosen.data)
    results: list[tuple[str, bool, str]] = []
    for name, check in checks.items():
        results.append((name, *_outcome(check)))
        if chosen.target and not results[-1][1]:
            break  # a server that is not there has no more to tell
    if chosen.json:
        for name, well, text in results:
            emit({"check": name, "ok": well, "detail": text})
    else:
        rows = [(name, "ok" if well else "FAULT", text) for name, well, text in results]
        table("Doctor", ("check", "", "detail"), rows)
    return 0 if all(well for _, well, _ in results) else 1


def _outcome(check: Check) -> tuple[bool, str]:
    try:
        return True, check()
    except (Fault, EmbedsvcError) as error:
        return False, str(error)


def _machine(data: Path | None) -> dict[str, Check]:
    from embedsvc import settings

    loaded = settings.load({"data": data})
    checks = {
        "python": _python,
        "packages": _packages,
        "codecs": _codecs,
        "disk": lambda: _disk(loaded.data),
        "model": lambda: _model(loaded.model.name),
    }
    if loaded.model.heads:
        checks["heads"] = lambda: _heads(loaded.model)
    return checks


def _python() -> str:
    return f"Python {platform.python_version()} on {platform.machine()}"


def _packages() -> str:
    versions = []
    for name in PACKAGES:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise Fault(f"{name} does not import ({error}); run: pip install embedsvc") from error
        versions.append(f"{name} {getattr(module, '__version__', '')}".strip())
    return ", ".join(versions)


def _codecs() -> str:
    from embedsvc.audio import Door, decode
    from embedsvc.samples import clips

    clip = clips()[0]
    audio = decode(clip.data(), Door())
    return f"Ogg-Opus decodes: {audio.seconds:.1f} s of {clip.name}"


def _disk(folder: Path) -> str:
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise Fault(f"{free >> 20} MiB free at {folder}; free some, or use another --data")
    return f"{free / 2**30:.1f} GiB free at {folder}"


def _model(name: str) -> str:
    import numpy as np

    from embedsvc.encoder import Encoder, kernels, resolve
    from embedsvc.types import Ask, Frames

    encoder = Encoder.load(resolve(name))
    encoder.warm_up()
    frames = Frames(np.zeros((SPEED_SECONDS * 50, 160), np.float32))
    took = min(_timed(lambda: encoder.encode([frames], [Ask((encoder.layers,))])) for _ in range(3))
    speed = SPEED_SECONDS / took
    what = f"{encoder.name}: {encoder.parameters:,} parameters, {speed:.0f}x real time here"
    return f"{what}, compiled kernels: {kernels() or 'none for this processor'}"


def _heads(model: "ModelSettings") -> str:
    from embedsvc.pipeline import loading
    from embedsvc.pipeline.bodies import load_bodies, wanted

    encoder, heads = loading.load_all(model.name, runtime=model.runtime)
    asked = [wanted(name, text) for name, text in model.heads.items()]
    return _told(load_bodies(encoder, heads, asked).heads.infos())


def _told(heads: Iterable[HeadInfo]) -> str:
    """What each head writes, and by whose leave.

    >>> from embedsvc.types import HeadKind
    >>> _told([HeadInfo("mms-deu", HeadKind.TEXT, ("deu",), 32, 0.02, "", "cc-by-nc-4.0")])
    'mms-deu (text, deu, license cc-by-nc-4.0)'
    """
    return "; ".join(
        f"{each.name} ({each.kind}, {', '.join(each.languages) or 'any language'}, "
        f"license {each.license or 'not stated'})"
        for each in heads
    )


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _server(target: str) -> dict[str, Check]:
    from embedsvc.client import Client

    def serving() -> str:
        with Client(target, timeout=10.0) as client:
            client.wait_until_serving(timeout=5.0)
        return f"{target} is serving"

    def model() -> str:
        with Client(target, timeout=10.0) as client:
            info = client.info()
        model = f"{info.model}, {info.layers} layers of {info.dim}, {info.precision}"
        if info.runtime == Runtime.ONNXRUNTIME:
            model = f"{model} by {info.runtime}"
        return f"embedsvc {info.version}, {model}"

    def heads() -> str:
        with Client(target, timeout=10.0) as client:
            return _told(client.heads()) or "none"

    def bodies() -> str:
        with Client(target, timeout=10.0) as client:
            return _loaded(client.info().bodies)

    return {"health": serving, "info": model, "heads": heads, "models": bodies}


def _loaded(bodies: Iterable["BodyInfo"]) -> str:
    """What each model is, and whose; raises Fault when one is not well."""
    told = []
    sick = []
    for each in bodies:
        heads = ", ".join(each.heads) or "none"
        told.append(
            f"{each.model}: {each.parameters:,} parameters, {each.precision}, heads {heads}"
        )
        if each.not_serving_since is not None:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.not_serving_since))
            sick.append(f"{each.model} is not well since {since} (heads {heads})")
    if sick:
        raise Fault(
            f"{'; '.join(sick)}: the server's log says why (event `health`), and restarting it "
            "loads the model again"
        )
    return "; ".join(told) or "not told by this server"
