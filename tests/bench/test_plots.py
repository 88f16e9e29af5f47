from xml.etree import ElementTree as ET

from embedsvc.bench.figures import Spread
from embedsvc.bench.plots import Bars, Lines, page

NAME = "{http://www.w3.org/2000/svg}"


def test_a_page_has_every_bar_and_every_line() -> None:
    bars = Bars("speed <fast>", [("a & b", Spread(1, 2, 3)), ("c", Spread(4, 8, 9))])
    lines = Lines("memory", [("one", [(0, 1), (2, 3)]), ("two", [(0, 2), (1, 2)])])
    tree = ET.fromstring(page([bars, lines]))
    texts = [node.text for node in tree.iter(f"{NAME}text")]
    assert {"speed <fast>", "a & b", "c", "memory", "one", "two", "2.0", "8.0"} <= set(texts)
    first, second = (
        float(node.attrib["width"]) for node in tree.iter(f"{NAME}rect") if "x" in node.attrib
    )
    assert second == 4 * first
