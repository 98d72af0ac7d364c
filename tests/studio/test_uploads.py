"""Uploads: what is taken, what is refused, and that no path of a client's ever counts."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio import uploads
from studio.uploads import _shown
from tasks.names import file_stem


def kept(page) -> list[Path]:
    folder = page.home / "studio" / "uploads"
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd.epub",
        "..\\..\\windows\\book.epub",
        "/etc/shadow",
        "a\0b.epub",
        "..",
        ".ssh/authorized_keys",
        "x" * 250,
        "-rf.epub",
        "<script>alert(1)</script>.epub",
    ],
)
def test_names_of_clients_never_reach_the_file_system(page, epub, name):
    before = set(page.home.parent.rglob("*"))
    told = page.upload("book", epub, name)
    files = kept(page)
    assert {path.name for path in files} >= {"upload.json"}
    assert {path.parent.name for path in files} == {told["id"]}
    assert "/" not in told["name"] and "\\" not in told["name"]
    inside = page.home / "studio" / "uploads"
    made = {path for path in page.home.parent.rglob("*") if path not in before and path.is_file()}
    assert all(inside in path.parents or path.parent == page.home / "studio" for path in made)
    assert page.get(f"/uploads/{told['id']}/book")["title"] == "A Small / Book"


@given(st.text(max_size=300))
def test_any_name_becomes_one_that_is_safe(name):
    stem = file_stem(uploads._NO_NAME.sub(" ", Path(_shown(name)).stem), "book", most_bytes=80)
    assert stem and len(stem.encode()) <= 80
    assert not set(stem) & set('/\\\0\n\r<>"') and not stem.startswith(".")
    assert (Path("folder") / stem).parent == Path("folder")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("book", b""),
        ("book", b"%PDF-1.7 of a book"),
        ("book", b"\x7fELF\x02\x01\x01" + bytes(200)),
        ("subtitles", b"PK\x03\x04" + bytes(range(256)) * 4),
        ("video", b"1\n00:00:01,000 --> 00:00:02,000\nNo video.\n"),
        ("voice", b"#!/bin/sh\nexit\n" * 50),
        ("voice", bytes(5000)),
    ],
)
def test_content_decides_what_a_file_is(page, tmp_path, kind, content):
    file = tmp_path / "file"
    file.write_bytes(content)
    told = page.upload(kind, file, f"good.{kind}.epub", 415)
    assert told["detail"].endswith(".") and str(page.home) not in told["detail"]
    assert kept(page) == []


def test_a_sample_that_is_too_short_is_told_at_once(page, tmp_path):
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "short.wav", np.sin(np.arange(24000) / 20), 24000)
    told = page.upload("voice", tmp_path / "short.wav", "my voice.wav", 415)
    assert "my voice.wav" in told["detail"] and "3" in told["detail"]


@pytest.mark.parametrize("said", [True, False])
def test_what_is_too_large_is_refused_and_leaves_nothing(page, monkeypatch, said):
    monkeypatch.setitem(uploads.LIMITS, "book", 1000)

    def pieces():
        for _ in range(100):
            yield b"word " * 20

    content = b"".join(pieces()) if said else pieces()
    answer = page.client.post("/api/uploads?kind=book&name=large.txt", content=content)
    assert answer.status_code == 413
    assert "too large" in answer.json()["detail"]
    assert kept(page) == []


def test_an_upload_is_forgotten_unless_a_job_needs_it(page, order):
    spare = page.send("POST", "/jobs", order, 201)
    answer = page.send("DELETE", f"/uploads/{order['book']}", status=409)
    assert "job" in answer["detail"]
    page.wait(spare["id"], "running")
    page.send("POST", f"/jobs/{spare['id']}/cancel")
    page.wait(spare["id"], "cancelled")
    page.send("DELETE", f"/jobs/{spare['id']}", status=204)
    page.send("DELETE", f"/uploads/{order['book']}", status=204)
    page.get(f"/uploads/{order['book']}/book", 404)


@pytest.mark.parametrize("id", ["..", "%2e%2e", "x" * 32, "0" * 32, "..%2f..%2fvoices"])
def test_ids_are_no_paths(page, id):
    assert page.client.get(f"/api/uploads/{id}/book").status_code == 404
    assert page.client.delete(f"/api/uploads/{id}").status_code in (404, 405)


def hostile(path: Path) -> Path:
    """An EPUB with script in every place, and members that lead out of it."""
    from tests.flows.conftest import CONTAINER, PACKAGE, PAGE

    evil = "<script>alert(1)</script><img src='x' onerror='alert(2)'/>"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr("META-INF/container.xml", CONTAINER)
        items = '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/>'
        package = PACKAGE.format(language="en", items=items, refs='<itemref idref="c"/>')
        title = "&lt;script&gt;alert(3)&lt;/script&gt;"
        book.writestr("book.opf", package.replace("A Small / Book", title))
        body = f"<h1>{evil}{title}</h1><p onclick='alert(4)'>It rains. {evil} {title}</p>"
        book.writestr("c.xhtml", PAGE.format(title="c", body=body))
        nav = f'<nav epub:type="toc"><ol><li><a href="c.xhtml">{title}</a></li></ol></nav>'
        book.writestr("nav.xhtml", PAGE.format(title="c", body=nav))
    return path


def test_a_hostile_book_is_text_and_nothing_else(page, tmp_path):
    told = page.upload("book", hostile(tmp_path / "evil.epub"))
    answer = page.client.get(f"/api/uploads/{told['id']}/book")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.json()["title"] == "<script>alert(3)</script>"  # text, for pages to escape
    assert "onerror" not in answer.text


def test_a_book_that_leads_out_of_its_archive_is_refused_without_paths(page, tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr("../../../../tmp/out.txt", "x")
    (tmp_path / "evil.epub").write_bytes(data.getvalue())
    told = page.upload("book", tmp_path / "evil.epub", "evil.epub")
    answer = page.get(f"/uploads/{told['id']}/book", 400)
    assert "evil.epub" in answer["detail"] and str(page.home) not in json.dumps(answer)


def test_subtitles_are_shown(page, tmp_path):
    (tmp_path / "film.srt").write_text(
        "1\n00:00:01,000 --> 00:00:03,000\nANN: Good morning to all of you.\n\n"
        "2\n00:00:04,000 --> 00:00:05,000\n[applause]\n"
    )
    told = page.upload("subtitles", tmp_path / "film.srt")
    read = page.get(f"/uploads/{told['id']}/subtitles")
    assert (read["cues"], read["format"]) == (2, "srt")
    assert [one["cues"] for one in read["not_spoken"]] == [1]
    assert read["sentence"] == "Good morning to all of you."
    page.get(f"/uploads/{told['id']}/book", 409)
