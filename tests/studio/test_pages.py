"""The pages as the server renders them: safe, in the listener's language, nothing unsaid."""

import re
from pathlib import Path
from typing import Any

import lxml.etree
import lxml.html
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from configs.settings import Settings
from model.engine import Engine
from studio import pages
from studio.models import ChapterText, ListenLine, Word
from studio.wording import texts
from tests.flows.test_dub import finish, order_for, subtitles, work_on  # noqa: F401  # a fixture
from tests.studio.conftest import Page
from tests.studio.test_dub import asked  # noqa: F401  # a fixture

STUDIO = Path(pages.__file__).parent
HOSTILE = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">'


@pytest.fixture
def hostile(page: Page, sample: Path, tmp_path: Path) -> dict[str, Any]:
    """A job whose book is called something nasty, and the upload of the book."""
    book = tmp_path / "book.md"
    book.write_text("# " + HOSTILE.replace("<", "\\<") + "\n\nA sentence.\n", encoding="utf-8")
    upload = page.upload("book", book, f"{HOSTILE}.md")
    voice = {"upload": page.upload("voice", sample)["id"], "consent": True}
    job = page.send("POST", "/jobs", {"kind": "book", "book": upload["id"], "voice": voice}, 201)
    return {"upload": upload["id"], "job": job["id"]}


def active(html: str) -> list[str]:
    """What of a page would run or style it, besides our own files."""
    found = []
    for one in lxml.html.fromstring(f"<div>{html}</div>").iter(lxml.etree.Element):
        own = one.tag == "script" and (one.get("src") or one.get("type") == "application/json")
        if one.tag in ("script", "style", "iframe", "object") and not own:
            found.append(one.tag)
        found += [name for name in one.attrib if name == "style" or name.startswith("on")]
        found += [link for link in (one.get("href"), one.get("src")) if link and ":" in link]
    return found


def test_no_page_has_active_content_of_a_book(page: Page, hostile: dict[str, Any]) -> None:
    paths = ["/", "/watch", f"/parts/book/{hostile['upload']}"]
    paths += [f"/parts/jobs/{hostile['job']}{part}" for part in ("", "/progress", "/changes")]
    shown = 0
    for path in paths:
        answer = page.client.get(path)
        assert answer.status_code == 200
        assert active(answer.text) == [], path
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        shown += "&lt;script&gt;window.hacked" in answer.text
    assert shown >= 3  # it is there, as text


def test_a_dub_shows_its_subtitles_against_its_speech(
    page: Page,
    asked: dict[str, Any],  # noqa: F811
    settings: Settings,
) -> None:
    shown = page.client.get(f"/parts/subtitles/{asked['subtitles']}")
    assert shown.status_code == 200 and "ANN" in shown.text and active(shown.text) == []
    id = page.send("POST", "/jobs", asked, 201)["id"]
    studio = page.client.app.state.studio  # type: ignore[attr-defined]
    film, voice = (
        studio.uploads.path(one) for one in (asked["subtitles"], asked["voice"]["upload"])
    )
    finish(work_on(order_for(film, voice, page.folder(id) / "out", settings), Engine.debug()))
    page.wait(id, "running")
    studio.jobs._put(studio.jobs.show(id).model_copy(update={"listenable": True}))
    answer = page.client.get(f"/listen/{id}")
    assert answer.status_code == 200 and active(answer.text) == []
    tree = lxml.html.fromstring(answer.text)
    assert len(tree.xpath("//ol[@id='cues']/li")) == 5
    assert len(tree.find_class("cue")) == 10  # in the rows and in the timeline of all
    widths = [float(one.get("width")) for one in tree.iter("rect")]
    assert all(0 < width <= 240 for width in widths)
    assert tree.get_element_by_id("audio").get("src")
    assert page.client.get(f"/take/{id}").status_code == 200


def test_there_is_a_page_for_what_is_not_there(page: Page) -> None:
    for path in ("/nothing", "/listen/0", f"/take/{'0' * 32}", "/listen/../../etc/passwd"):
        answer = page.client.get(path)
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text
    assert page.client.get("/api/nothing").json() == {"detail": "Not Found"}
    for path in ("/listen", "/take"):
        assert "nothing to" in page.client.get(path).text


def test_a_language_that_was_chosen_is_remembered(page: Page) -> None:
    assert '<html lang="en">' in page.client.get("/").text
    assert "制作有声书" in page.client.get("/?language=zh").text
    assert '<html lang="zh-CN">' in page.client.get("/watch").text
    assert '<html lang="en">' in page.client.get("/watch?language=en").text


def test_what_is_said_is_used() -> None:
    used = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("templates", "static")
        for path in STUDIO.joinpath(folder).rglob("*")
        if path.suffix in (".html", ".js") and "htmx" not in path.name
    )
    for section in ("pages", "make", "watch", "listen", "take", "errors"):
        for name in texts("en")[section]:
            found = f"{section}.{name}" in used or re.search(rf"t\[\w+\]\.{name}\b", used)
            computed = name in ("notes_skip", "notes_inline", "notes_chapter") or (
                section in ("pages", "watch") and name in _STATES
            )
            assert found or computed, f"{section}.{name} is said nowhere"


_STATES = ("make", "watch", "listen", "take", "queued", "running", "paused", "finished")
_STATES += ("failed", "cancelled")


@st.composite
def lines(draw: st.DrawFn) -> list[ListenLine]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        text = draw(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1))
        cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
        words = [
            Word(first=first, last=last, start=first, end=last)
            for first, last in zip(cuts[::2], cuts[1::2], strict=False)
        ]
        line = ListenLine(
            place=f"1:{number + 1}",
            text=text,
            block=draw(st.integers(-1, 2)),
            kind=draw(st.sampled_from(["paragraph", "heading", "verse", "note"])),
            start=0,
            end=1,
            words=words,
            speaker="",
            pause_after=0,
            reason=draw(st.sampled_from(["", HOSTILE])),
            redone=False,
        )
        found.append(line)
    return found


@examples(max_examples=40)
@given(lines())
def test_a_chapter_shows_its_text_and_nothing_else(given_lines: list[ListenLine]) -> None:
    chapter = ChapterText(number=1, title=HOSTILE, lines=given_lines)
    template = pages.environment.get_template("parts/chapter.html")
    html = template.render(
        text=chapter, blocks=pages.blocks_of(chapter), t=texts("en"), language="en"
    )
    assert active(html) == []
    tree = lxml.html.fromstring(f"<div>{html}</div>")
    sentences = tree.find_class("sentence")
    assert [one.text_content() for one in sentences] == [line.text for line in given_lines]
    for one, line in zip(sentences, given_lines, strict=True):
        spans = [span.text_content() for span in one.iter("span") if span is not one]
        assert spans == [line.text[word.first : word.last] for word in line.words]
