import re
from pathlib import Path

import pytest

from embedsvc.cli.doctor import Fault, _loaded
from embedsvc.client import BodyInfo
from embedsvc.encoder import resolve
from tests.cli.program import Program, objects
from tests.encoder.ctc.published import of_languages


def test_a_machine_in_order_passes_every_check(main: Program, tmp_path: Path) -> None:
    ended = main("doctor", "--data", tmp_path / "data", "--json")
    checks = {each["check"]: each for each in objects(ended)}
    assert set(checks) == {"python", "packages", "codecs", "disk", "model"}
    assert all(each["ok"] for each in checks.values()), checks
    assert "mini" in checks["model"]["detail"]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not list(tmp_path.iterdir())


def test_a_model_that_does_not_load_is_a_fault(
    main: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDSVC_MODEL__NAME", "/nowhere")
    ended = main("doctor")
    assert ended.returncode == 1
    assert "FAULT" in ended.stdout
    assert "/nowhere" in ended.stdout


def test_a_server_is_checked_from_outside(program: Program, target: str) -> None:
    ended = program("doctor", "--target", target)
    assert ended.returncode == 0
    assert f"{target} is serving" in ended.stdout
    config = resolve("mini").config
    assert "phones (phones, any language, license CC-BY-SA-4.0)" in " ".join(ended.stdout.split())
    assert f"mini, {config.num_hidden_layers} layers of {config.hidden_size}, fp32" in ended.stdout
    models = " ".join(ended.stdout.split("models")[1].replace("│", " ").split())
    assert re.search(r"mini: 5,\d{3},\d{3} parameters, fp32, heads letters-\w+, .*phones", models)


def test_a_model_of_a_server_that_is_not_well_is_a_fault() -> None:
    well = BodyInfo("mini", ("phones",), "aa", 5_200_000, "fp32", "cpu", serving=True)
    heads = ("mms-eng", "mms-spa")
    sick = BodyInfo("mms", heads, "bb", 10, "fp32", "cpu", serving=False, not_serving_since=0.0)
    assert _loaded([well]) == "mini: 5,200,000 parameters, fp32, heads phones"
    with pytest.raises(Fault, match=r"^mms is not well since 19\d\d-.* \(heads mms-eng, mms-spa\)"):
        _loaded([well, sick])
    assert _loaded([]) == "not told by this server"


def test_heads_of_other_models_are_loaded_and_told(
    main: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = of_languages(tmp_path / "mms")
    monkeypatch.setenv("EMBEDSVC_MODEL__HEADS__MANY", f"{path}:spa")
    ended = main("doctor", "--json")
    (told,) = [each["detail"] for each in objects(ended) if each["check"] == "heads"]
    assert "many-spa (text, spa, license cc-by-nc-4.0)" in told
    assert "phones (phones, any language, license CC-BY-SA-4.0)" in told


def test_a_server_that_is_not_there_is_a_fault(main: Program) -> None:
    ended = main("doctor", "--target", "127.0.0.1:9", "--json")
    assert ended.returncode == 1
    (fault,) = objects(ended)
    assert (fault["check"], fault["ok"]) == ("health", False)
    assert "127.0.0.1:9 is not serving" in fault["detail"]
