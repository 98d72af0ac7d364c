"""What an element of an XHTML document is, by its own markup and its neighbours'."""

import re
from dataclasses import dataclass, field

from lxml import etree

from tasks.epub_fold import fold_text
from tasks.epub_lexicon import ALPHABETS
from tasks.epub_markup import classes_of, local_name, types_of
from tasks.epub_notes import is_note_mark

BLOCKS = set(
    """
    address article aside blockquote body caption center dd details dialog dir div dl dt fieldset
    figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu
    ol optgroup option p pre section summary table tbody td tfoot th thead tr ul
    """.split()  # noqa: SIM905
)
HEADING_TYPES = {"covertitle", "fulltitle", "heading", "subtitle", "title"}
HEADING_CLASS = re.compile(r"(chap(ter)?|part|book)[-_]?(title|head(ing)?|num(ber)?|no)")
VERSE_TYPES = {"z3998:hymn", "z3998:poem", "z3998:song", "z3998:verse"}
VERSE_CLASS = re.compile(r"(poem|poetry|verse|stanza|line-?group)[-_\w]*|lg")
BREAK_CLASS = re.compile(
    r"(scene|section|thought|text|space|context)[-_]?break|asterism|fleuron|ornament|tb|dinkus"
)
NUMBER_CLASS = re.compile(
    r"(page-?(num(ber)?|no)|pagenum|x-ebookmaker-pageno|l-?num|line-?num(ber)?)s?"
)
PART_OF_TITLE = re.compile(r"(.*[:_-])?(label|ordinal|title|subtitle|number|num|chapnum)")
HIDING = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
BLOCK_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*(?:block|list-item|table)", re.I)
SSML = "http://www.w3.org/2001/10/synthesis"
# What the Structural Semantics Vocabulary says of a word, as Standard Ebooks uses it.
ROLES = {
    "z3998:acronym": "word",
    "z3998:grapheme": "letters",
    "z3998:initialism": "letters",
    "z3998:roman": "roman",
}
PERSONA_CLASSES = {"persona", "speaker"}
SPEECHES = {"dd", "div", "li", "p", "tr"}
# An element with a pronunciation holds a few words; one that holds paragraphs says nothing of them.
MAX_MARKED = 50
# Ebookmaker's editions without images print an image's alternative text in such spans; where the
# image was a letter, the word needs it.
PRINTED_ALT = re.compile(r"img_images_")
LONGEST_INITIAL = 3


@dataclass(eq=False)
class Mark:
    """What an element says of all its text together; every element has its own."""

    said: str = ""
    phonemes: str = ""
    alphabet: str = ""
    role: str = ""


@dataclass(eq=False)
class Ruby:
    """A ruby in the making: the base at hand, and whether its reading has been seen."""

    mark: Mark = field(default_factory=Mark)
    closed: bool = False

    def base(self) -> Mark:
        """The mark of base text that comes now."""
        if self.closed:
            self.mark, self.closed = Mark(), False
        return self.mark

    def read(self, reading: str) -> None:
        """A reading; where there are several in a row, they belong to one base."""
        self.mark.said += reading
        self.closed = True


def is_block(element: etree._Element, name: str) -> bool:
    return name in BLOCKS or BLOCK_STYLE.search(element.get("style", "")) is not None


def is_verse(name: str, types: set[str], classes: set[str]) -> bool:
    """Whether an element says that its lines are verse."""
    if types & VERSE_TYPES:
        return True
    return name in BLOCKS and any(map(VERSE_CLASS.fullmatch, classes))


def is_printed_number(classes: set[str]) -> bool:
    """Whether an element holds the number of a printed page or line."""
    return any(map(NUMBER_CLASS.fullmatch, classes))


def breaks_scene(element: etree._Element) -> bool:
    """Whether an element says that it parts scenes."""
    return any(map(BREAK_CLASS.fullmatch, classes_of(element)))


def is_internal(element: etree._Element) -> bool:
    href = element.get("href", "")
    return bool(href) and "://" not in href and not href.startswith("mailto:")


def is_heading(
    element: etree._Element, name: str, types: set[str], classes: set[str], grouped: bool
) -> bool:
    """Whether a paragraph is a heading by what it says of itself, though it is no h1 to h6, or in
    an hgroup (`grouped`)."""
    if name == "p" and grouped:
        return True
    if name not in ("p", "div") or any(local_name(child) in BLOCKS for child in element):
        return False
    return bool(types & HEADING_TYPES) or any(map(HEADING_CLASS.fullmatch, classes))


def is_hidden(element: etree._Element) -> bool:
    """Whether an element itself says that nobody is to see it."""
    return (
        element.get("hidden") is not None
        or element.get("aria-hidden", "").lower() == "true"
        or HIDING.search(element.get("style", "")) is not None
    )


def ssml(element: etree._Element, name: str) -> str:
    return element.get(f"{{{SSML}}}{name}") or element.get(f"ssml:{name}") or ""


def mark_of(
    element: etree._Element, types: set[str], alphabet: str, outer: Mark | None
) -> Mark | None:
    """What an element says of its words together; the outermost pronunciation counts."""
    if outer is not None and outer.phonemes:
        return outer
    phonemes = fold_text(ssml(element, "ph"))
    role = next((ROLES[kind] for kind in sorted(types) if kind in ROLES), "")
    known = ALPHABETS.get(alphabet or "ipa", "")
    if not (phonemes and known) and not role:
        return outer
    inside = element.iter()
    for number, inner in enumerate(inside):
        if number > MAX_MARKED or (inner is not element and local_name(inner) in BLOCKS):
            return outer
    return Mark("", phonemes, known, role) if phonemes and known else Mark(role=role)


def read_ruby(element: etree._Element, name: str, ruby: Ruby) -> None:
    """Take a reading; a second row of readings does not count."""
    parent = element.getparent()
    if name == "rtc" and ruby.mark.said:
        return
    if name == "rt" and parent is not None and local_name(parent) == "rtc":
        return
    ruby.read(fold_text("".join(element.itertext())))


def _is_persona(element: etree._Element) -> bool:
    return "z3998:persona" in types_of(element) or bool(classes_of(element) & PERSONA_CLASSES)


def speaker_of(
    element: etree._Element, name: str, types: set[str], classes: set[str], outer: str
) -> str:
    """Who says the text of an element of a play; the names themselves are the narrator's."""
    if "z3998:persona" in types or classes & PERSONA_CLASSES or "z3998:stage-direction" in types:
        return ""
    if name not in SPEECHES:
        return outer
    first = list(element[:3])
    if name == "dd" and (before := element.getprevious()) is not None:
        first.append(before)
    for child in first:
        if isinstance(child.tag, str) and _is_persona(child):
            return fold_text("".join(child.itertext())).strip(" .:—-")
    return outer


def has_words(element: etree._Element) -> bool:
    return any(text.strip() for text in element.itertext())


def is_initial(element: etree._Element, said: str) -> bool:
    """Whether a picture is the first letter of the word that follows it."""
    if len(said) > LONGEST_INITIAL or sum(map(str.isalpha, said)) != 1:
        return False
    parent, after = element.getparent(), element.tail or ""
    while not after and parent is not None and element.getnext() is None:
        if local_name(parent) in BLOCKS:
            return False
        element, parent, after = parent, parent.getparent(), parent.tail or ""
    return after[:1].isalpha() or after[:1] in ("'", "’")


def in_note_mark(element: etree._Element) -> bool:
    """Whether a link is silent because the raised number around it is a note's mark."""
    parent = element.getparent()
    if parent is None or not isinstance(parent.tag, str):
        return False
    return is_note_mark(parent, local_name(parent), types_of(parent), classes_of(parent))


def in_ornament(element: etree._Element) -> bool:
    """Whether a picture only separates scenes."""
    parent = element.getparent()
    near = [element] if parent is None else [element, parent]
    return any(map(breaks_scene, near))


def is_printed_alt(element: etree._Element) -> bool:
    if not PRINTED_ALT.match(element.get("id", "")):
        return False
    return len(fold_text("".join(element.itertext()))) > LONGEST_INITIAL


def touches_title(element: etree._Element) -> bool:
    """Whether a heading's part (label, number, title) follows another with nothing between."""
    before = element.getprevious()
    if before is None or (before.tail or "").strip() or local_name(element) in ("br", "sup"):
        return False
    return any(
        PART_OF_TITLE.fullmatch(kind)
        for part in (before, element)
        for kind in types_of(part) | classes_of(part)
    )
