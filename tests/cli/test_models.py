import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from embedsvc.encoder import Encoder, resolve
from tests.cli.program import Program, command, objects
from tests.encoder.ctc.published import of_languages
from tests.service.processes import SlowModel


def test_bundled_models_are_listed(main: Program) -> None:
    listed = main("models", "--json", "list")
    (mini,) = objects(listed)
    assert listed.stderr == ""
    config = resolve("mini").config
    assert mini["name"] == "mini"
    assert (mini["layers"], mini["dim"]) == (config.num_hidden_layers, config.hidden_size)
    assert len(mini["weights"]) == 64


def test_a_model_is_shown_to_people(main: Program) -> None:
    shown = main("models", "show", "mini")
    assert shown.returncode == 0
    assert f"{Encoder.load(resolve('mini')).parameters:,}" in shown.stdout


def test_a_model_that_only_writes_is_shown_with_its_heads(main: Program, tmp_path: Path) -> None:
    path = of_languages(tmp_path / "mms")
    (shown,) = objects(main("models", "show", path, "--json"))
    assert (shown["name"], shown["layers"], shown["dim"]) == ("mms", 3, 48)
    assert shown["heads"] == ["azj-script_latin", "eng", "spa"]
    assert "eng, spa" in main("models", "show", path).stdout


def test_a_model_has_its_card(main: Program) -> None:
    ended = main("models", "card", "mini")
    assert ended.returncode == 0
    assert ended.stdout.startswith("# mini\n")


def test_a_model_that_is_not_there_is_named(main: Program, tmp_path: Path) -> None:
    ended = main("models", "show", tmp_path / "nowhere")
    assert ended.returncode == 1
    assert "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def made(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mini` in 8 bits, for onnxruntime."""
    out = tmp_path_factory.mktemp("exports") / "small"
    ended = program("models", "export", "mini", "--format", "onnx-int8", "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "int8, compared with the source on speech: near enough" in ended.stdout
    assert f"embedsvc serve --runtime onnxruntime --model {out}" in ended.stderr
    return out


def test_an_export_says_how_near_it_is(main: Program, tmp_path: Path) -> None:
    ended = main("models", "export", "mini", "--layers", "3,-1", "--json", "--out", tmp_path)
    (quality,) = objects(ended)
    assert (ended.returncode, quality["precision"], quality["is_enough"]) == (0, "fp32", True)
    assert [each["layer"] for each in quality["layers"]] == [3, 6]
    assert all(each["largest"] < 5e-5 for each in quality["layers"])
    assert json.loads((tmp_path / "onnx.json").read_text())["quality"] == quality


def test_an_export_brings_the_card_and_its_license(made: Path) -> None:
    assert (made / "README.md").read_text() == (resolve("mini").directory / "README.md").read_text()


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        (("--layers", "7"), 1, "`layer` must be from -7 to 6, but is 7"),
        (("--layers", "a"), 2, "must be whole numbers, but is 'a'"),
        (("--format", "tflite"), 2, "invalid choice: 'tflite'"),
    ],
)
def test_a_wrong_wish_for_an_export_is_told(
    main: Program, tmp_path: Path, asked: tuple[str, str], code: int, told: str
) -> None:
    ended = main("models", "export", "mini", "--out", tmp_path / "made", *asked)
    assert ended.returncode == code
    assert told in ended.stderr
    assert not list(tmp_path.iterdir())


def test_an_interrupted_export_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    model, place = SlowModel(tmp_path / "model"), tmp_path / "place"
    place.mkdir()
    asked = command("models", "export", model.folder, "--out", place / "made")
    with subprocess.Popen(asked, stderr=subprocess.PIPE, text=True, env=environment) as export:
        while not list(place.iterdir()):
            assert export.poll() is None
            time.sleep(0.01)
        export.send_signal(signal.SIGINT)
        try:
            _, told = export.communicate(timeout=60)
        finally:
            export.kill()  # else leaving waits for its end
    assert export.returncode == 130
    assert "Traceback" not in told
    assert not list(place.iterdir())


def test_an_exported_model_is_served(
    made: Path, environment: dict[str, str], tmp_path: Path, clip: Path
) -> None:
    from embedsvc.client import Client

    flags = ("--runtime", "onnxruntime", "--model", made, "--threads", 1)
    asked = command("serve", "--address", "127.0.0.1:0", "--data", tmp_path, "--json", *flags)
    with subprocess.Popen(
        asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        target = json.loads(server.stdout.readline())["address"]
        with Client(target) as client, Client(":local:", data=tmp_path / "local") as usual:
            info = client.info()
            assert (info.runtime, info.precision, info.model) == ("onnxruntime", "int8", "mini")
            assert usual.info().runtime == "torch"
            found, expected = client.embed(clip), usual.embed(clip)
            assert found.space == expected.space
            assert np.dot(found.vector, expected.vector) > 0.999
        server.terminate()
        assert server.wait(30) == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--model", "mini"), "`model` must be a directory that `embedsvc models export` made"),
        (("--device", "cuda"), "`device` must be cpu with `runtime` onnxruntime"),
        (("--precision", "bf16"), "`precision` must be that of the export, int8, but is bf16"),
        (("--runtime", "jax"), "model.runtime: Input should be 'torch' or 'onnxruntime'"),
        (("--runtime", "torch"), "only `--runtime onnxruntime` can serve"),
    ],
)
def test_an_export_that_can_not_be_served_as_asked_is_told(
    main: Program, made: Path, tmp_path: Path, flags: tuple[str, str], told: str
) -> None:
    usual = ("--runtime", "onnxruntime", "--model", made, "--data", tmp_path)
    ended = main("serve", "--address", "127.0.0.1:0", *usual, *flags)
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
