"""What the front-end returns: printed words, what is said for each, and its phones."""

from dataclasses import dataclass

from model.text.marks import PAUSES


@dataclass(frozen=True)
class Word:
    """One printed token and what is said for it.

    `start` and `end` are its character span in the printed text. `spoken` is "" for punctuation
    and for what has no sound (foreign script, emoji); `phones` are symbols of the inventory, a
    mark's being its pause (empty where it makes none). `language` is whose sounds they are.

    Chinese (zh, yue) also says which characters the phones belong to: `characters` are those of
    the normalised text, marks included, and `word2ph` counts the phones of each.
    """

    printed: str
    start: int
    end: int
    spoken: str
    phones: tuple[str, ...]
    language: str = "en"
    characters: str = ""
    word2ph: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What somebody has said about how the characters `start` to `end` of a text are read.

    Either `phones` (of the inventory; `said` then only shows what is spoken), or `said`, which is
    read in their place, or `language`, whose front-end reads them.
    """

    start: int
    end: int
    said: str = ""
    phones: tuple[str, ...] = ()
    language: str = ""


@dataclass(frozen=True)
class Spoken:
    """A text as it is spoken; its words cover every character that is not white space, in order."""

    text: str
    words: tuple[Word, ...]

    @property
    def phones(self) -> tuple[str, ...]:
        """Phones and pauses of all words."""
        return tuple(phone for word in self.words for phone in word.phones)

    @property
    def is_silent(self) -> bool:
        """Whether nothing in the text can be said."""
        return all(phone in PAUSES for word in self.words for phone in word.phones)

    @property
    def unspoken(self) -> tuple[Word, ...]:
        """Words with letters or digits that nothing is said for, such as foreign scripts."""
        return tuple(
            word
            for word in self.words
            if not word.spoken and any(character.isalnum() for character in word.printed)
        )
