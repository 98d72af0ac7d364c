"""A small EPUB, a voice sample and the command line with a home folder of its own."""

import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from configs.settings import PREFIX, Settings

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>"""
PACKAGE = """<?xml version="1.0"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:3f0c2f0e-7c2f-4b8a-9a53-0d6f7d1f5a01</dc:identifier>
<dc:title>A Small / Book</dc:title><dc:creator>Ann Author</dc:creator>
<dc:language>{language}</dc:language>
<meta property="dcterms:modified">2026-01-01T00:00:00Z</meta></metadata>
<manifest><item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
{items}</manifest><spine>{refs}</spine></package>"""
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
<head><title>{title}</title></head><body>{body}</body></html>"""
SENTENCES = (
    "The rain had stopped before anyone noticed.",
    "She put the lamp on the table and looked at the door.",
    "Nobody came.",
    "It was, he said, the longest road in the county, and the worst.",
    "They laughed, and then they were quiet for a while.",
    "A dog barked somewhere behind the mill.",
)


def write_epub(path: Path, chapters: int = 2, language: str = "en") -> Path:
    """A small valid EPUB 3; each chapter has a heading and six sentences of its own."""
    items, refs, links = [], [], []
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr("META-INF/container.xml", CONTAINER)
        for number in range(1, chapters + 1):
            name = f"c{number}.xhtml"
            text = " ".join(f"{sentence[:-1]} in part {number}." for sentence in SENTENCES)
            body = f"<h1>Chapter {number}</h1><p>{text}</p>"
            book.writestr(name, PAGE.format(title=f"Chapter {number}", body=body))
            items.append(f'<item id="c{number}" href="{name}" media-type="application/xhtml+xml"/>')
            refs.append(f'<itemref idref="c{number}"/>')
            links.append(f'<li><a href="{name}">Chapter {number}</a></li>')
        toc = f'<nav epub:type="toc"><ol>{"".join(links)}</ol></nav>'
        book.writestr("nav.xhtml", PAGE.format(title="Contents", body=toc))
        package = PACKAGE.format(language=language, items="".join(items), refs="".join(refs))
        book.writestr("book.opf", package)
    return path


@pytest.fixture
def epub(tmp_path: Path) -> Path:
    return write_epub(tmp_path / "small.epub")


def write_sample(path: Path) -> Path:
    """Five seconds of something with a pitch and syllables."""
    rate = 24000
    time = np.arange(5 * rate) / rate
    buzz = sum(np.sin(2 * np.pi * 140 * harmonic * time) / harmonic for harmonic in range(1, 12))
    soundfile.write(path, 0.15 * buzz * (1.2 + np.sin(2 * np.pi * 4 * time)), rate)
    return path


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "sample.wav")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a home of the test's own, also for the processes that it starts."""
    for field in Settings.model_fields:
        monkeypatch.delenv(PREFIX + field.upper(), raising=False)
    monkeypatch.setenv("VOXLOOM_HOME", str(tmp_path / "home folder"))
    monkeypatch.setenv("VOXLOOM_THREADS", "1")
    monkeypatch.setenv("VOXLOOM_BATCH_SIZE", "4")
    return Settings()


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture
def voxloom(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ran]]:
    """Runs the command line in this process."""
    from flows.cli import main
    from flows.logs import ROOMS

    environment = dict(os.environ)
    loggers = [logging.getLogger(), *map(logging.getLogger, ROOMS)]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    yield run
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    os.environ.clear()
    os.environ.update(environment)
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
