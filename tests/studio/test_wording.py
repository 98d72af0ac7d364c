"""What the pages say: the same things in every language."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from hypothesis import example, given
from hypothesis import strategies as st

from studio.wording import (
    COOKIE,
    LANGUAGES,
    clock,
    counted,
    duration,
    in_markup,
    in_words,
    language_of,
    size,
    texts,
    translated,
)
from tests.studio.conftest import Page, page  # noqa: F401  # a fixture

# Where the sentences are raised that Studio's own requests can end with: what is uploaded and
# looked at, voices, previews, takes, the lexicon, the cast.
RAISED = [
    "studio",
    "tasks/audio_in.py",
    "tasks/voices.py",
    "tasks/read_book.py",
    "tasks/plain_book.py",
    "tasks/epub_guard.py",
    "tasks/epub_package.py",
    "tasks/read_subtitles.py",
    "tasks/subtitle_formats.py",
    "tasks/subtitle_stream.py",
    "tasks/subtitle_encoding.py",
    "tasks/dub_video.py",
    "tasks/lexicon.py",
    "tasks/casting.py",
    "tasks/dub_cast.py",
    "tasks/handwritten.py",
    "tasks/engines.py",
    "tasks/redone.py",
    "tasks/line_edits.py",
    "tasks/beside.py",
    "tasks/plan.py",
    "tasks/matter.py",
    "tasks/hearing.py",
    "tasks/transcribe.py",
    "tasks/gate.py",
    "tasks/dub_fit.py",
    "storage/library.py",
    "storage/models.py",
    "flows/orders.py",
    "flows/dub_orders.py",
    "flows/dub_redo.py",
    "flows/dub_work.py",
    "flows/speak.py",
    "flows/work.py",
    "model/speaking.py",
]
# Which argument of a call is a sentence; a raised one, or a reason of the gate or of a dub.
SENTENCES = {"UserError": 0, "UsageError": 0, "HTTPException": 1, "problem": 2}
REASONS = {"found": 1, "words": 1, "append": 0}
TERMINAL = ("studio/cli.py", "tasks/gate.py: VOXLOOM_HEAR_ALL")  # nobody sees these on a page

OPEN = ("stages", "reasons")  # what a language does not translate, it says in English


def leaves(said: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(said, str):
        yield path, said
        return
    for name, value in said.items():
        if path or name not in OPEN:
            yield from leaves(value, f"{path}.{name}")


def blanks(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_the_same_with_the_same_blanks(language: str) -> None:
    english, other = dict(leaves(texts("en"))), dict(leaves(texts(language)))
    assert english.keys() == other.keys()
    for path, text in english.items():
        assert blanks(text) == blanks(other[path]), path


def asked(query: str = "", cookie: str = "", accept: str = "") -> Request:
    headers = [(b"accept-language", accept.encode()), (b"cookie", cookie.encode())]
    return Request({"type": "http", "query_string": query.encode(), "headers": headers})


def test_the_language_is_the_addresss_then_the_cookies_then_the_browsers() -> None:
    cookie = f"{COOKIE}=zh"
    assert language_of(asked("language=en", cookie, "zh-CN")) == "en"
    assert language_of(asked("", cookie, "en")) == "zh"
    assert language_of(asked("", "", "fr-FR, zh-TW;q=0.8, en;q=0.5")) == "zh"
    assert language_of(asked("language=../../x", "", "tlh")) == "en"


def test_numbers_are_said_as_people_say_them() -> None:
    units = texts("en")["units"]
    assert counted(units["words"], 1) == "1 word"
    assert counted(units["words"], 12345) == "12,345 words"
    assert counted(texts("zh")["units"]["chapters"], 2) == "2 章"
    assert [duration(s, units) for s in (0.2, 59, 60, 3600, 3720)] == [
        "1 s",
        "59 s",
        "1 min",
        "1 h 0 min",
        "1 h 2 min",
    ]
    assert [clock(s) for s in (0, 7.9, 187, 3753)] == ["0:00", "0:07", "3:07", "1:02:33"]
    assert [size(count) for count in (12, 2500, 12_340_000)] == ["1 kB", "2 kB", "12.3 MB"]


@given(st.floats(0, 1e7))
@example(59.7)
@example(3599.0)
def test_a_duration_is_never_sixty_of_anything(seconds: float) -> None:
    assert not re.search(r"\b60\b", duration(seconds, texts("en")["units"]).split(" h")[-1])


def said_in(path: Path, calls: dict[str, int]) -> Iterator[str]:
    """The sentences that a module gives to some calls, with "book" where something is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            at = calls.get(name, 99)
            yield from filter(None, map(literal, node.args[at : at + 1]))


def literal(node: ast.AST) -> str:
    """What a string or an f-string says; "" of anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            literal(one) if isinstance(one, ast.Constant) else "book" for one in node.values
        )
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_what_can_go_wrong_on_a_page_is_said_in_chinese(root: Path) -> None:
    files = [file for one in RAISED for file in sorted(root.glob(f"{one}/*.py")) or [root / one]]
    told = [
        (f"{file.relative_to(root)}: {sentence}", sentence)
        for file in files
        for sentence in said_in(file, SENTENCES)
    ]
    told = [(where, sentence) for where, sentence in told if not where.startswith(TERMINAL)]
    assert len(told) > 150
    assert [where for where, sentence in told if translated(sentence, "zh") is None] == []


def test_every_reason_to_listen_is_said_in_chinese(root: Path) -> None:
    gate = root / "tasks" / "gate.py"
    reasons = [*said_in(gate, REASONS), *said_in(root / "tasks" / "dub_fit.py", REASONS)]
    # In the gate, some stand in a table, and some say why nothing could be told.
    for node in ast.walk(ast.parse(gate.read_text(encoding="utf-8"))):
        name = getattr(node.targets[0], "id", "") if isinstance(node, ast.Assign) else ""
        if name == "reasons" and isinstance(node.value, ast.Dict):
            reasons += [literal(value) for value in node.value.values]
        if name == "unsure":
            reasons.append(literal(node.value))
    reasons = [reason for reason in reasons if reason]
    assert len(reasons) >= 18 and "clipped" in reasons
    assert "a word seems to be missing at book s" in reasons
    assert [reason for reason in reasons if translated(reason, "zh") is None] == []
    both = f"{reasons[0]}; starts 0.12 s late; not spoken, silent"
    assert translated(both, "zh") == (
        f"{translated(reasons[0], 'zh')}；晚了 0.12 秒开始；没有读出来：没有声音"
    )


READERS = ("read_book", "plain_book", "epub_guard", "epub_chapters", "epub_package", "readings")
MENDERS = ("subtitle_times", "subtitle_scan", "subtitle_formats", "subtitle_encoding")


def written_in(path: Path) -> Iterator[str]:
    """The sentences that stand in a module, but for docstrings and errors."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    others: set[ast.AST] = set()
    for node in ast.walk(tree):
        error = isinstance(node, ast.Call) and getattr(node.func, "id", "") in SENTENCES
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if error or docstring or isinstance(node, ast.JoinedStr):
            others |= set(ast.walk(node)) - ({node} if isinstance(node, ast.JoinedStr) else set())
    for node in ast.walk(tree):
        if node not in others and re.fullmatch(r"[A-Z].+[.]", literal(node)):
            yield literal(node)


def test_what_was_mended_in_a_book_or_in_subtitles_is_said_in_chinese(root: Path) -> None:
    told = [
        sentence
        for name in READERS
        for sentence in said_in(root / "tasks" / f"{name}.py", {"append": 0, "warn": 0})
    ]
    assert len(told) >= 14
    for name in MENDERS:
        told += written_in(root / "tasks" / f"{name}.py")
    assert "It has no number." in told and len(told) >= 34
    assert sorted({one for one in told if translated(one, "zh") is None}) == []
    assert translated("It had no length; it is given 0.50 s. (12 times in all)", "zh") is not None


def test_what_is_not_known_is_shown_in_english() -> None:
    odd = "Nobody <b>knows</b>: this"
    assert translated(odd, "zh") is None and translated(odd, "en") == odd
    assert in_words(odd, "zh") == f"英文原文：{odd}" and in_words(odd, "en") == odd
    assert in_markup(odd, "zh") == (
        '英文原文：<span lang="en">Nobody &lt;b&gt;knows&lt;/b&gt;: this</span>'
    )
    assert in_markup(odd, "en") == "Nobody &lt;b&gt;knows&lt;/b&gt;: this"
    assert in_markup("There is no voice named <i>.", "zh") == "没有名为 &lt;i&gt; 的声音。"
    assert translated("silent; who knows", "zh") is None
    assert in_words("", "zh") == ""


def test_a_problem_is_said_in_the_language_of_the_request(page: Page) -> None:  # noqa: F811
    path = "/api/voices/ada/audio"
    english = page.client.get(path)
    assert english.json() == {"detail": "There is no voice named ada."}
    assert english.headers["content-language"] == "en"
    chinese = page.client.get(path, headers={"accept-language": "zh-CN"})
    assert chinese.json() == {"detail": "没有名为 ada 的声音。"}
    assert chinese.headers["content-language"] == "zh"
    del page.client.headers["x-csrf-token"]
    refused = page.client.delete("/api/voices/ada", headers={"accept-language": "zh"})
    assert refused.status_code == 403 and "重新载入" in refused.json()["detail"]
