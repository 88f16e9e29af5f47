"""The README is run from top to bottom, by somebody with a folder of speech."""

import json
import os
import re
import shlex
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile
from google.protobuf import json_format

from embedsvc.samples import clips
from embedsvc.settings import Settings
from embedsvc.v1 import embedding_pb2, embedding_pb2_grpc

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "localhost:50051"
YEARS = {"eng": 1990, "fra": 1987, "pol": 2015, "spa": 2004}


def blocks(language: str) -> list[str]:
    """What the README has in fences of `language`, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


INSTALLING = [block for block in blocks("sh") if block.startswith("pip ")]
(SERVING,) = (block for block in blocks("sh") if block.startswith("embedsvc serve"))
COMMANDS = [block for block in blocks("sh") if block not in {*INSTALLING, SERVING}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader is: sound files, a table of labels, a longer talk, and the program."""
    made = tmp_path_factory.mktemp("reader")
    (made / "speech").mkdir()
    rows, spoken = ["path\tlanguage\tyear"], []
    for clip in clips("archive"):
        if clip.language in YEARS and clip.group in {"news", "music"}:
            samples, rate = soundfile.read(clip.path)
            name = f"{clip.name.lower()}-{clip.group}.wav"
            soundfile.write(made / "speech" / name, samples, rate)
            rows.append(f"{name}\t{clip.language}\t{YEARS[clip.language]}")
            spoken.append(samples)
    (made / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    soundfile.write(made / "talk.wav", np.concatenate(spoken), 16_000, subtype="PCM_16")
    (made / "embedsvc").mkdir()
    (made / "embedsvc" / "samples").symlink_to(clips()[0].path.parents[1])
    program = made / "bin" / "embedsvc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m embedsvc "$@"\n')
    program.chmod(0o755)
    return made


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMBEDSVC_")}
    path = f"{folder / 'bin'}:{kept['PATH']}"
    return {**kept, "PATH": path, "XDG_DATA_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def target(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The server of the README, on a port that is free."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {SERVING}"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**environment, "EMBEDSVC_SERVER__ADDRESS": "127.0.0.1:0"},
    ) as server:
        assert server.stderr is not None
        said = next(line for line in server.stderr if line.startswith("serving "))
        yield said.split()[-1]
        server.terminate()
        server.stderr.read()
        assert server.wait(30) == 0


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    ended = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=100,
    )
    assert ended.returncode == 0, f"{arguments}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def test_every_command_and_program_works_in_the_order_of_the_page(
    folder: Path, environment: dict[str, str], target: str
) -> None:
    assert len(COMMANDS) >= 5
    for block in COMMANDS:
        shell = ["bash", "-euo", "pipefail", "-c", block.replace(ADDRESS, target)]
        assert run(shell, folder, environment)
    programs = "\n".join(blocks("python")).replace(ADDRESS, target)
    printed = run([sys.executable, "-W", "error", "-c", programs], folder, environment)
    with wave.open(str(folder / "talk.wav")) as talk:
        assert f"{talk.getnframes() / 16_000}" in printed
    assert "'language': 'eng'" in printed


def test_the_commands_to_install_are_those_that_are_checked() -> None:
    (demo, tests) = (block.strip() for block in INSTALLING)
    assert demo == "pip install . && embedsvc demo"
    checked = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    for command in tests.split(" && "):
        assert command in checked
    assert "embedsvc demo" in {line.strip() for line in checked}


def test_the_request_for_grpcurl_is_understood(folder: Path, target: str) -> None:
    (block,) = (block for block in blocks("console") if "grpcurl" in block)
    found = re.search(r"printf '(.*?)'.*base64 -w0 (\S+)\).*? (\S+)/(\w+)\n", block, re.DOTALL)
    assert found is not None
    template, path, service, method = found.groups()
    assert (service, method) == ("embedsvc.v1.EmbeddingService", "Embed")
    tree: dict[str, Any] = json.loads(template)
    assert tree["audio"].pop("encoded") == "%s"
    request = json_format.ParseDict(tree, embedding_pb2.EmbedRequest())
    request.audio.encoded = (folder / path).read_bytes()
    with grpc.insecure_channel(target) as channel:
        reply = embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed(request)
    (output,) = reply.embedding.outputs
    assert len(output.tensor.floats) == output.space.dim > 0


def settings(model: Any, prefix: str = "") -> Iterator[str]:
    """The rows of the table."""
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from settings(field.annotation, f"{prefix}{name}.")
        else:
            unset = field.default_factory is not None or field.default is None
            default = "" if unset else f"`{field.default}`"
            yield f"| `{prefix}{name}` | {default} | {field.description} |"


def test_the_table_of_settings_is_that_of_the_program() -> None:
    header = "| setting | default | meaning |\n|---|---|---|\n"
    table = TEXT.split(header)[1].split("\n\n")[0]
    assert table.splitlines() == list(settings(Settings))


def test_the_settings_file_of_the_page_is_valid(tmp_path: Path) -> None:
    import tomllib

    (example,) = blocks("toml")
    assert Settings.model_validate(tomllib.loads(example)).audio.max_unary_seconds == 300


def test_links_lead_to_files_that_are_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    local = [link for link in links if not link.startswith("https://")]
    assert len(local) > 5
    for link in local:
        assert (ROOT / link).exists(), link


def test_the_reasons_of_the_page_are_those_of_the_errors() -> None:
    from embedsvc import errors

    known = {
        kind.reason
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.EmbedsvcError)
    }
    table = TEXT.split("| reason | means |")[1].split("\n\n")[0]
    named = {reason for line in table.splitlines() for reason in re.findall(r"`([A-Z_]+)`", line)}
    assert len(named) > 12
    assert named <= known
