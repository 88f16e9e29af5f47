import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are no dependency of ours

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
TARGETS = ("cpu", "gpu")


def _instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile as (name, rest), lines joined and comments left out."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text))
    split = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(name, rest) for name, rest in split]


def _stages() -> dict[str, dict[str, list[str]]]:
    """What each stage says and inherits: values by instruction, in order."""
    stages: dict[str, dict[str, list[str]]] = {}
    stage: dict[str, list[str]] = {}
    for name, rest in _instructions():
        if name == "FROM":
            parent, _, own = rest.split()
            stage = {key: list(rows) for key, rows in stages.get(parent, {}).items()}
            stages[own] = stage
        stage.setdefault(name, []).append(rest)
    return stages


def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def _help(verb: str) -> str:
    start = "from embedsvc.cli.main import run; run()"
    asked = [sys.executable, "-c", start, verb, "--help"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def _command(instruction: str) -> list[str]:
    """The exec form in an instruction's value."""
    command: list[str] = json.loads(instruction[instruction.index("[") :])
    return command


def test_every_copied_source_exists_and_is_sent_to_the_builder() -> None:
    sent = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [rest.split()[:-1] for name, rest in _instructions() if name == "COPY"]
    assert copied
    for source in chain.from_iterable(copied):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in sent


@pytest.mark.parametrize("target", TARGETS)
def test_the_server_does_not_run_as_root(target: str) -> None:
    user = _stages()[target]["USER"][-1]
    assert user.split(":")[0] not in {"root", "0"}


@pytest.mark.parametrize("target", TARGETS)
def test_data_and_checkpoints_outlive_the_container(target: str) -> None:
    stage = _stages()[target]
    volumes = _command(stage["VOLUME"][-1])
    command = _command(stage["ENTRYPOINT"][-1])
    assert command[command.index("--data") + 1] in volumes
    assert f"HF_HOME={volumes[1]}" in " ".join(stage["ENV"])


@pytest.mark.parametrize("target", TARGETS)
def test_the_entrypoint_and_the_health_check_are_commands_we_have(target: str) -> None:
    stage = _stages()[target]
    for instruction in (stage["ENTRYPOINT"][-1], stage["HEALTHCHECK"][-1]):
        program, verb, *arguments = _command(instruction)
        assert program == "embedsvc"
        known = _help(verb)
        for flag in arguments[::2]:
            assert re.search(rf"(?<!\S){flag}\b", known), f"{verb} {flag}"


@pytest.mark.parametrize("target", TARGETS)
def test_the_port_that_is_served_is_checked_and_exposed(target: str) -> None:
    stage = _stages()[target]
    port = stage["EXPOSE"][-1]
    assert f"0.0.0.0:{port}" in _command(stage["ENTRYPOINT"][-1])
    assert f"localhost:{port}" in _command(stage["HEALTHCHECK"][-1])


def test_compose_builds_targets_of_the_dockerfile() -> None:
    services = _compose()["services"]
    assert {service["build"]["target"] for service in services.values()} == set(TARGETS)
    build = services["embedsvc"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).exists()


def test_compose_starts_the_cpu_alone_unless_asked() -> None:
    services = _compose()["services"]
    unasked = [name for name, service in services.items() if "profiles" not in service]
    assert [services[name]["build"]["target"] for name in unasked] == ["cpu"]


def test_compose_opens_the_port_to_this_machine_only() -> None:
    compose = _compose()
    assert compose["services"]["embedsvc"]["ports"] == ["127.0.0.1:50051:50051"]


def test_compose_keeps_every_volume_of_the_image() -> None:
    compose = _compose()
    mounted = [volume.split(":") for volume in compose["services"]["embedsvc"]["volumes"]]
    assert [place for _, place in mounted] == _command(_stages()["cpu"]["VOLUME"][-1])
    assert {name for name, _ in mounted} == set(compose["volumes"])
