"""Speakers' names in subtitles: which `NAME:` and `[NAME]` of a file are labels and which are text.

A colon or a bracket alone does not make a name: "Note: it is late." is said. So the whole file is
looked at: a label is in capitals, or comes again, or is known by another sign.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tasks.subtitle_sounds import is_sound

LONGEST_LABEL = 40


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A leading bracket with a way of speaking may stand before or after the name.
_NAME = r"(?:\d{1,2}(?:st|nd|rd|th) )?[^\W\d_][\w .'’&#/\-]{0,39}?"
COLON = re.compile(
    rf"(?P<name>{_NAME})[ \t]*(?:[(\[（［](?P<manner>[^()\[\]（）［］\n]{{1,40}})[)\]）］])?[ \t]*"
    r"(?:：|:(?=\s|$|[\"“«'‘\-–—\[(]))[ \t]*"
)
_NUMBERED = re.compile(
    r"(?:speaker|spkr?|person|voice|man|woman|boy|girl|guy|male|female|host|guest|sprecher(?:in)?"
    r"|locuteur|hablante)[ _#-]*\d{1,3}|(?:speaker|spk)[ _-][a-z]",
    re.I,
)
_ROLES = _words(
    """
    all announcer audience both boy brother captain caller child children clerk coach
    commentator cop crowd dad daughter doctor driver everyone father female girl grandma
    grandpa guard guest guy host interviewer interviewee journalist judge kid king lady
    machine major male man mom mother narrator nurse officer operator pa person pilot priest
    president professor prince princess queen radio recording reporter robot secretary
    sergeant singer sister soldier son speaker student teacher tv voice waiter waitress wife
    witness woman women men young old husband
    """
)
_PARTICLES = _words(
    """
    al and bin da das de del der di dos du el en et la le of the und van von y и
    """
)
# Words before a colon that are said.
_SAID = _words(
    """
    a also alternatively answer answers aside attention because beware bonus breaking but
    caution chapter conclusion correction danger date day definition disclaimer edit episode
    error example examples fact false figure finally first fourth fun fyi here hint however
    idea imagine important instead lesson level like look meaning meanwhile moral namely
    next no note notes notice number oh ok okay one or p.s part plus point pro problem proof
    ps q question questions quote reason remember reminder result rule scene second section
    sequence so solution source spoiler step steps still stop subject summary task then
    theorem therefore third three time tip title today topic translation true two update
    verse version warning well what why yes you zero achtung antwort beispiel erstens fazit
    frage hinweis regel schritt tipp warnung zweitens astuce exemple remarque réponse règle
    étape advertencia consejo ejemplo nota paso pregunta regla respuesta resumen важно
    вопрос внимание ответ пример совет шаг 例 例如 例えば 問
    問題 问 问题 答 答案 注 注意 第一 第二 結論 结论 步骤
    """
)
_TELLING = re.compile(
    r"[说說道问問答曰喊言想叫]$|말했다$|^[我你您他她它]们?$|^(?:即|就是|比如|但是|所以|因为|因為)"
)
_WORD = re.compile(r"[^\W\d_][\w'’]*")


@dataclass
class Evidence:
    """What a file says of its labels: how often each stands before text, and its ordinary words.

    All names in lower case. `round_sounds`: it describes sounds in round brackets.
    """

    colons: Counter[str] = field(default_factory=Counter)
    brackets: Counter[str] = field(default_factory=Counter)
    known: set[str] = field(default_factory=set)
    ordinary: set[str] = field(default_factory=set)
    mostly_capitals: bool = False
    round_sounds: bool = False
    names: set[str] = field(default_factory=set)

    def is_name(self, label: str) -> bool:
        """Whether a label of this file is a speaker's name."""
        return tidy(label).casefold() in self.names


def tidy(label: str) -> str:
    """A name without white space and signs around it."""
    return " ".join(label.split()).strip(" .-–—:#,_")


def collect(lines: Iterable[str], known: Iterable[str]) -> Evidence:
    """What the lines of a file, without dashes before them, say of labels.

    `known` are names that the file marks as such: voice tags, actors, index lines.
    """
    found = Evidence(known={tidy(name).casefold() for name in known})
    capitals = letters = round_sounds = 0
    spelled: dict[str, str] = {}
    for line in lines:
        rest = line
        if bracket := re.match(
            r"([\[(（［【])([^\[\](){}（）［］【】\n]{1,40})[\])）］】]:?", line
        ):
            rest = line[bracket.end() :].lstrip()
            round_sounds += bracket[1] in "(（" and is_sound(bracket[2])
            if rest:
                label = tidy(bracket[2])
                found.brackets[label.casefold()] += 1
                spelled.setdefault(label.casefold(), label)
        if colon := COLON.match(rest):
            label = tidy(colon["name"])
            found.colons[label.casefold()] += 1
            spelled.setdefault(label.casefold(), label)
            rest = rest[colon.end() :]
        capitals += sum(map(str.isupper, rest))
        letters += sum(map(str.isalpha, rest))
        found.ordinary.update(word for word in _WORD.findall(rest) if word[0].islower())
    found.mostly_capitals = capitals > 0.6 * letters
    found.round_sounds = round_sounds > 1
    _decide(found, spelled)
    return found


def _decide(found: Evidence, spelled: dict[str, str]) -> None:
    """Fills in which labels are names: those that need no other, then those written like them."""
    single: list[tuple[str, tuple[bool, bool]]] = []
    ways: set[tuple[bool, bool]] = set()
    found.names |= found.known - {""}
    for key, label in spelled.items():
        colons, brackets = found.colons[key], found.brackets[key]
        if not key or key in found.names:
            continue
        if _NUMBERED.fullmatch(label):
            found.names.add(key)
            continue
        if (is_sound(label) and not _is_role(label)) or not _could_be(label, found):
            continue
        capitals = _in_capitals(label)
        # In brackets, capitals may describe a sound.
        short = len(label.split()) < 3 and not re.search(r"(?:ING|ED|S)$", label)
        surely = capitals and not found.mostly_capitals and bool(colons or short)
        if surely or colons + brackets > 1:
            found.names.add(key)
            ways.add((bool(colons), capitals))
        else:
            single.append((key, (bool(colons), capitals)))
    found.names.update(key for key, way in single if way in ways)


def _could_be(label: str, found: Evidence) -> bool:
    """Whether a label may be a name, as far as its words go."""
    words = label.split()
    if not words or len(words) > (6 if _in_capitals(label) else 4) or len(label) > LONGEST_LABEL:
        return False
    first = words[0].casefold().rstrip(".")
    if first in _SAID or label.casefold() in _SAID or _TELLING.search(label):
        return False
    if not re.search(r"[^\W\d_]", label):
        return False
    if label.upper() == label.lower():
        return len(label) <= 12
    if _in_capitals(label):
        return len(re.findall(r"[^\W\d_]", label)) > 1
    named = [word for word in words if word.casefold() not in _PARTICLES and not word.isdigit()]
    if not all(
        word[:1].isupper() or word[0] in "#&/" or word.casefold() in _ROLES for word in named
    ):
        return False
    if not words[0][0].isupper():
        return False
    return all(
        word.casefold() in _ROLES or word.casefold().rstrip(".") not in found.ordinary
        for word in named
    )


def _is_role(label: str) -> bool:
    return all(word.casefold() in _ROLES for word in label.split())


def _in_capitals(label: str) -> bool:
    # "McGEE" and "MacDONALD" are in capitals, too.
    bare = re.sub(r"\b(?:Mc|Mac|D[ei]|O['’])(?=[^\W\d_a-z])", "", label)
    return bare.isupper()
