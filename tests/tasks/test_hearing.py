from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import UsageError, UserError
from model.speaking import Hearing
from tasks import hearing as module
from tasks.audio_in import load_sample
from tasks.hearing import hear
from tasks.transcribe import Understood, builtin_phones, recognise
from tasks.voices import Voice

BUILT_IN = Hearing(12.0, True, "unused")
VITS = Hearing(10.0, True, "useful")
FLOW = Hearing(10.0, False, "needed")


def voice(seconds: float = 5.0, transcript: str | None = None, seed: int = 0) -> Voice:
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000))
    return Voice(f"voice {seed}", noise.astype(np.float32), 16_000, f"hash {seed}", transcript)


@pytest.fixture
def deaf(monkeypatch):
    """No Whisper on this machine, and a recogniser that hears nothing."""
    monkeypatch.setattr(module, "recognise", lambda audio, rate, whisper: None)
    monkeypatch.setattr(module, "builtin_phones", lambda audio, rate: ())


def test_the_built_in_voice_hears_a_sample_as_ever():
    heard = hear([voice(transcript="Hello.")], BUILT_IN, "en", "")
    assert heard.content_hash == "hash 0", "takes that were made keep their keys"
    assert heard.prompt is None
    assert heard.samples[0].audio.size == 80_000
    both = hear([voice(), voice(seed=1)], BUILT_IN, "en", "")
    assert len(both.samples) == 2
    assert both.content_hash not in ("hash 0", "hash 1")


def test_a_longer_sample_is_cut_and_named_by_what_is_left():
    cut, whole = hear([voice(13)], BUILT_IN, "en", ""), hear([voice(12)], BUILT_IN, "en", "")
    assert cut.samples[0].audio.size == 12 * 16_000
    assert cut.content_hash != "hash 0"
    assert whole.content_hash == "hash 0"


def test_a_transcript_becomes_the_prompt():
    heard = hear([voice(transcript="Hello world")], FLOW, "en", "")
    assert heard.prompt.phones == ("HH", "AH0", "L", "OW1", "W", "ER1", "L", "D", ".")
    other = hear([voice(transcript="Hello!")], FLOW, "en", "")
    assert heard.content_hash != other.content_hash


def test_a_chinese_transcript_brings_its_characters():
    pytest.importorskip("pypinyin")
    heard = hear([voice(transcript="你好")], FLOW, "en", "")
    assert heard.prompt.phones == ("n", "i2", "h", "ao3", ".")
    (run,) = heard.prompt.characters
    assert (run.start, run.text, run.word2ph) == (0, "你好.", (2, 2, 1))


def test_a_transcript_of_more_than_can_be_heard_is_refused():
    with pytest.raises(UserError, match=r"lasts 11 s, of which 10 s"):
        hear([voice(11, "Hello.")], VITS, "en", "")


def test_what_is_understood_comes_before_what_is_heard(monkeypatch, deaf):
    monkeypatch.setattr(module, "recognise", lambda *_: Understood("Good day.", "en"))
    assert hear([voice()], VITS, "ja", "").prompt.phones[:3] == ("G", "UH1", "D")
    monkeypatch.setattr(module, "recognise", lambda *_: Understood("Guten Tag.", "de"))
    assert hear([voice()], VITS, "en", "").prompt is None


def test_without_a_transcript_only_some_models_can_do(deaf):
    assert hear([voice()], VITS, "en", "").prompt is None
    with pytest.raises(UserError, match="--transcript"):
        hear([voice()], FLOW, "en", "")
    left_out = replace(voice(), transcript="")
    assert hear([left_out], VITS, "en", "").prompt is None
    with pytest.raises(UserError, match="one voice sample"):
        hear([voice(), voice(seed=1)], FLOW, "en", "")


def test_a_whisper_model_that_is_not_there(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="VOXLOOM_WHISPER=nope"):
        recognise(np.zeros(16_000, np.float32), 16_000, "nope")


def test_the_built_in_recogniser_hears_most_phones(shared: Path):
    audio, rate = load_sample(shared / "voices" / "librispeech_1688-0000.flac")
    heard = " ".join(builtin_phones(audio[: 10 * rate], rate))
    assert "HH IY1 M EH1 K" in heard  # him make
    assert heard.endswith(" .")
