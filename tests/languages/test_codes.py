import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.languages import find, languages, normalize

CODES = sorted({code for row in languages() for code in (row.code, row.bcp47, *row.also)})
SCRIPTS = sorted({script for row in languages() for script in row.scripts})
REGIONS = ["US", "BR", "419", "CN", "HK", "001"]


@pytest.mark.parametrize(
    ("met", "code"),
    [
        ("iw", "heb"),
        ("in", "ind"),
        ("ji", "yid"),
        ("jw", "jav"),
        ("mo", "ron"),
        ("mol", "ron"),
        ("sh", "srp"),
        ("hbs", "srp"),
        ("scc", "srp"),
        ("scr", "hrv"),
        ("ger", "deu"),
        ("fre", "fra"),
        ("chi", "cmn"),
        ("dut", "nld"),
        ("may", "msa"),
        ("pt-BR", "por"),
        ("zh-Hant", "cmn"),
        ("cmn_CN", "cmn"),
        ("es-419", "spa"),
        ("zh-yue", "yue"),
        ("zh-cmn-Hans-CN", "cmn"),
        ("ar-arz", "arz"),
        ("arb", "ara"),
        ("swh", "swa"),
        ("zsm", "msa"),
        ("no", "nob"),
        ("nn", "nno"),
        ("no-nyn", "nno"),
        ("fil", "tgl"),
        ("de_DE.UTF-8", "deu"),
        ("sr_RS@latin", "srp"),
        ("eng-GB-x-rp", "eng"),
        (" EN ", "eng"),
    ],
)
def test_a_code_is_filed_under_one(met: str, code: str) -> None:
    assert normalize(met) == code


@given(st.sampled_from(CODES))
def test_what_is_normal_stays(code: str) -> None:
    assert normalize(normalize(code)) == normalize(code)


@given(st.sampled_from(CODES), st.sampled_from(SCRIPTS), st.sampled_from(REGIONS))
def test_scripts_and_regions_say_nothing_of_the_language(
    code: str, script: str, region: str
) -> None:
    assert normalize(f"{code}-{script}-{region}") == normalize(code)
    assert normalize(f"{code}_{region}") == normalize(code)


@given(st.sampled_from(CODES), st.data())
def test_capitals_do_not_matter(code: str, data: st.DataObject) -> None:
    mixed = "".join(letter.upper() if data.draw(st.booleans()) else letter for letter in code)
    assert normalize(mixed) == normalize(code)


@given(st.text(max_size=12))
def test_any_text_has_a_code_or_is_the_callers_fault(text: str) -> None:
    known = {row.code for row in languages()}
    try:
        assert normalize(text) in known
    except InvalidArgument as error:
        fault = error
    else:
        return
    assert fault.field == "language"


@pytest.mark.parametrize("text", ["", "-", "e", "qqq", "xx-US", "english language", "en--US"])
def test_what_is_no_language_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="`language` must be"):
        find(text)
