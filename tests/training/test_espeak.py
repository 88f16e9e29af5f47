# ruff: noqa: RUF001  # IPA looks like other letters, and must

import pytest

from embedsvc.errors import FailedPrecondition
from embedsvc.training.espeak import Espeak, Voice, is_switched, version
from embedsvc.training.languages import languages
from embedsvc.training.utterances import KEPT_VARIANTS, VARIANTS

pytestmark = pytest.mark.usefixtures("needs_espeak")


def test_phones_come_in_order_within_the_sound() -> None:
    spoken = Espeak().speak("good morning", Voice("gmw/en-US"))
    times = [time for time, _ in spoken.phones]
    assert times == sorted(times)
    assert times[-1] <= len(spoken.samples)
    assert [name for _, name in spoken.phones if name][:3] == ["ɡ", "ʊ", "d"]


def test_a_faster_voice_takes_less_time() -> None:
    slow, fast = (Espeak().speak("good morning", Voice("gmw/en", rate=rate)) for rate in (130, 250))
    assert len(fast.samples) < len(slow.samples)


def test_every_voice_and_variant_of_the_tables_is_there() -> None:
    espeak = Espeak()
    for language in languages():
        assert all(espeak.has(Voice(name)) for name in language.voices)
    assert all(espeak.has(Voice("gmw/en", variant)) for variant in (*VARIANTS, *KEPT_VARIANTS))


def test_a_voice_there_is_not_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match="klingon-opera"):
        Espeak().speak("Qapla'", Voice("klingon-opera"))


def test_text_of_another_script_is_noticed() -> None:
    espeak = Espeak()
    assert is_switched(espeak.speak("добрый twp", Voice("zle/ru")))
    assert not is_switched(espeak.speak("добрый день", Voice("zle/ru")))


def test_nothing_is_said_of_nothing() -> None:
    assert not any(name for _, name in Espeak().speak(" ", Voice("gmw/en")).phones)


def test_the_version_is_a_number() -> None:
    assert version()[0].isdigit()
