from pathlib import Path

from embedsvc.encoder import Encoder, resolve
from tests.cli.program import Program, objects


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


def test_a_model_has_its_card(main: Program) -> None:
    ended = main("models", "card", "mini")
    assert ended.returncode == 0
    assert ended.stdout.startswith("# mini\n")


def test_a_model_that_is_not_there_is_named(main: Program, tmp_path: Path) -> None:
    ended = main("models", "show", tmp_path / "nowhere")
    assert ended.returncode == 1
    assert "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr
