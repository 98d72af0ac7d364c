import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def debug_engine(monkeypatch):
    """Commands speak with the tiny random model."""
    from flows import work
    from model.engine import Engine

    monkeypatch.setattr(work, "builtin_engine", lambda settings: Engine.debug())


def sentence(ran) -> str:
    """What a failed command said: one sentence, nothing else."""
    lines = ran.err.strip().splitlines()
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("voxloom: ")
    return lines[0]


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["--help"],
        ["-h"],
        ["audiobook", "--help"],
        ["speak", "--help"],
        ["voices", "--help"],
        ["voices", "add", "-h"],
        ["store", "--help"],
    ],
)
def test_help(voxloom, command):
    ran = voxloom(*command)
    assert ran.status == 0
    assert "Usage" in ran.out
    assert ran.err == ""


def test_help_names_what_there_is(voxloom):
    assert all(word in voxloom("--help").out for word in ("audiobook", "speak", "voices", "store"))
    said = voxloom("audiobook", "--help").out
    assert all(word in said for word in ("--voice", "--out", "--chapters", "--seed", "Examples"))


def test_version(voxloom):
    assert re.fullmatch(r"voxloom \d+\.\d+\.\d+\n", voxloom("--version").out)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["--nope"], "--nope"),
        (["audiobok"], "audiobook"),
        (["audiobook"], "BOOK"),
        (["audiobook", "b.epub", "--voice", "v"], "--out"),
        (["audiobook", "b.epub", "--voice", "v", "--out", "o", "--sped", "2"], "--sped"),
        (["audiobook", "b.epub", "--voice", "v", "--out", "o", "--seed", "x"], "--seed"),
        (["audiobook", "b.epub", "--voice", "v", "--out", "o", "--config", "absent"], "absent"),
        (["audiobook", "b.epub", "--voice", "v", "--out", "o", "--notes", "x"], "--notes is skip"),
        (["speak", "--voice", "v"], "TEXT or --lines"),
        (["speak", "a", "--lines", "b", "--voice", "v"], "TEXT or --lines"),
        (["speak", "a", "--voice", "v"], "-o FILE.wav"),
        (["speak", "a", "--voice", "v", "-o", "a.mp3"], "the format is WAV"),
        (["speak", "--lines", "b", "--voice", "v"], "--out DIR"),
        (["voices", "add", "../x", "sample.wav"], "can't name a voice"),
        (["voices"], "voxloom voices --help"),
        (["store", "gc", "--older-than", "-1"], "--older-than"),
        (["audiobook", "a", "--voice", "b", "--out", "c", "--formats", "mp3,wav"], "'wav'"),
        (["audiobook", "a", "--voice", "b", "--out", "c", "--mastering", "loud"], "acx"),
        (
            [
                "audiobook",
                "a",
                "--voice",
                "b",
                "--out",
                "c",
                "--layout",
                "audiobookshelf",
                "--formats",
                "m4b,mp3",
            ],
            "one kind of audio file",
        ),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(voxloom, command, words):
    ran = voxloom(*command)
    assert ran.status == 2
    assert words in sentence(ran)
    assert ran.out == ""


def test_a_wrong_setting_is_wrong_usage(voxloom, monkeypatch):
    monkeypatch.setenv("VOXLOOM_THREADS", "zero")
    ran = voxloom("voices", "list")
    assert ran.status == 2
    assert "VOXLOOM_THREADS=zero" in sentence(ran)


def test_an_unwritable_home(voxloom, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VOXLOOM_HOME", str(tmp_path / "file"))
    ran = voxloom("voices", "list")
    assert ran.status == 1
    assert "VOXLOOM_HOME" in sentence(ran)


def test_voices(voxloom, sample):
    assert "voxloom voices add" in voxloom("voices", "list").err
    ran = voxloom("voices", "add", "ada", sample)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("ada: ")
    assert "ada" in voxloom("voices", "list").out
    assert "sample.wav" in voxloom("voices", "show", "ada").out
    assert "exists" in sentence(voxloom("voices", "add", "ada", sample))
    assert voxloom("voices", "remove", "ada").status == 0
    ran = voxloom("voices", "show", "ada")
    assert ran.status == 1
    assert "no voice named ada" in sentence(ran)


def test_a_sample_that_is_not_audio(voxloom, tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    ran = voxloom("voices", "add", "ada", tmp_path / "text.wav")
    assert ran.status == 1
    assert "text.wav" in sentence(ran)


def test_bad_books_and_samples(voxloom, epub, sample, tmp_path):
    out = tmp_path / "out"
    junk = tmp_path / "junk.epub"
    junk.write_text("no zip")
    for book, voice, words in [
        (tmp_path / "absent.epub", sample, "absent.epub"),
        (junk, sample, "junk.epub"),
        (epub, tmp_path / "absent.wav", "absent.wav"),
        (epub, "nobody", "nobody"),
    ]:
        ran = voxloom("audiobook", book, "--voice", voice, "--out", out)
        said = [line for line in ran.err.splitlines() if line.startswith("voxloom: ")]
        assert ran.status in (1, 2), ran.err
        assert len(said) == 1
        assert words in said[0]
        assert "Traceback" not in ran.err
        assert not out.exists()


def test_chapters_that_the_book_has_not(voxloom, epub, sample, tmp_path):
    ran = voxloom(
        "audiobook", epub, "--voice", sample, "--out", tmp_path / "out", "--chapters", "3"
    )
    assert ran.status == 2
    assert "chapters 1 to 2" in ran.err


def test_an_output_folder_that_is_a_file(voxloom, epub, sample, tmp_path):
    (tmp_path / "out").write_text("mine")
    ran = voxloom("audiobook", epub, "--voice", sample, "--out", tmp_path / "out")
    assert ran.status == 1
    assert "out" in ran.err.splitlines()[-1]
    assert (tmp_path / "out").read_text() == "mine"


def test_debug_shows_the_traceback(voxloom, tmp_path):
    ran = voxloom("voices", "add", "ada", tmp_path / "absent.wav", "--debug")
    assert ran.status == 1
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].startswith("voxloom: There is no file")


def failing(monkeypatch, error: BaseException) -> None:
    from storage.library import Library

    def fail(self):
        raise error

    monkeypatch.setattr(Library, "__iter__", fail)


def test_what_nobody_expected_is_a_sentence_and_a_log(voxloom, monkeypatch, settings):
    failing(monkeypatch, ZeroDivisionError("division by zero"))
    ran = voxloom("voices", "list")
    assert ran.status == 1
    assert "division by zero" in sentence(ran)
    assert str(settings.log_file) in sentence(ran)
    assert "Traceback" in settings.log_file.read_text()


def test_a_full_disk(voxloom, monkeypatch):
    failing(monkeypatch, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    ran = voxloom("voices", "list")
    assert ran.status == 1
    assert "disk is full" in sentence(ran)


def test_ctrl_c(voxloom, monkeypatch):
    failing(monkeypatch, KeyboardInterrupt())
    ran = voxloom("voices", "list")
    assert ran.status == 130
    assert "run the same command again" in sentence(ran)


def test_store(voxloom, settings):
    from storage.keys import content_key
    from storage.objects import ObjectStore
    from storage.runs import Run, Runs

    assert voxloom("store", "verify").out == "0 takes, all sound\n"
    store = ObjectStore(settings.store_url)
    used, unused, damaged = (content_key(number) for number in range(3))
    for key in (used, unused, damaged):
        store.put(key, b"take")
    run = Run(content_key("run"), "A Book", "b.epub", "ada", "out", "finished", 2e9, (used,))
    Runs(settings.runs).put(run)
    assert "3 takes" in voxloom("store", "du").out
    assert "A Book (ada)" in voxloom("store", "du").out
    (path,) = Path(settings.store_url).rglob(damaged)
    path.write_bytes(b"damage")
    ran = voxloom("store", "verify")
    assert ran.status == 1
    assert ran.out == f"{damaged}\n"
    assert "1 of 3 takes were damaged" in ran.err
    assert "2 takes deleted" in voxloom("store", "gc").out
    assert list(store) == [used]


def test_gc_keeps_what_a_job_of_the_pool_needs(voxloom, settings):
    import json

    from storage.folder import Folder
    from storage.keys import content_key
    from storage.objects import ObjectStore

    store = ObjectStore(settings.store_url)
    needed, old, young = (content_key(number) for number in range(3))
    for key in (needed, old, young):
        store.put(key, b"take")
    for key in (needed, old):
        (path,) = Path(settings.store_url).rglob(key)
        os.utime(path, (1.0, 1.0))
    job = Folder(f"{settings.store_url}/pool/jobs/a-book-1")
    job.put("takes.json", json.dumps([needed]).encode())
    job.put(f"inputs/{old}", b"a book")
    assert "1 takes deleted" in voxloom("store", "gc").out
    assert set(store) == {needed, young}
    assert job.names() == [f"inputs/{old}", "takes.json"]
    job.put("state.json", json.dumps({"state": "finished", "when": 1.0}).encode())
    assert "1 takes deleted" in voxloom("store", "gc", "--older-than", "0").out


def test_speak(voxloom, debug_engine, sample, tmp_path):
    import soundfile

    out = tmp_path / "new folder" / "out.wav"
    ran = voxloom("speak", "Good morning. It rains.", "--voice", sample, "-o", out)
    assert ran.status == 0, ran.err
    assert str(out) in ran.err.replace("\n", "")
    info = soundfile.info(out)
    assert (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", 1)
    first = out.read_bytes()
    assert voxloom("speak", "Good morning. It rains.", "--voice", sample, "-o", out).status == 0
    assert out.read_bytes() == first
    again = ("speak", "Good morning. It rains.", "--voice", sample, "-o", out, "--seed", 1)
    assert voxloom(*again).status == 0
    assert out.read_bytes() != first
    assert voxloom("say-as", "rains", "RAY-uhnz").status == 0
    assert voxloom("speak", "Good morning. It rains.", "--voice", sample, "-o", out).status == 0
    assert out.read_bytes() != first


def test_speak_lines(voxloom, debug_engine, sample, tmp_path):
    import soundfile

    lines = tmp_path / "lines.txt"
    lines.write_text("One line.\n\nAnother line.\n", encoding="utf-8")
    ran = voxloom("speak", "--lines", lines, "--voice", sample, "--out", tmp_path / "out")
    assert ran.status == 0, ran.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["000.wav", "001.wav", "002.wav"]
    assert "text 1 has nothing to be spoken" in ran.err.replace("\n", " ")
    assert soundfile.info(tmp_path / "out/001.wav").duration < 0.5


def test_speak_needs_a_readable_file(voxloom, sample, tmp_path):
    ran = voxloom("speak", "--lines", tmp_path / "no", "--voice", sample, "--out", tmp_path / "o")
    assert ran.status == 1
    assert "can't be read" in sentence(ran)
    (tmp_path / "empty.txt").write_text("")
    ran = voxloom(
        "speak", "--lines", tmp_path / "empty.txt", "--voice", sample, "--out", tmp_path / "o"
    )
    assert "is empty" in sentence(ran)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    ran = voxloom(
        "speak", "--lines", tmp_path / "latin.txt", "--voice", sample, "--out", tmp_path / "o"
    )
    assert "UTF-8" in sentence(ran)
    assert not (tmp_path / "o").exists()


IMPORTS = """
import sys
from flows.cli import main
status = main(sys.argv[1:])
heavy = {"prefect", "torch", "transformers", "numpy", "soundfile", "yaml"} & set(sys.modules)
print(status, *sorted(heavy), file=sys.stderr)
"""


def test_help_loads_nothing_heavy(root):
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS, "--help"], cwd=root, capture_output=True, text=True
    )
    assert ran.stderr == "0\n"


def test_speak_does_not_load_prefect(root, settings, sample, tmp_path):
    code = IMPORTS.replace(
        "status =",
        "from flows import work\n"
        "from model.engine import Engine\n"
        "work.builtin_engine = lambda settings: Engine.debug()\n"
        "status =",
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "speak", "Good.", "--voice", sample, "-o", tmp_path / "o.wav"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    words = ran.stderr.splitlines()[-1].split()
    assert words[0] == "0", ran.stderr
    assert "prefect" not in words
    assert (tmp_path / "o.wav").is_file()


def test_a_closed_pipe_is_no_error(root):
    code = "import sys; from flows.cli import main; sys.exit(main(['--help']))"
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, stdout=writer, stderr=-1, text=True
    )
    os.close(writer)
    assert "Traceback" not in ran.stderr


@pytest.fixture
def whisperless(monkeypatch):
    """As on a machine without a Whisper model."""
    from tasks import hearing

    monkeypatch.setattr(hearing, "recognise", lambda audio, rate, whisper: None)


@pytest.mark.parametrize(
    ("version", "rate"), [("v1", 32_000), ("v2ProPlus", 32_000), ("v3", 24_000), ("v4", 48_000)]
)
def test_speak_with_an_official_model(
    voxloom, whisperless, settings, sample, tmp_path, version, rate
):
    """By its name and by its folder; a take of one is a take of the other."""
    import soundfile

    from tests.official_models import install

    folder = install(settings.models, version, tmp_path)
    config, out = tmp_path / "quick.yaml", tmp_path / "out.wav"
    config.write_text("voice: {steps: 1}\n")
    spoken = ("speak", "It rains all day.", "--voice", sample, "-o", out, "--config", config)
    said = ("--transcript", "Nobody said it would.")
    ran = voxloom(*spoken, *said, "--model", version)
    assert ran.status == 0, ran.err
    assert soundfile.info(out).samplerate == rate
    first = out.read_bytes()
    takes = sum(1 for path in (settings.home / "store").rglob("*") if path.is_file())
    assert voxloom(*spoken, *said, "--model", folder).status == 0
    assert out.read_bytes() == first
    assert sum(1 for path in (settings.home / "store").rglob("*") if path.is_file()) == takes
    if version == "v2ProPlus":
        assert voxloom(*spoken, "--model", version, "--transcript", "").status == 0
        assert out.read_bytes() != first
        assert voxloom(*spoken, *said, "--voice", sample, "--model", version).status == 0
    if version == "v4":
        assert "one voice sample" in voxloom(
            *spoken, *said, "--voice", sample, "--model", version
        ).err.replace("\n", " ")


def test_models_that_are_not_there_or_speak_otherwise(voxloom, settings, sample, tmp_path):
    spoken = ("speak", "Hello.", "--voice", sample, "-o", tmp_path / "o.wav")
    assert "neither an installed model nor a folder named nope" in sentence(
        voxloom(*spoken, "--model", "nope")
    )
    assert "holds no model" in sentence(voxloom(*spoken, "--model", tmp_path))
    ran = voxloom(*spoken, "--language", "zh")
    assert ran.status == 2
    assert "built-in voice) speaks en" in sentence(ran)
    assert not (tmp_path / "o.wav").exists()


def test_a_voice_keeps_what_its_sample_says(voxloom, sample, tmp_path):
    (tmp_path / "said.txt").write_text("Good\nmorning.\n", encoding="utf-8")
    added = voxloom("voices", "add", "ada", sample, "--transcript", tmp_path / "said.txt")
    assert added.status == 0
    assert "Good morning." in voxloom("voices", "show", "ada").out
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    ran = voxloom("voices", "add", "bob", sample, "--transcript", tmp_path / "latin.txt")
    assert "UTF-8" in sentence(ran)
