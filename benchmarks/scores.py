"""Arithmetic of the voice benchmark: normalised text, error rates, similarity matrices.

Nothing here hears anything; the judges that turn audio into text, embeddings and scores are in
`benchmarks.judges`. The `bench` extra's packages are imported where they are used, so that the
lack of one is a sentence and no traceback.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# Spellings that old books print and no recogniser writes.
_OLD_SPELLINGS = re.compile(r"\b(to|good)-(day|night|morrow|bye)\b", re.IGNORECASE)
# The normaliser knows contractions by the typewriter's apostrophe only.
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})


@functools.cache
def _english() -> Callable[[str], str]:
    from whisper_normalizer.english import EnglishTextNormalizer

    normalizer: Callable[[str], str] = EnglishTextNormalizer()
    return normalizer


def normalise(text: str) -> str:
    """What counts of a text when it is compared: case, punctuation and spelling variants do not.

    Whisper's own English normaliser (numbers as digits, British as American spelling, contractions
    written out), after quotes, dashes and the spellings of old books are made equal. The same
    function goes over the printed text and over what a recogniser heard.
    """
    text = text.translate(_APOSTROPHES)
    # The normaliser takes brackets for stage directions and drops them; a book means what it says.
    text = re.sub(r"[\[\]()<>]", " ", text)
    text = _OLD_SPELLINGS.sub(r"\1\2", text)
    text = re.sub(r"[—–―]", " ", text)
    # It also leaves single points of an ellipsis, which nobody says.
    return " ".join(word for word in _english()(text).split() if any(map(str.isalnum, word)))


@dataclass(frozen=True)
class Errors:
    """Edits that turn a reference into what was heard, and the reference's length, in one unit."""

    substituted: int
    deleted: int
    inserted: int
    length: int

    @property
    def count(self) -> int:
        """All edits."""
        return self.substituted + self.deleted + self.inserted

    @property
    def rate(self) -> float:
        """Edits per unit of the reference; above 1 where more was heard than was written."""
        return self.count / self.length

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(
            self.substituted + other.substituted,
            self.deleted + other.deleted,
            self.inserted + other.inserted,
            self.length + other.length,
        )


NO_ERRORS = Errors(0, 0, 0, 0)


def word_errors(written: str, heard: str) -> Errors:
    """Least word edits between two texts, both normalised here (Levenshtein, by jiwer).

    Raises ValueError where nothing of `written` is left to compare with.
    """
    import jiwer

    reference, hypothesis = _comparable(written), normalise(heard)
    found = jiwer.process_words(reference, hypothesis)
    return Errors(found.substitutions, found.deletions, found.insertions, len(reference.split()))


def character_errors(written: str, heard: str) -> Errors:
    """As `word_errors`, in characters with single spaces between the words."""
    import jiwer

    reference, hypothesis = _comparable(written), normalise(heard)
    found = jiwer.process_characters(reference, hypothesis)
    return Errors(found.substitutions, found.deletions, found.insertions, len(reference))


def _comparable(written: str) -> str:
    reference = normalise(written)
    if not reference:
        raise ValueError(f"there is no word to compare in {written!r}")
    return reference


@dataclass(frozen=True)
class Similarities:
    """Cosines between voice samples (rows) and outputs (columns), as means over an output's lines.

    samples: names of the rows. outputs: names of the columns, each also a row.
    values: (rows, columns). lowest: (rows, columns), the lowest single line.
    """

    samples: tuple[str, ...]
    outputs: tuple[str, ...]
    values: np.ndarray
    lowest: np.ndarray

    def own(self, output: str) -> float:
        """An output's likeness to the sample that it was to clone."""
        return float(self.values[self.samples.index(output), self.outputs.index(output)])

    def nearest_other(self, output: str) -> tuple[str, float] | None:
        """The other sample that an output is most like; None where there is no other."""
        column = self.values[:, self.outputs.index(output)]
        others = [
            (name, float(value))
            for name, value in zip(self.samples, column, strict=True)
            if name != output
        ]
        return max(others, key=lambda pair: pair[1], default=None)


def similarities(
    samples: dict[str, np.ndarray], outputs: dict[str, Sequence[np.ndarray]]
) -> Similarities:
    """Compare every sample's embedding (size,) with every line's of every output.

    A line in which the judge found no voice has the zero vector and is like nobody (0).
    """
    names, columns = tuple(samples), tuple(outputs)
    values = np.zeros((len(names), len(columns)))
    lowest = np.zeros_like(values)
    for column, output in enumerate(columns):
        lines = np.stack(list(outputs[output]))
        for row, name in enumerate(names):
            found = cosines(samples[name], lines)
            values[row, column] = found.mean()
            lowest[row, column] = found.min()
    return Similarities(names, columns, values, lowest)


def cosines(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Cosine of the angle between `one` (size,) and each row of `many` (count, size): (count,).

    A zero vector points nowhere; its cosine is 0.
    """
    lengths = np.linalg.norm(one) * np.linalg.norm(many, axis=-1)
    products = many @ one
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
