"""How alike and how intelligible a voice speaks: twenty fixed sentences, before and after tuning.

Intelligibility is the share of words that Whisper misses, where one is on this machine, and always
the share of phones that the built-in recogniser misses: that one is small, and the model learned to
speak to it, so it tells better from worse but not good from bad. Likeness is the cosine between
what was spoken and clips of the person that were not learned from, as Resemblyzer's encoder hears
them where that package is installed, else the reference encoder of the untuned model: it tells
some strangers apart (one person's clips: mostly 0.85 to 1, two people's: 0.45 to 0.89), and it is
what the voice is made with, so it is kinder than a judge of its own would be.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import soxr

from tasks.transcribe import understand

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

    from model.engine import Engine
    from model.recogniser import Recogniser
    from model.sampling import Sampling
    from model.speaking import Rendering, Sample

SENTENCES = (
    "The boy was there when the sun rose, and the sea was as smooth as glass.",
    "Bring your best compass to the third class, and mind the two loose stairs.",
    "A large size in stockings is hard to sell, though the price has never been lower.",
    "She had thought about the question all the way home, but no answer came to her.",
    "We find joy in the simplest things: warm bread, a quiet street, and an open window.",
    "The judge put down her pen, looked over her glasses, and asked him to begin again.",
    "Nobody had told the children that the bridge was closed until the end of winter.",
    "Five thick ropes held the barge against the wharf while the storm went howling by.",
    "You may choose either chair, but the green one creaks whenever somebody sits down.",
    "His father bought the farm for next to nothing and worked on it for thirty years.",
    "Just beyond the village, where two roads meet, stands a church without a tower.",
    "I should like to know who moved the ladder, and why nobody heard the dog barking.",
    "They measured every room twice, wrote the figures in a book, and locked the door.",
    "An old woman with a basket of apples shouted at the carriage as it rolled away.",
    "If you follow the river long enough, you will come upon a mill with a broken wheel.",
    "Her voice was low and pleasant, with an edge to it that made the lawyers careful.",
    "The pie had cooled on the window sill, and the whole yard smelled of sugar and pears.",
    "Eight ships left the harbour that morning, and only three of them were seen again.",
    "He poured the oil with great care, yet some of it ran down and stained the cloth.",
    "There is no use in being angry with the weather, the tax, or the neighbour's goat.",
)
# Beyond chance with these sentences: three of their 300 words, and what another seed changes.
WORSE_ERROR = 0.01
WORSE_LIKENESS = 0.02
_RATE = 16_000

Embed = Callable[[np.ndarray, int], np.ndarray]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """Of one voice: likeness (cosine), phone error rate, word error rate (None without Whisper)."""

    likeness: float
    phone_error: float
    word_error: float | None

    @property
    def error(self) -> float:
        """The better of the two judges' verdict that there is."""
        return self.phone_error if self.word_error is None else self.word_error


def speaker_judge(engine: "Engine") -> tuple[str, Embed]:
    """Who judges likeness, and how it hears a voice: (samples,) and their rate -> a vector."""
    from model.speaking import Sample

    if all(find_spec(name) for name in ("resemblyzer", "webrtcvad", "librosa")):
        from resemblyzer import VoiceEncoder

        encoder = VoiceEncoder("cpu", verbose=False)

        def embed(audio: np.ndarray, sample_rate: int) -> np.ndarray:
            heard = soxr.resample(audio.astype(np.float32), sample_rate, _RATE)
            return np.asarray(encoder.embed_utterance(heard), np.float32)

        return "Resemblyzer", embed
    return (
        "the model's reference encoder",
        lambda audio, sample_rate: engine.voice_vector(Sample(audio, sample_rate)),
    )


def score(
    engine: "Engine",
    sample: "Sample",
    person: Sequence[np.ndarray],
    embed: Embed,
    whisper: "WhisperModel | None",
    recogniser: "Recogniser",
    sampling: "Sampling",
    on_fraction: Callable[[float], None],
) -> Scores:
    """Lets an engine speak `SENTENCES` in the voice of a sample, and judges that.

    `person`: vectors, by `embed`, of the person's own clips. Every number is the same on every run.
    """
    import torch

    from model.recogniser import SAMPLE_RATE, heard_phones
    from model.speaking import Request, spoken_line
    from model.text import speak_text, with_end

    reference = engine.reference([sample])
    own = np.mean([unit(vector) for vector in person], axis=0)
    phones_of = [spoken_line(speak_text(sentence), with_end)[0] for sentence in SENTENCES]
    requests = [Request(phones, number) for number, phones in enumerate(phones_of)]
    spoken: list[int] = []

    def on_spoken(number: int, made: "Rendering") -> None:
        spoken.append(number)
        on_fraction(0.5 * len(spoken) / len(SENTENCES))

    renderings = engine.render(requests, reference, sampling, on_spoken)
    likeness, phones_missed, words_missed = [], Missed(), Missed()
    for number, (sentence, phones, made) in enumerate(
        zip(SENTENCES, phones_of, renderings, strict=True)
    ):
        audio = made.audio
        if len(audio) < engine.sample_rate // 2:  # nothing that a judge could hear
            audio = np.pad(audio, (0, engine.sample_rate // 2 - len(audio)))
        low = soxr.resample(audio, engine.sample_rate, SAMPLE_RATE)[: 30 * SAMPLE_RATE]
        if np.abs(audio).max() > 0 and len(audio) >= engine.sample_rate:
            likeness.append(float(unit(embed(audio, engine.sample_rate)) @ unit(own)))
        else:
            likeness.append(0.0)
        heard = heard_phones(recogniser, torch.from_numpy(low))
        phones_missed.add(sounds_of(phones), sounds_of(heard))
        if whisper is not None:
            said = understand(whisper, audio, engine.sample_rate)
            words_missed.add(_words(sentence), _words(said.text if said else ""))
        on_fraction(0.5 + 0.5 * (number + 1) / len(SENTENCES))
    scores = Scores(
        round(float(np.mean(likeness)), 4),
        round(phones_missed.rate, 4),
        round(words_missed.rate, 4) if whisper is not None else None,
    )
    log.info("scores: %s", asdict(scores))
    return scores


def why_not_tuned(improved: bool, before: Scores, after: Scores) -> str:
    """Why a tuned voice is not worth having, "" where it is."""
    if not improved:
        return "tuning did not improve the clips that were held out"
    if after.error > before.error + WORSE_ERROR:
        return f"tuning made it less intelligible (error {before.error:.2f} to {after.error:.2f})"
    if after.likeness < before.likeness - WORSE_LIKENESS:
        return f"tuning made it less alike ({before.likeness:.2f} to {after.likeness:.2f})"
    return ""


@dataclass
class Missed:
    """Errors over what should have been said."""

    errors: int = 0
    length: int = 0

    def add(self, wanted: Sequence[str], heard: Sequence[str]) -> None:
        self.errors += edit_distance(wanted, heard)
        self.length += len(wanted)

    @property
    def rate(self) -> float:
        return self.errors / max(self.length, 1)


def edit_distance(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions between two sequences (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for number, one in enumerate(wanted, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(heard, 1):
            diagonal, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, diagonal + (one != other)),
            )
    return row[-1]


def sounds_of(phones: Sequence[str]) -> list[str]:
    """Phones without stress, marks left out."""
    return [phone.rstrip("012") for phone in phones if phone[:1].isalpha()]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / (np.linalg.norm(vector) + 1e-9)
