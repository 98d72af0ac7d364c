"""What an engine is to hear of the user's voice samples: which seconds, and what they say."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from configs.errors import UserError
from storage.keys import content_key
from tasks.engines import language_of
from tasks.reference import choose_speech
from tasks.transcribe import builtin_phones, recognise
from tasks.voices import Voice, cut_voice

if TYPE_CHECKING:
    from model.speaking import Hearing, Prompt, Sample

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heard:
    """Samples and prompt as engines take them, and the hash of both, which a take's key holds."""

    samples: "tuple[Sample, ...]"
    prompt: "Prompt | None"
    content_hash: str


def hear(voices: Sequence[Voice], hearing: "Hearing", language: str, whisper: str) -> Heard:
    """Chooses from each sample what the engine can hear, and finds out what the first one says.

    What a sample says is the transcript that came with it; else what a Whisper model on this
    machine understands (`whisper`: its folder or name, "" for any); else, for English and where no
    language is said, the phones that the built-in recogniser hears. `language` is that of what
    shall be read, and is taken for the sample's where nothing else tells. Raises UserError where
    the engine can't do with what there is.
    """
    from model.speaking import Sample

    if len(voices) > 1 and not hearing.several:
        raise UserError("This model hears one voice sample only; give --voice once.")
    chosen = [_chosen(voice, hearing) for voice in voices]
    samples = tuple(Sample(voice.audio, voice.sample_rate) for voice in chosen)
    prompt = _prompt(chosen[0], hearing, language, whisper)
    if len(chosen) == 1 and prompt is None:
        return Heard(samples, None, chosen[0].content_hash)
    content_hash = content_key(
        {
            "samples": [voice.content_hash for voice in chosen],
            "prompt": asdict(prompt) if prompt else None,
        }
    )
    return Heard(samples, prompt, content_hash)


def _chosen(voice: Voice, hearing: "Hearing") -> Voice:
    audio = choose_speech(voice.audio, voice.sample_rate, hearing.longest_seconds)
    if audio is voice.audio:
        return voice
    if voice.transcript and hearing.prompt != "unused":
        raise UserError(
            f"The voice sample {voice.name} lasts {voice.audio.size / voice.sample_rate:.0f} s, of "
            f"which {hearing.longest_seconds:.0f} s can be heard, and its transcript is that of "
            "the whole: cut the sample and its transcript, or leave the transcript out."
        )
    return cut_voice(voice, audio)


def _prompt(voice: Voice, hearing: "Hearing", language: str, whisper: str) -> "Prompt | None":
    """What the sample says; None where the engine is to do without."""
    from model.speaking import Prompt

    if hearing.prompt == "unused":
        return None
    prompt = None
    if voice.transcript is not None:
        # An English book may be read in the voice of somebody who speaks another language.
        english = language_of(language) == "en"
        prompt = _said(voice.transcript, "auto" if english else language, hearing)
    elif understood := recognise(voice.audio, voice.sample_rate, whisper):
        log.info("the voice sample says, in %s: %s", understood.language, understood.text)
        prompt = _said(understood.text, understood.language, hearing)
    elif language_of(language) in ("en", "auto"):
        phones = builtin_phones(voice.audio, voice.sample_rate)
        log.info("the voice sample says: %s", " ".join(phones))
        prompt = Prompt(phones) if phones else None
    if prompt is None and hearing.prompt == "needed":
        raise UserError(
            f"This model must know what the voice sample {voice.name} says: give it with "
            "--transcript."
        )
    return prompt


def _said(text: str, language: str, hearing: "Hearing") -> "Prompt | None":
    from model.speaking import Prompt, spoken_line
    from model.text import LANGUAGES, speak_text, with_end

    if language_of(language) not in LANGUAGES:
        return None
    spoken = speak_text(text, language, hearing.inventory)
    return None if spoken.is_silent else Prompt(*spoken_line(spoken, with_end))
