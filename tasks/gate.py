"""The gate: what every take must pass before it enters a book. Plain rules over measures.

Each rule divides a measure by its threshold: the ratio is a doubt, and over 1 the take is suspect.
The thresholds (those of words are in model/pronunciation.py) were set on 40 lines of
benchmarks/wild.txt in the voice of demo/voice.flac, two other voices for likeness, and what Whisper
base understood of them; docs/checks.md has the numbers. With another threshold, another take may be
kept: TAKE_VERSION changes, too.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import UsageError
from tasks.levels import sound_frames
from tasks.takes import Verdict, spoken_phones
from tasks.transcribe import find_whisper, load_whisper, understand
from tasks.voice_measures import edit_distance, sounds_of, unit

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

    from model.pronunciation import Pronunciation
    from model.speaking import Rendering, Sample, VoiceEngine

# Sounds a second of natural speech, from the first sound to the last; far outside it, text was lost
# or there is more than the text.
SLOWEST, FASTEST = 3.5, 25.0
SILENT_PEAK = 0.003
LONGEST_PAUSE = 1.2  # seconds inside an utterance
CLIPPED = 0.001  # share of the samples at full scale
UNLIKE = 0.5  # 1 - cosine to the voice sample, by the model's own reference encoder
LIKENESS_SECONDS = 2.5  # shorter takes can't be compared
FEWEST_SOUNDS = 3  # of fewer, the recogniser can't tell
# Whisper's opinion, in phones of what it understood.
GAP = 3  # phones in a row that are missing or too many
SAME, OTHER = 0.1, 0.3  # share of phones that differ: it acquits up to one, convicts over the other
_DOUBTFUL = 0.5  # Whisper hears what is between this doubt
_SURE = 3.0  # and this one, where it may acquit
_HOPELESS = 100.0  # the doubt of what is plainly no speech
_FULL_SCALE = 0.999
_BELOW_PEAK_DB, _FLOOR_DB = 45.0, -66.0  # as tasks/assemble.py trims
_FRAME_SECONDS = 0.01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judgement:
    """A verdict, why, and what was measured; `doubt` over 1 makes a suspect."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    measures: dict[str, float] = field(default_factory=dict)
    doubt: float = 0.0


@dataclass(frozen=True)
class Opinion:
    """What Whisper thinks of a take: the most phones in a row that it misses or hears too many,
    and the share of phones that are others."""

    missing: int
    added: int
    error: float

    @property
    def whole(self) -> bool:
        return max(self.missing, self.added) < GAP and self.error <= SAME

    @property
    def flawed(self) -> bool:
        return max(self.missing, self.added) >= GAP or self.error > OTHER


class Gate:
    """What takes of one voice are held against.

    `engine` and `samples` say how the voice sounds; without them likeness is not measured.
    `whisper` is a faster-whisper model (settings.whisper, None: ask none), loaded when the first
    doubtful take comes; with `hear_all` it hears every take. `reading` as in ChosenModel.
    Raises UsageError for a model that is not there.
    """

    def __init__(
        self,
        engine: "VoiceEngine | None" = None,
        samples: "Sequence[Sample]" = (),
        whisper: str | None = None,
        hear_all: bool = False,
        reading: str = "",
    ) -> None:
        self._engine = engine
        self._samples = samples
        self._whisper_name = whisper
        self._hear_all = hear_all
        self._reading = reading
        # Said before the long work, not in its midst.
        if (whisper or hear_all) and find_whisper(whisper or "") is None:
            raise UsageError(
                "VOXLOOM_HEAR_ALL=1 needs a Whisper model, and there is none on this machine; "
                "VOXLOOM_WHISPER names the folder of one"
            )

    def judge(
        self, rendering: "Rendering", sample_rate: int, phones: Sequence[str], language: str
    ) -> Judgement:
        """Judges a rendering of phones in a language (BCP 47)."""
        audio = np.asarray(rendering.audio)
        sounds = spoken_phones(phones)
        rules = _Rules()
        if not np.isfinite(audio).all():
            rules.found(_HOPELESS, "not a number in the audio")
            return rules.judgement("")
        if not rendering.complete:
            rules.found(10.0, "ended at the length bound or in a repetition")
        _check_sound(rules, audio, sample_rate, sounds)
        if sounds and rules.doubt < _HOPELESS:
            _check_words(rules, rendering.pronunciation)
            self._check_voice(rules, audio, sample_rate)
        unsure = ""
        if rendering.pronunciation is None:
            unsure = "nobody here understands its language"
        elif sounds < FEWEST_SOUNDS:
            unsure = "too short to be sure"
        if sounds and rules.doubt < _HOPELESS and self._asks_whisper(rules, rendering):
            opinion = self._opinion(audio, sample_rate, phones, language)
            if opinion is not None:
                rules.hear(opinion)
                unsure = unsure if sounds < FEWEST_SOUNDS else ""
        return rules.judgement(unsure)

    def _check_voice(self, rules: "_Rules", audio: np.ndarray, sample_rate: int) -> None:
        if self._voice is None or len(audio) < LIKENESS_SECONDS * sample_rate:
            return
        likeness = float(unit(self._embed(audio, sample_rate)) @ self._voice)
        rules.measure("likeness", likeness)
        rules.found((1.0 - likeness) / UNLIKE, "another voice than the sample's")

    @cached_property
    def _voice(self) -> np.ndarray | None:
        if self._engine is None or not self._samples:
            return None
        vectors = [self._embed(sample.audio, sample.sample_rate) for sample in self._samples]
        return unit(np.mean([unit(vector) for vector in vectors], axis=0))

    def _embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        from model.speaking import Sample

        assert self._engine is not None
        return self._engine.voice_vector(Sample(audio, sample_rate))

    def _asks_whisper(self, rules: "_Rules", rendering: "Rendering") -> bool:
        if self._whisper_name is None:
            return False
        return (
            self._hear_all
            or rendering.pronunciation is None
            or (_DOUBTFUL < rules.words_doubt < _SURE and rules.doubt == rules.words_doubt)
        )

    @cached_property
    def _whisper(self) -> "WhisperModel | None":
        return load_whisper(self._whisper_name or "")

    def _opinion(
        self, audio: np.ndarray, sample_rate: int, phones: Sequence[str], language: str
    ) -> Opinion | None:
        if self._whisper is None:
            return None
        from model.text import speak_text

        main = language.split("-")[0].lower()
        said = understand(
            self._whisper, audio, sample_rate, "" if main.startswith("auto") else main
        )
        heard = speak_text(said.text, language, self._reading).phones if said else ()
        return compare(sounds_of(phones), sounds_of(heard))


def compare(wanted: Sequence[str], heard: Sequence[str]) -> Opinion:
    """An opinion from the sounds that were to be said and those of what was understood."""
    missing = added = 0
    matcher = SequenceMatcher(None, wanted, heard, autojunk=False)
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind != "equal":
            more = (end - start) - (last - first)
            missing, added = max(missing, -more), max(added, more)
    return Opinion(missing, added, edit_distance(wanted, heard) / max(len(wanted), 1))


class _Rules:
    """Collects what the rules find."""

    def __init__(self) -> None:
        self._found: list[tuple[float, str]] = []
        self._words: list[tuple[float, str]] = []  # what Whisper may have another opinion of
        self._measures: dict[str, float] = {}

    def measure(self, name: str, value: float) -> None:
        self._measures[name] = round(value, 4)

    def found(self, doubt: float, reason: str) -> None:
        self._found.append((doubt, reason))

    def words(self, doubt: float, reason: str) -> None:
        self._words.append((doubt, reason))

    @property
    def words_doubt(self) -> float:
        return max((doubt for doubt, _ in self._words), default=0.0)

    @property
    def doubt(self) -> float:
        return max((doubt for doubt, _ in (*self._found, *self._words)), default=0.0)

    def hear(self, opinion: Opinion) -> None:
        """Lets Whisper acquit or convict."""
        self.measure("whisper_missing", opinion.missing)
        self.measure("whisper_added", opinion.added)
        self.measure("whisper_error", opinion.error)
        if opinion.whole and self.words_doubt < _SURE:
            self._words = [(min(doubt, 1.0), reason) for doubt, reason in self._words]
        elif opinion.flawed:
            doubt = max(opinion.missing / GAP, opinion.added / GAP, opinion.error / OTHER)
            self.words(1.0 + 0.1 * doubt, "Whisper understands other words")

    def judgement(self, unsure: str) -> Judgement:
        found = sorted((*self._found, *self._words), key=lambda one: -one[0])
        reasons = tuple(reason for doubt, reason in found if doubt > 1)
        if reasons:
            return Judgement("suspect", reasons, self._measures, self.doubt)
        if unsure:
            return Judgement("inconclusive", (unsure,), self._measures, self.doubt)
        return Judgement("ok", (), self._measures, self.doubt)


def _check_sound(rules: _Rules, audio: np.ndarray, sample_rate: int, sounds: int) -> None:
    """Is there sound, of the right length, whole and unclipped?"""
    peak = float(np.abs(audio).max(initial=0.0))
    if sounds and peak < SILENT_PEAK:
        rules.found(_HOPELESS, "silent")
        return
    clipped = float((np.abs(audio) >= _FULL_SCALE).mean()) if len(audio) else 0.0
    rules.measure("clipped", clipped)
    rules.found(clipped / CLIPPED, "clipped")
    sounding = np.flatnonzero(sound_frames(audio, sample_rate, _BELOW_PEAK_DB, _FLOOR_DB))
    seconds = (np.ptp(sounding) + 1) * _FRAME_SECONDS if len(sounding) else 0.0
    rules.measure("seconds", seconds)
    if sounds and seconds < sounds / FASTEST:
        rules.found(sounds / FASTEST / max(seconds, _FRAME_SECONDS), "too short for its text")
    longest = 2.0 + sounds / SLOWEST
    rules.found(seconds / longest, "too long for its text")
    gaps = np.diff(sounding)
    if len(gaps):
        pause = (int(gaps.max()) - 1) * _FRAME_SECONDS
        at = int(sounding[int(gaps.argmax())]) * _FRAME_SECONDS
        rules.measure("pause", pause)
        rules.found(pause / LONGEST_PAUSE, f"a pause of {pause:.1f} s at {at:.1f} s")


def _check_words(rules: _Rules, heard: "Pronunciation | None") -> None:
    """Does it say its text and nothing else, by the built-in recogniser?"""
    if heard is None:
        return
    for trouble in heard.troubles:
        at = trouble.at
        reasons = {
            "lost": f"a word seems to be missing at {at:.1f} s",
            "repeated": f"a word seems to be repeated at {at:.1f} s",
            "wrong": f"a word seems to be said wrong at {at:.1f} s",
            "stray": f"something strange is heard at {at:.1f} s",
            "bled": "words of the voice sample are heard in it",
        }
        rules.measure(trouble.kind, getattr(heard, trouble.kind))
        rules.words(trouble.doubt, reasons[trouble.kind])
