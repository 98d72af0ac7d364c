"""`voxloom cast`: a first cast file of a book, and who speaks what with it."""

import pytest

from tasks.casting import load_cast
from tests.flows.test_cli import sentence
from tests.tasks.conftest import EpubBuilder

BODY = (
    "<h1>One</h1><p>“Good morning,” said Alice.</p><p>“Good night,” said Mr. Bob.</p>"
    "<p>“It is late,” Alice replied. “Is it not?”</p><p>“Who knows?”</p>"
)


def test_a_cast_is_drafted_and_checked(voxloom, tmp_path):
    book, path = EpubBuilder(tmp_path)({"a.xhtml": BODY}), tmp_path / "cast.yaml"
    assert voxloom("cast", book, "--out", path).status == 0
    assert list(load_cast(path).names) == ["Alice"]
    path.write_text("voices: {Alice: a.wav, Mr. Bob: }\ndialogue: d.wav\n", encoding="utf-8")
    assert voxloom("cast", book, "--check", path).out.splitlines() == [
        "1.2\tAlice\t“Good morning,”",
        "1.3\tMr. Bob (dialogue)\t“Good night,”",
        "1.4\tAlice\t“It is late,”",
        "1.4\tAlice\t“Is it not?”",
        "1.5\t? (dialogue)\t“Who knows?”",
    ]


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ([], 2, "either --out"),
        (["--out", "a.yaml", "--check", "b.yaml"], 2, "either --out"),
        (["--out", "{there}"], 1, "already"),
        (["--check", "{absent}"], 2, "can't be read"),
    ],
)
def test_what_can_not_be_done(voxloom, epub, tmp_path, options, status, words):
    there = tmp_path / "there.yaml"
    there.write_text("voices:\n")
    names = {"there": there, "absent": tmp_path / "absent.yaml"}
    ran = voxloom("cast", epub, *(option.format(**names) for option in options))
    assert ran.status == status
    assert words in sentence(ran)
    assert there.read_text() == "voices:\n"
