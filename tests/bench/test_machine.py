import platform

from embedsvc.bench import machine


def test_everything_that_a_figure_needs_is_told() -> None:
    about = machine.about("embedsvc bench encoder")
    assert about["command"] == "embedsvc bench encoder"
    assert about["machine"]["cores"] >= 1
    assert about["versions"]["python"] == platform.python_version()
    assert about["versions"]["torch"]
    told = machine.told(about)
    assert about["date"] in told
    assert f"torch {about['versions']['torch']}" in told
    assert about["machine"]["processor"] in told
