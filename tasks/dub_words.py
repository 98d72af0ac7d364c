"""Words of a dub that a recogniser does not hear."""

from difflib import SequenceMatcher


def count_lost(wanted: str, heard: str, language: str) -> tuple[int, int]:
    """How many of the wanted words are not among those that were heard, in order, and how many
    there are. Both texts are compared as they are read aloud, so that “2” is “two”."""
    said, found = _words(wanted, language), _words(heard, language)
    blocks = SequenceMatcher(None, said, found, autojunk=False).get_matching_blocks()
    return len(said) - sum(block.size for block in blocks), len(said)


def _words(text: str, language: str) -> list[str]:
    from model.text import speak_text

    spoken = (word.spoken for word in speak_text(text, language).words if word.phones)
    said = [word for one in spoken for word in one.casefold().replace("-", " ").split()]
    letters = ("".join(filter(str.isalnum, word)) for word in said)
    return [word for word in letters if word]
