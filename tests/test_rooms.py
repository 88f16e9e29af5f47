"""Who may import whom: rooms stand on floors, and a module looks only downward."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import embedsvc

PACKAGE = Path(embedsvc.__file__).parent
FILES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] != "v1"
)

FLOORS = (
    ("errors", "timing", "version", "v1"),
    ("types", "files", "filters", "samples", "models", "languages"),
    ("transforms", "ctc", "texts"),
    ("audio", "encoder", "feature_files", "index", "moments", "operations", "probes"),
    ("settings", "telemetry", "wire", "evaluation"),
    ("batching", "pipeline", "training"),
    ("service",),
    ("client",),
    ("bench",),
    ("cli", "testing", "__main__", "__init__"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NEIGHBORS = {("filters", "types"), ("pipeline", "batching"), ("__main__", "cli")}
"""Imports between rooms of one floor: (who, whom)."""

OWNERS = {
    "torch": {"encoder", "training", "bench"},
    "transformers": {"bench"},
    "ctranslate2": {"bench"},
    "onnx": {"encoder"},
    "onnxruntime": {"encoder", "bench"},
    "openvino": {"bench"},
    "mteb": {"client"},
    "flashlight": {"ctc"},
    "faiss": {"index"},
    "apsw": {"index"},
    "sqlite3": set(),
    "grpc": {"wire", "service", "client", "bench"},
    "google": {"wire", "service", "client"},
    "embedsvc.v1": {"wire", "service", "client", "bench"},
    "pydantic": {"settings"},
    "pyarrow": set(),  # feature_files asks for it by name, when it is wanted
    "rich": {"cli"},
    "argparse": {"cli", "training"},
    "logging": {"telemetry"},
}
"""Which rooms import what is heavy, or what is an edge of the program."""

CODE_CARRIERS = {
    "pickle",
    "cPickle",
    "_pickle",
    "joblib",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
}
"""Formats that run what they read."""

ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def room_of(file: str) -> str:
    return Path(file).parts[0].removesuffix(".py")


def tree_of(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text(encoding="utf-8"))


def imported(node: ast.AST) -> Iterator[str]:
    """The full names that a statement imports, those of attributes too."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "imports say the whole name"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(tree: ast.AST) -> list[str]:
    return [name for node in ast.walk(tree) for name in imported(node)]


def rooms(tree: ast.AST) -> set[str]:
    """The rooms of ours that are imported; a name of the package itself is in `__init__`."""
    found = set()
    for name in imports(tree):
        parts = name.split(".")
        if parts[0] == "embedsvc":
            inner = parts[1] if len(parts) > 1 else "__init__"
            found.add(inner if inner in FLOOR_OF else "__init__")
    return found


class Late(ast.NodeTransformer):
    """Takes the functions out of a tree, and notes which rooms they import."""

    def __init__(self) -> None:
        self.rooms: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.Pass:
        self.rooms |= rooms(node)
        return ast.Pass()

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.Pass:
        self.rooms |= rooms(node)
        return ast.Pass()


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def python(code: str) -> list[str]:
    """The words that a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("file", FILES)
def test_a_module_imports_only_from_lower_floors(file: str) -> None:
    room = room_of(file)
    floor = FLOOR_OF[room]
    for other in rooms(tree_of(file)) - {room}:
        assert FLOOR_OF[other] < floor or (room, other) in NEIGHBORS, f"{file} imports {other}"


@pytest.mark.parametrize("file", FILES)
def test_each_library_has_its_rooms(file: str) -> None:
    for name in imports(tree_of(file)):
        for library, owners in OWNERS.items():
            if f"{name}.".startswith((f"{library}.", f"{library}_")):
                assert room_of(file) in owners, f"{file} imports {name}"


@pytest.mark.parametrize("file", FILES)
def test_only_the_settings_read_the_environment(file: str) -> None:
    if file in {"settings.py", "audio/sandbox.py"}:  # the latter fills that of its child
        return
    tree = tree_of(file)
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not read & ENVIRONMENT
    assert not set(imports(tree)) & {f"os.{name}" for name in ENVIRONMENT}


@pytest.mark.parametrize("file", FILES)
def test_nothing_that_is_read_can_run(file: str) -> None:
    tree = tree_of(file)
    assert not {name.split(".")[0] for name in imports(tree)} & CODE_CARRIERS
    for function, call in calls(tree):
        assert function not in {"eval", "exec", "compile", "__import__"}
        assert function not in {"torch.load", "torch.hub.load", "os.system", "os.popen"}
        assert not {keyword.arg for keyword in call.keywords} & {"allow_pickle", "shell"}


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) == "client"])
def test_the_client_reaches_the_service_only_when_it_runs_one(file: str) -> None:
    tree = tree_of(file)
    heavy = {"service", "pipeline", "batching", "encoder", "index", "audio", "settings"}
    if file == "client/local.py":
        late = Late()
        late.visit(tree)
        assert late.rooms >= {"service"}
    assert not rooms(tree) & heavy


@pytest.mark.parametrize("name", embedsvc.__all__)
def test_a_public_name_exists(name: str) -> None:
    assert getattr(embedsvc, name).__name__ == name


def test_a_name_that_is_not_public_does_not_exist() -> None:
    assert not hasattr(embedsvc, "nothing_of_that_name")


def test_every_file_stands_on_a_floor() -> None:
    assert {room_of(file) for file in FILES} <= FLOOR_OF.keys()
    for room in FLOOR_OF:
        assert importlib.util.find_spec(f"embedsvc.{room}") is not None


def test_a_client_needs_no_encoder_and_no_index() -> None:
    loaded = python("import embedsvc, embedsvc.client, sys; print(*sys.modules)")
    assert "embedsvc.client" in loaded
    assert not {"torch", "faiss", "apsw", "transformers"} & set(loaded)
    assert "embedsvc.service" not in loaded


def test_a_probe_is_served_and_trained_without_scikit_learn() -> None:
    loaded = python("import embedsvc.probes, sys; print(*sys.modules)")
    assert "embedsvc.probes.training" in loaded
    assert not {"sklearn", "torch", "faiss", "google"} & {name.split(".")[0] for name in loaded}


def test_the_decoder_needs_no_grpc() -> None:
    loaded = python("import embedsvc.audio.sandbox_worker, sys; print(*sys.modules)")
    assert "soundfile" in loaded
    assert not {"grpc", "google", "torch", "pydantic"} & {name.split(".")[0] for name in loaded}
