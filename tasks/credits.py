"""Opening and closing credits: chapters of their own, before and after those of the book."""

import re

from tasks.read_book import Block, Book, Chapter

OPENING = -1  # the number of the opening credits among the book's chapters, which count from 0
# A name that can be said: words, and not the number of a recording.
_SAYABLE = re.compile(r"[^\W\d_]+(?:[ _'’-][^\W\d_]+)*")


def closing(book: Book) -> int:
    """The number of the closing credits: after the last chapter."""
    return len(book.chapters)


def credit_chapters(book: Book, title: str, voice_name: str, language: str) -> dict[int, Chapter]:
    """The credits by chapter number; none but in English, since they are said in the book's
    language."""
    if language.split("-")[0].lower() != "en":
        return {}
    stops = title.endswith((".", "!", "?", "…"))
    authors = _listed(book.authors)
    by = f"{title}{'' if stops or not authors else ','}"
    by += f" by {authors}".rstrip(".") + "." if authors else "" if stops else "."
    voice = ""
    if _SAYABLE.fullmatch(voice_name):
        voice = f" in the voice {re.sub('[_-]', ' ', voice_name)}"
    narrated = f"Narrated by a computer{voice}."
    return {
        OPENING: _chapter(by, narrated),
        closing(book): _chapter(f"This was {by}", narrated),
    }


def chapter_title(book: Book, number: int) -> str:
    """The title of a chapter of the book or of its credits."""
    if number == OPENING:
        return "Opening credits"
    if number == closing(book):
        return "Closing credits"
    return book.chapters[number].title


def _chapter(*sentences: str) -> Chapter:
    # Without a title, which would be spoken.
    return Chapter("", tuple(Block("paragraph", sentence) for sentence in sentences))


def _listed(names: tuple[str, ...]) -> str:
    """ "A", "A and B" or "A, B and C"."""
    named = [name.strip() for name in names if name.strip()]
    return " and ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))
