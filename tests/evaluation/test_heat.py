from xml.etree import ElementTree as ET

from embedsvc.evaluation.heat import heat_map


def test_the_more_is_found_the_darker_is_the_cell() -> None:
    picture = heat_map("found & <missed>", {("a", "b"): 1.0, ("b", "a"): 0.0})
    root = ET.fromstring(picture)  # our own
    fills = [each.get("fill") for each in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert fills == ["#fff", "#eee", "#004696", "#ffffff", "#eee"]
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["found & <missed>", "a", "a", "b", "b", "100", "0"]


def test_many_languages_have_colors_only() -> None:
    names = [f"l{each}" for each in range(50)]
    shares = {(a, b): 0.25 for a in names for b in names if a != b}
    root = ET.fromstring(heat_map("all", shares))  # our own
    assert len(list(root.iter("{http://www.w3.org/2000/svg}text"))) == 1 + 2 * 50
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 50 * 50
