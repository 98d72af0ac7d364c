"""The gate: every rule finds what it is there for, and speech that is sound passes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UsageError
from model.pronunciation import UNHEARD, Pronunciation
from model.speaking import Rendering, Sample
from tasks import gate as module
from tasks.gate import Gate, compare
from tasks.transcribe import Understood

RATE = 24_000
PHONES = ("HH", "AH0", "L", "OW1", "W", "ER1", "L", "D", ".")
WELL = Pronunciation(0.5, 1.2, 0.5, 3.4, 1.0, 0.2, 2.0, 0.1)


def tone(seconds: float, pause: float = 0.0) -> np.ndarray:
    sound = 0.5 * np.sin(np.arange(int(seconds * RATE)) / 20)
    silence = np.zeros(int(pause * RATE))
    return np.concatenate([sound, silence, sound if pause else silence]).astype(np.float32)


def rendering(audio=None, complete=True, heard=WELL) -> Rendering:
    audio = tone(0.8) if audio is None else audio
    return Rendering(audio, np.zeros(3, np.int16), complete, heard)


def judge(made: Rendering, gate: Gate | None = None, phones=PHONES, language="en"):
    return (gate or Gate()).judge(made, RATE, phones, language)


def test_sound_speech_passes():
    found = judge(rendering())
    assert (found.verdict, found.reasons) == ("ok", ())
    assert 0 < found.doubt < 1
    assert found.measures["lost"] == 0.5
    assert found.measures["seconds"] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (rendering(complete=False), "length bound"),
        (rendering(tone(0.8) * 0.001), "silent"),
        (rendering(np.zeros(0, np.float32)), "silent"),
        (rendering(tone(0.2)), "too short"),
        (rendering(tone(6)), "too long"),
        (rendering(np.full(9600, np.nan, np.float32)), "not a number"),
        (rendering(np.clip(3 * tone(0.8), -1, 1)), "clipped"),
        (rendering(tone(0.4, 1.5)), "a pause of 1.5 s at 0.4 s"),
        (rendering(heard=replace(WELL, lost=50.0)), "missing at 1.2 s"),
        (rendering(heard=replace(WELL, repeated=50.0)), "repeated at 3.4 s"),
        (rendering(heard=replace(WELL, wrong=9.0)), "wrong at 0.2 s"),
        (rendering(heard=replace(WELL, stray=60.0)), "strange is heard at 0.1 s"),
        (rendering(heard=replace(WELL, bled=60.0)), "voice sample"),
        (rendering(heard=UNHEARD), "missing"),
    ],
)
def test_every_rule_finds_what_it_is_for(made, reason):
    found = judge(made)
    assert found.verdict == "suspect"
    assert reason in found.reasons[0]
    assert found.doubt > 1


def test_the_most_doubtful_reason_comes_first():
    found = judge(rendering(heard=replace(WELL, lost=20.0, repeated=200.0)))
    assert ["repeated" in reason for reason in found.reasons] == [True, False]


def test_what_nobody_can_tell_is_inconclusive():
    assert judge(rendering(heard=None)).reasons == ("nobody here understands its language",)
    short = judge(rendering(tone(0.3)), phones=("OW1", "!"))
    assert (short.verdict, short.reasons) == ("inconclusive", ("too short to be sure",))
    assert judge(rendering(np.zeros(0, np.float32)), phones=("...",)).verdict != "suspect"


class Engine:
    """Hears a voice in the sign of the first sample."""

    def voice_vector(self, sample: Sample) -> np.ndarray:
        return np.array([1.0, 0.1]) if sample.audio[1] > 0 else np.array([0.1, 1.0])


def test_another_voice_is_suspect():
    gate = Gate(Engine(), [Sample(tone(3), RATE)])
    phones = PHONES * 4
    assert judge(rendering(tone(3)), gate, phones).measures["likeness"] == pytest.approx(1.0)
    other = judge(rendering(-tone(3)), gate, phones)
    assert "another voice" in other.reasons[0]
    assert "likeness" not in judge(rendering(-tone(0.8)), gate).measures


class Whisper:
    """Stands in for a model that is not on this machine: what it is said to hear, and how often
    it was asked."""

    def __init__(self, monkeypatch, text: str) -> None:
        self.asked = 0

        def understand(model, audio, rate, language):
            assert (model, language) == (self, "en")
            self.asked += 1
            return Understood(text, "en") if text else None

        monkeypatch.setattr(module, "find_whisper", lambda name: name)
        monkeypatch.setattr(module, "load_whisper", lambda name: self)
        monkeypatch.setattr(module, "understand", understand)


def test_whisper_is_asked_about_the_doubtful_alone(monkeypatch):
    whisper = Whisper(monkeypatch, "Hello, world.")
    gate = Gate(whisper="base")
    assert judge(rendering(), gate).verdict == "ok"
    assert whisper.asked == 0
    acquitted = judge(rendering(heard=replace(WELL, lost=20.0)), gate)
    assert (acquitted.verdict, whisper.asked) == ("ok", 1)
    assert acquitted.measures["whisper_error"] == 0
    sure = judge(rendering(heard=replace(WELL, lost=100.0)), gate)
    assert (sure.verdict, whisper.asked) == ("suspect", 1)
    assert judge(rendering(heard=None), gate).verdict == "ok"
    assert whisper.asked == 2
    judge(rendering(), Gate(whisper="base", hear_all=True))
    assert whisper.asked == 3


def test_whisper_convicts(monkeypatch):
    Whisper(monkeypatch, "Hello.")
    gate = Gate(whisper="base")
    found = judge(rendering(heard=replace(WELL, lost=10.0)), gate)
    assert found.verdict == "suspect"
    assert found.reasons == ("Whisper understands other words",)
    Whisper(monkeypatch, "")
    nothing = Gate(whisper="base", hear_all=True)
    assert judge(rendering(), nothing).verdict == "suspect"


def test_without_a_model_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(module, "load_whisper", lambda name: None)
    found = judge(rendering(heard=replace(WELL, lost=20.0)), Gate(whisper=""))
    assert found.verdict == "suspect"
    assert "whisper_error" not in found.measures


def test_a_model_that_is_not_there_is_said_at_once(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="neither the folder"):
        Gate(whisper="no such model")
    monkeypatch.setattr(module, "find_whisper", lambda name: None)
    with pytest.raises(UsageError, match="needs a Whisper model"):
        Gate(whisper="", hear_all=True)


@given(st.lists(st.sampled_from("ABCDEFGHIJ"), unique=True), st.integers(0, 12), st.integers(1, 5))
def test_an_opinion_counts_what_is_missing_and_what_is_added(words, place, count):
    same = compare(words, words)
    assert (same.missing, same.added, same.error) == (0, 0, 0)
    place = min(place, len(words))
    longer = [*words[:place], *["X"] * count, *words[place:]]
    assert compare(words, longer).added == count
    assert compare(longer, words).missing == count
    assert compare(longer, words).whole == (count < 3 and count / len(longer) <= 0.1)
