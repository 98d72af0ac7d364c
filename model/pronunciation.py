"""Whether speech says its text once and whole, by likelihood ratios of the recogniser's phones.

Forced alignment finds the likeliest way to say all phones in order. Where a word is missing, a way
that once leaves out a stretch of the text is much likelier; where one was said twice, a way that
once goes back. How much likelier (in nats, as in a test of hypotheses: J. Neyman and E. S. Pearson,
1933) is the measure. Both ways are found with alignment's own search, in which every place also can
can be reached by one jump. The same likelihoods tell whether a stretch sounds like other phones
than its own (goodness of pronunciation: S. M. Witt and S. J. Young, "Phone-level pronunciation
scoring and assessment", 2000), whether something sounds where the text has a pause, and whether the
voice sample's own words are said first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.alignment import NEVER, best_path, sound_scores
from model.recogniser import FRAMES_PER_SECOND

_REACH = 24  # sounds that a jump passes at most: five words or so
_WORD = 5  # sounds of the stretches that are compared with what they sound like
_BLED = 4  # sounds of the sample's words that are at least said where they bleed into the text


LIMITS = {"lost": 15.0, "repeated": 24.0, "wrong": 5.0, "stray": 35.0, "bled": 15.0}
"""Of the measures of a Pronunciation (nats): over them a take is suspect to the gate. They were set
with its other thresholds (tasks/gate.py)."""


@dataclass(frozen=True)
class Trouble:
    """A measure of a Pronunciation: its name, how doubtful it makes speech, over 1 being suspect,
    and where, in seconds."""

    kind: str
    doubt: float
    at: float


@dataclass(frozen=True)
class Pronunciation:
    """How much likelier than the text as it is (nats, at least 0) the text is with a stretch left
    out (`lost`), and with one said again (`repeated`); and where that would be, in seconds.

    `wrong`: how much likelier a frame is as another phone than as its own (nats), on the mean of
    the worst five sounds in a row. `stray`: how much likelier a pause is as sound (nats over all
    its frames). `bled`: how much likelier the text is with the end of the voice sample's words
    before it (nats).
    """

    lost: float
    lost_at: float
    repeated: float
    repeated_at: float
    wrong: float = 0.0
    wrong_at: float = 0.0
    stray: float = 0.0
    stray_at: float = 0.0
    bled: float = 0.0

    @property
    def troubles(self) -> list[Trouble]:
        """All of them, small ones too."""
        return [
            Trouble(kind, getattr(self, kind) / limit, getattr(self, f"{kind}_at", 0.0))
            for kind, limit in LIMITS.items()
        ]

    @property
    def worst(self) -> Trouble:
        return max(self.troubles, key=lambda trouble: trouble.doubt)


UNHEARD = Pronunciation(1000.0, 0.0, 0.0, 0.0)
"""Of sound that can't hold the phones."""


def judge(log_probs: np.ndarray, phones: Sequence[str]) -> Pronunciation:
    """From the recogniser's log-probabilities (frames, classes) and the phones that were to be said
    (v2 inventory), one sound at least. Raises ValueError where there are fewer frames than sounds.
    """
    heard, silent = sound_scores(log_probs, phones)
    frames, count = heard.shape
    straight, back, ahead = (_Ways.none(count) for _ in range(3))
    straight.sounds[0] = heard[0, 0]
    straight.silences[0] = silent[0]
    # The text may lack its first sounds.
    ahead.sounds[1 : _REACH + 1] = heard[0, 1 : _REACH + 1]
    ahead.silences[1 : _REACH + 1] = silent[0]
    padded = np.full(count + 2 * _REACH, NEVER, np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _REACH)
    for frame in range(1, frames):
        # Place j is before sound j. Back to it lead the sounds j to j + REACH - 1, ahead to it the
        # sounds j - 1 - REACH to j - 2.
        padded[_REACH : _REACH + count] = straight.sounds
        best = windows.max(1)
        to_earlier = best[_REACH : _REACH + count + 1]
        to_later = np.concatenate([[NEVER], best[:count]]).astype(np.float32)
        to_later[1 : _REACH + 1] = np.maximum(to_later[1 : _REACH + 1], straight.silences[0])
        now = heard[frame], silent[frame]
        back.step(*now, to_earlier, frame)
        ahead.step(*now, to_later, frame)
        straight.step(*now)
    usual, _ = straight.end(count)
    lost, lost_at = (
        max(
            ahead.end(count),
            # The text may lack its last sounds.
            *((straight.end(place)[0], frames) for place in range(max(1, count - _REACH), count)),
        )
        if count > 1
        else (NEVER, 0)
    )
    repeated, repeated_at = back.end(count)
    wrong, wrong_at, stray, stray_at = _fit(log_probs, heard, silent)
    return Pronunciation(
        max(0.0, float(lost - usual)),
        lost_at / FRAMES_PER_SECOND,
        max(0.0, float(repeated - usual)),
        repeated_at / FRAMES_PER_SECOND,
        wrong,
        wrong_at / FRAMES_PER_SECOND,
        stray,
        stray_at / FRAMES_PER_SECOND,
    )


def bled(log_probs: np.ndarray, prompt: Sequence[str], phones: Sequence[str]) -> float:
    """How much likelier (nats, at least 0) speech is to say the end of `prompt` and then `phones`
    than `phones` alone; arguments as for `judge`. 0 where there is no room for both."""
    try:
        text, silent = sound_scores(log_probs, phones)
        before, _ = sound_scores(log_probs, prompt)
    except ValueError:
        return 0.0
    before = before[:, -_REACH:]
    if before.shape[1] < _BLED:
        return 0.0
    both = np.concatenate([before, text], 1)
    starts = before.shape[1] - _BLED + 1
    after, alone = _Ways.none(both.shape[1]), _Ways.none(text.shape[1])
    after.sounds[:starts] = both[0, :starts]
    after.silences[:starts] = silent[0]
    alone.sounds[0], alone.silences[0] = text[0, 0], silent[0]
    for frame in range(1, len(log_probs)):
        after.step(both[frame], silent[frame])
        alone.step(text[frame], silent[frame])
    likelier = after.end(both.shape[1])[0] - alone.end(text.shape[1])[0]
    return max(0.0, float(likelier))


def _fit(
    log_probs: np.ndarray, heard: np.ndarray, silent: np.ndarray
) -> tuple[float, int, float, int]:
    """`wrong` and `stray` of a Pronunciation, each with the frame where it is."""
    starts, ends = best_path(heard, silent)
    likeliest = log_probs.max(1)
    misfit = np.array(
        [
            (likeliest[start:end] - heard[start:end, sound]).mean()
            for sound, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]
    )
    size = min(_WORD, len(misfit))
    means = np.convolve(misfit, np.full(size, 1 / size), "valid")
    worst = int(means.argmax())
    # What is silence to the path, but not to the recogniser.
    sounding = np.maximum(likeliest - silent, 0.0)
    sums = np.concatenate([[0.0], np.cumsum(sounding)])
    pauses = zip([0, *ends], [*starts, len(silent)], strict=True)
    stray, stray_at = max((float(sums[end] - sums[start]), int(start)) for start, end in pauses)
    return float(means[worst]), int(starts[worst]), stray, stray_at


@dataclass
class _Ways:
    """The likeliest ways to each sound (n,) and to each silence (n + 1,), the one before the first
    sound first: logarithms of their likelihoods, and the frames at which they jumped."""

    sounds: np.ndarray
    silences: np.ndarray
    sounds_jumped: np.ndarray
    silences_jumped: np.ndarray

    @classmethod
    def none(cls, count: int) -> _Ways:
        return cls(
            np.full(count, NEVER, np.float32),
            np.full(count + 1, NEVER, np.float32),
            np.zeros(count, np.int64),
            np.zeros(count + 1, np.int64),
        )

    def step(
        self, heard: np.ndarray, silent: float, jump: np.ndarray | None = None, frame: int = 0
    ) -> None:
        """One frame on, with the likelihoods of its sounds (n,) and of silence; `jump` (n + 1,) are
        those of ways that now arrive at the places before the sounds."""
        pause, jumped = self.silences, self.silences_jumped
        after = self.sounds > pause[1:]
        pause[1:][after], jumped[1:][after] = self.sounds[after], self.sounds_jumped[after]
        if jump is not None:
            arrived = jump > pause
            pause[arrived], jumped[arrived] = jump[arrived], frame
        moved = pause[:-1] > self.sounds
        self.sounds[moved], self.sounds_jumped[moved] = pause[:-1][moved], jumped[:-1][moved]
        self.sounds += heard
        pause += silent

    def end(self, count: int) -> tuple[float, int]:
        """The likeliest way that ends after `count` sounds, and the frame of its jump."""
        return max(
            (float(self.sounds[count - 1]), int(self.sounds_jumped[count - 1])),
            (float(self.silences[count]), int(self.silences_jumped[count])),
        )
