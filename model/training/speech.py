"""What is said in the clips of a corpus, and when: known from the corpus, or found by alignment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import soxr
import torch

from model.alignment import align
from model.recogniser import PHONES, SAMPLE_RATE, Recogniser
from model.text import FRONTEND_VERSION, Spoken, speak_text, with_end
from model.text.marks import PAUSES
from model.training import corpus as corpora
from model.training.alignment import Timed, timed_phones
from model.training.corpus import Clip, Corpus, OnDone, stored_rows

WORST_SCORE = -3.0
"""Mean log-probability a frame under which the text is taken to be another clip's."""
LONGEST_SECONDS = 30.0
"""That the recogniser hears at once."""


@dataclass(frozen=True)
class Speech:
    """Phones of the front-end's inventory; where `timed` is False, their times mean nothing."""

    phones: tuple[Timed, ...]
    timed: bool


def read_speech(
    corpus: Corpus, language: str, recogniser: Recogniser, on_done: OnDone = corpora.tell_nobody
) -> tuple[dict[int, Speech], dict[str, str]]:
    """What the clips say, by their index, and why others with a text are left out.

    Where the corpus gives durations, times come from them. Otherwise the text's phones are aligned
    by the recogniser (once, for the recording; a copy's times follow from its rate). Phones that it
    does not know, as those of Chinese, and clips that are too long for it stay without times.
    """
    own = [_own(clip) for clip in corpus.clips]
    missing = [c for c, speech in zip(corpus.clips, own, strict=True) if speech is None]
    recordings = {c.number: c for c in reversed(missing) if str(c.row.get("text", "")).strip()}
    numbers = sorted(recordings)
    found: dict[int, dict] = {}
    if numbers:
        key = f"{FRONTEND_VERSION} {language} {_hash(recogniser)}"
        name = f"phones-{hashlib.sha256(key.encode()).hexdigest()[:10]}.jsonl"
        make = partial(_align, corpus, [recordings[n] for n in numbers], language, recogniser)
        with corpora.locked(corpus.folder):
            rows = stored_rows(
                corpus.folder / name,
                len(numbers),
                make,
                lambda done: on_done("phone times", done, len(numbers)),
            )
        found = dict(zip(numbers, rows, strict=True))
    speech = {c.index: s for c, s in zip(corpus.clips, own, strict=True) if s is not None}
    skipped = {}
    for clip in missing:
        row = found.get(clip.number)
        if row is None:
            continue
        if "why" in row:
            skipped[clip.name] = row["why"]
            continue
        relative = row["rate"] / clip.rate
        phones = tuple(Timed(p, a * relative, b * relative, w) for p, a, b, w in row["phones"])
        speech[clip.index] = Speech(phones, row["timed"])
    return speech, skipped


def phones_of(spoken: Spoken) -> list[tuple[str, int]]:
    """(phone, number of its word) of a text, -1 for marks; it ends in a mark that can end one."""
    pairs = [
        (phone, -1 if phone in PAUSES else number)
        for number, word in enumerate(spoken.words)
        for phone in word.phones
    ]
    closed = with_end(tuple(phone for phone, _ in pairs))
    if pairs and len(closed) == len(pairs):
        return [*pairs[:-1], (closed[-1], pairs[-1][1] if closed[-1] not in PAUSES else -1)]
    return [*pairs, *((phone, -1) for phone in closed[len(pairs) :])]


def alignable(phones: Sequence[str]) -> bool:
    """Whether the recogniser knows all phones."""
    return all(phone in PAUSES or phone.rstrip("012") in PHONES for phone in phones)


def _own(clip: Clip) -> Speech | None:
    """From the durations that the corpus gives; None where there are none that make sense."""
    if not {"words", "ipa", "dur"} <= clip.row.keys():
        return None
    try:
        return Speech(tuple(timed_phones(clip.row, clip.rate)), True)
    except (ValueError, TypeError, IndexError, AttributeError, StopIteration):
        return None


def _align(
    corpus: Corpus, clips: list[Clip], language: str, recogniser: Recogniser, index: int
) -> dict:
    """The row that is kept of a clip: its phones with times, or why it is left out."""
    clip = clips[index]
    try:
        spoken = speak_text(clip.row["text"], clip.row.get("language") or language)
    except ValueError as error:
        return {"why": f"its text can't be read aloud ({error})"}
    pairs = phones_of(spoken)
    if spoken.is_silent:
        return {"why": "nothing in its text can be said"}
    phones = [phone for phone, _ in pairs]
    audio = soxr.resample(corpus.audio(clip), corpora.SAMPLE_RATE, SAMPLE_RATE)
    if len(audio) > LONGEST_SECONDS * SAMPLE_RATE or not alignable(phones):
        row = [(phone, 0.0, 0.0, word) for phone, word in pairs]
        return {"phones": row, "timed": False, "rate": clip.rate}
    try:
        aligned = align(recogniser, audio.astype(np.float32), phones)
    except ValueError as error:
        return {"why": f"its text does not fit its sound ({error})"}
    scores = [one.score for one in aligned if one.phone not in PAUSES]
    if np.mean(scores) < WORST_SCORE:
        return {"why": "its text is not what is heard"}
    row = [
        (phone, round(one.start, 4), round(one.end, 4), word)
        for (phone, word), one in zip(pairs, aligned, strict=True)
    ]
    return {"phones": row, "timed": True, "rate": clip.rate}


def _hash(recogniser: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in recogniser.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
