"""`voxloom clone` on the command line: what it demands, what it refuses, what is shown after."""

import io
from dataclasses import replace

import pytest

from storage.keys import hash_bytes
from storage.library import Clone, Library, ReferenceClip, StoredTuning
from tests.flows.test_cli import sentence

CONSENT = ["--consent", "She said yes."]
CLONE = Clone(
    consent="She said yes.",
    licence="CC BY 4.0",
    recordings=("talk.mp3",),
    seconds_used=95.0,
    dropped={"music under the speech": 12.5},
    clips=(ReferenceClip("clip-00.flac", hash_bytes(b"clip"), "talk.mp3", 3.5, 6.0, "Good day."),),
    tuning=StoredTuning(hash_bytes(b"weights"), "Voxloom built-in voice", "f" * 64, "reference"),
    why_untuned="",
    metrics={"likeness_judge": "Resemblyzer", "likeness_before": 0.6, "likeness_after": 0.7},
    curve=({"part": "s2", "step": 0, "train": None, "held_out": 0.5},),
)


def add(library: Library, name: str, clone: Clone) -> None:
    library.add(
        name,
        b"sample",
        seconds=6.0,
        sample_rate=24_000,
        source="talk.mp3",
        added="2026-01-01T00:00:00+00:00",
        clone=clone,
        files={"clip-00.flac": b"clip", "tuning.safetensors": b"weights"},
    )


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (["ada", "absent.wav", *CONSENT], 1, "There is no file absent.wav"),
        (["ada", "absent.wav"], 2, "--consent"),
        (["ada", "absent.wav", "--consent", "  "], 2, "--consent"),
        (["../ada", "absent.wav", *CONSENT], 2, "can't name a voice"),
        (["ada"], 2, "RECORDING"),
        (["ada", "a.wav", *CONSENT, "--method", "magic"], 2, "magic"),
        (["ada", "a.wav", *CONSENT, "--minutes-at-most", "0"], 2, "--minutes-at-most"),
        (["ada", "a.wav", *CONSENT, "--model", "nope"], 1, "nope"),
    ],
)
def test_what_can_not_be_done(voxloom, settings, command, status, words):
    ran = voxloom("clone", *command)
    assert ran.status == status
    assert words in sentence(ran)
    assert not settings.voices.exists()


def test_a_taken_name_is_refused_before_the_work(voxloom, settings, sample):
    add(Library(settings.voices), "ada", CLONE)
    ran = voxloom("clone", "ada", sample, *CONSENT)
    assert ran.status == 1
    assert "A voice named ada exists" in sentence(ran)
    assert not settings.work.exists()


@pytest.mark.parametrize(
    ("answer", "words"), [("She agreed.", "no file absent"), (" ", "--consent")]
)
def test_consent_is_asked_for_in_a_terminal(voxloom, monkeypatch, answer, words):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    ran = voxloom("clone", "ada", "absent.wav")
    assert "how did they agree" in ran.out + ran.err
    assert ran.status in (1, 2)
    assert words in ran.err


def test_official_models_are_not_tuned_here(voxloom, settings, sample, tmp_path):
    from tests.official_models import install

    install(settings.models, "v2", tmp_path)
    ran = voxloom("clone", "ada", sample, *CONSENT, "--model", "v2")
    assert ran.status == 1
    assert "can't be tuned here" in sentence(ran)


def test_a_cloned_voice_is_shown(voxloom, settings):
    library = Library(settings.voices)
    add(library, "ada", CLONE)
    add(library, "bob", replace(CLONE, tuning=None, why_untuned="it got worse"))
    listed = voxloom("voices", "list").out.splitlines()
    assert [line.endswith("tuned") for line in listed[1:]] == [True, False]
    shown = voxloom("voices", "show", "ada").out
    for words in (
        "consent   She said yes.",
        "licence   CC BY 4.0",
        "12.5 s: music under the speech",
        "tuned     reference, for Voxloom built-in voice",
        "(cosine by Resemblyzer), before, after: 0.600, 0.700",
        "s2, held-out loss by step: 0:0.5000",
        "clip-00.flac 6.0 s, talk.mp3 at 3.5 s: Good day.",
        library.get("ada").content_hash,
    ):
        assert words in shown
    assert "tuned     no: it got worse" in voxloom("voices", "show", "bob").out
    assert library.get("ada").content_hash != library.get("bob").content_hash
