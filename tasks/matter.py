"""Front and back matter: what it is called, what is read by default, and what a listener chose."""

from collections.abc import Iterable
from dataclasses import dataclass

from configs.errors import UsageError

# What is not read by default: the name by which it is chosen, and what it is called in reports.
SKIPPED = {
    "audio": "list of audio clips",
    "bibliography": "bibliography",
    "books": "list of other books",
    "colophon": "colophon",
    "contents": "table of contents",
    "contributors": "list of contributors",
    "copyright": "copyright page",
    "cover": "cover",
    "credits": "credits",
    "halftitle": "half title page",
    "illustrations": "list of illustrations",
    "imprint": "imprint",
    "index": "index",
    "licence": "Project Gutenberg's header and licence",
    "nonlinear": "outside the linear reading order",
    "notes": "notes",
    "series": "series page",
    "tables": "list of tables",
    "titlepage": "title page",
    "transcriber": "transcriber's note",
    "video": "list of video clips",
}
# What is read by default though it is no chapter of the story; it can be left out.
NARRATIVE = {
    "acknowledgments": "Acknowledgments",
    "afterword": "Afterword",
    "appendix": "Appendix",
    "dedication": "Dedication",
    "epigraph": "Epigraph",
    "epilogue": "Epilogue",
    "foreword": "Foreword",
    "glossary": "Glossary",
    "introduction": "Introduction",
    "preface": "Preface",
    "prologue": "Prologue",
}
NAVIGATION = "navigation"

# epub:type, DPUB-ARIA roles and guide types of what is not read by default.
_TYPES = {
    "audio": "loa",
    "bibliography": "bibliography",
    "colophon": "colophon",
    "contents": "toc",
    "contributors": "contributors",
    "copyright": "copyright copyright-page",
    "cover": "cover",
    "credits": "credits other-credits",
    "halftitle": "halftitle halftitlepage",
    "illustrations": "loi",
    "imprint": "imprimatur imprint",
    "index": "index",
    "notes": "endnote endnotes footnote footnotes notes rearnote rearnotes",
    "series": "seriespage",
    "tables": "lot",
    "titlepage": "title-page titlepage",
    "video": "lov",
}
MATTER = {word: SKIPPED[name] for name, words in _TYPES.items() for word in words.split()}
MATTER |= dict.fromkeys(("landmarks", "page-list", "pagelist"), NAVIGATION)

# What publishers call these pages, in letters and digits only.
_SHORT_LABELS = {
    "cover": "cover couverture umschlag copertina cubierta 表紙 封面",
    "titlepage": "titlepage titelblatt titelseite titelei frontespizio portada 扉",
    "halftitle": "halftitle halftitlepage",
    "contents": "contents toc tableofcontents inhalt inhaltsverzeichnis sommaire índice"
    " tabledesmatières tabledesmatieres indice contenido оглавление содержание 目次 目录",
    "copyright": "copyright copyrightpage copyrightnotice uncopyright créditos 版权 奥付",
    "imprint": "imprint impressum",
    "colophon": "colophon",
    "illustrations": "illustrations listofillustrations listoffigures",
    "tables": "listoftables",
    "licence": "thefullprojectgutenberglicense projectgutenberglicense"
    " thefullprojectgutenbergtmlicense",
    "transcriber": "transcribersnote transcribersnotes",
    "books": "alsoby alsobytheauthor alsobythisauthor otherbooks",
}
_LONG_LABELS = {
    "notes": "notes endnotes footnotes anmerkungen fußnoten endnoten",
    "index": "index register",
    "bibliography": "bibliography literaturverzeichnis bibliographie",
}
_NARRATIVE_LABELS = {
    "acknowledgments": "acknowledgments acknowledgements danksagung remerciements agradecimientos",
    "afterword": "afterword nachwort postface あとがき 后记",
    "appendix": "appendix anhang annexe",
    "dedication": "dedication widmung dédicace dedicatoria",
    "epigraph": "epigraph",
    "epilogue": "epilogue epilog épilogue",
    "foreword": "foreword geleitwort avantpropos prólogo",
    "glossary": "glossary glossar glossaire",
    "introduction": "introduction einleitung einführung introducción",
    "preface": "preface vorwort préface prefacio 前言 まえがき",
    "prologue": "prologue prolog",
}
SHORT_LABELS = {
    label: SKIPPED[name] for name, labels in _SHORT_LABELS.items() for label in labels.split()
}
LONG_LABELS = {
    label: SKIPPED[name] for name, labels in _LONG_LABELS.items() for label in labels.split()
}
NARRATIVE_LABELS = {
    label: NARRATIVE[name] for name, labels in _NARRATIVE_LABELS.items() for label in labels.split()
}
# What files are called that hold such a page; Ebookmaker's "wrap" shows the cover.
FILE_NAMES = {
    "cover": "cover",
    "wrap": "cover",
    "title": "titlepage",
    "titlepage": "titlepage",
    "title-page": "titlepage",
    "title_page": "titlepage",
    "halftitle": "halftitle",
    "half-title": "halftitle",
    "half_title": "halftitle",
    "halftitlepage": "halftitle",
    "half-title-page": "halftitle",
    "imprint": "imprint",
    "copyright": "copyright",
    "copyrightpage": "copyright",
    "copyright-page": "copyright",
    "copyright_page": "copyright",
    "uncopyright": "copyright",
    "colophon": "colophon",
    "toc": "contents",
    "contents": "contents",
    "nav": "contents",
}
NOTE_MODES = ("skip", "inline", "chapter")


@dataclass(frozen=True)
class Reading:
    """What of a book is read.

    `notes`: footnotes and endnotes are left out ("skip"), follow the paragraph that refers to them
    ("inline") or end its chapter ("chapter"). `include` has names of SKIPPED that are read all the
    same, `exclude` names of NARRATIVE that are not. `images`: whether pictures' descriptions are
    read.
    """

    notes: str = "skip"
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    images: bool = False

    def leaves_out(self, reason: str) -> bool:
        """Whether text is left out that is what `reason` says: a value of SKIPPED or NARRATIVE,
        or ""."""
        if reason in NARRATIVE.values():
            return any(NARRATIVE[name] == reason for name in self.exclude)
        return bool(reason) and not any(SKIPPED[name] == reason for name in self.include)


AS_USUAL = Reading()


def reading_of(
    notes: str = "skip", include: str = "", exclude: str = "", images: bool = False
) -> Reading:
    """A Reading from options: names with commas between them; "all" is every one of them.

    Raises UsageError for what has no such name.
    """
    if notes not in NOTE_MODES:
        raise UsageError(f"--notes is {', '.join(NOTE_MODES[:-1])} or {NOTE_MODES[-1]}")
    return Reading(
        notes,
        _names("--include", include, SKIPPED),
        _names("--exclude", exclude, NARRATIVE),
        images,
    )


def _names(option: str, text: str, known: Iterable[str]) -> frozenset[str]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if "all" in names:
        return frozenset(known)
    for name in names:
        if name not in known:
            raise UsageError(f"{option} does not know {name!r}; it knows {', '.join(known)}, all")
    return frozenset(names)
