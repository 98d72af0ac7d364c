"""How a text of an EPUB is written: its language and its scripts."""

import re

NO_LANGUAGE = {"", "mis", "mul", "und", "zxx"}
# Readings over ideographs that are romanised or in bopomofo are for learners; points are emphasis.
IDEOGRAPH = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
SPOKEN_READING = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uac00-\ud7af\u3400-\u9fff]")
GAIJI = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")
DENSE_LANGUAGES = {"ja", "ko", "yue", "zh"}


def primary_language(language: str) -> str:
    return language.partition("-")[0].partition("_")[0].strip().lower()


def is_reading(said: str, base: str) -> bool:
    """Whether a ruby's annotation is what its base is read as."""
    if IDEOGRAPH.search(base):
        return SPOKEN_READING.search(said) is not None
    return any(character.isalnum() for character in said)


def is_written_in(language: str, text: str) -> bool:
    """Whether a text may be in a language by its script: tools declare what nobody wrote."""
    dense = len(GAIJI.findall(text)) + len(HANGUL.findall(text))
    if primary_language(language) in DENSE_LANGUAGES:
        return dense > 0 or not any(map(str.isalpha, text))
    return 2 * dense <= sum(map(str.isalpha, text))


def is_rare_character(said: str) -> bool:
    """Whether a picture stands for a character that fonts lack."""
    return len(said) == 1 and GAIJI.fullmatch(said) is not None
