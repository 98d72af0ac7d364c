"""The whole way of a voice from recordings into the library, with the tiny random model."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console
from safetensors.torch import load_file

from configs.errors import UserError
from configs.settings import Settings, load_settings
from flows import clone_work
from flows.clone_work import CloneOrder, CloneWork, check_order
from flows.progress import RunProgress
from model.checkpoint import random_model
from model.engine import Engine
from storage.library import Library
from tasks import voice_measures
from tasks.engines import tuned_engine
from tasks.voice_measures import Scores
from tasks.voices import clone_lines, find_voice

STEPS = ("read", "slice", "transcribe", "tune", "measure")
CONSENT = "Nobody's voice: it is synthetic."


@pytest.fixture
def recording(tmp_path, root) -> Path:
    """The demo voice six times, each a little different, with pauses; half a minute of speech."""
    voice, rate = soundfile.read(root / "demo" / "voice.flac", dtype="float32")
    pause = np.zeros(rate, np.float32)
    pieces = [
        piece for number in range(6) for piece in (voice[: -number * rate // 4 or None], pause)
    ]
    soundfile.write(tmp_path / "interview.wav", 0.9 * np.concatenate(pieces), rate)
    return tmp_path / "interview.wav"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """So few steps and sentences that a test has the time, judged by what ships; and a voice that
    is kept tuned whatever it sounds like."""
    monkeypatch.setattr(voice_measures, "SENTENCES", voice_measures.SENTENCES[:1])
    monkeypatch.setattr(voice_measures, "find_spec", lambda name: None)
    whole = clone_work.tuning_options
    monkeypatch.setattr(
        clone_work, "tuning_options", lambda method: replace(whole(method), steps=20, rate=3e-3)
    )
    monkeypatch.setattr(
        clone_work, "why_not_tuned", lambda improved, *_: "" if improved else "not improved"
    )


def order_for(recording: Path, settings: Settings, **changes) -> CloneOrder:
    values = {
        "name": "ada",
        "recordings": (recording,),
        "consent": CONSENT,
        "licence": "CC0",
        "method": "reference",
        "model_title": "a tiny model",
        "minutes": 5.0,
        "replace": False,
    }
    return CloneOrder(**values | changes, settings=settings)


def work_on(order: CloneOrder) -> CloneWork:
    return CloneWork(order, random_model(0), RunProgress(Console(quiet=True), 100.0))


def finish(work: CloneWork):
    for step in STEPS:
        getattr(work, step)()
    return work.register()


def test_a_voice_is_made_and_speaks_with_its_tuning(recording, settings, caplog):
    made = finish(work_on(order_for(recording, settings)))
    library = Library(settings.voices)
    stored = library.get("ada")
    assert made.voice == stored
    clone = stored.clone
    assert (clone.consent, clone.licence) == (CONSENT, "CC0")
    assert clone.recordings == ("interview.wav",)
    assert clone.seconds_used >= 20
    assert 3 <= stored.seconds <= 10
    assert clone.clips[0].seconds == pytest.approx(stored.seconds, abs=0.1)
    assert {"likeness_before", "phone_error_before", "likeness_judge"} <= clone.metrics.keys()
    assert [point["step"] for point in clone.curve][:2] == [0, 10]
    assert list(settings.work.iterdir()) == [], "nothing is left behind"

    assert made.why_untuned == ""
    assert clone.tuning.model_hash == random_model(0).content_hash
    tensors = load_file(library.tuning("ada"))
    assert tensors and all(name.startswith("s2.") for name in tensors)

    voice = find_voice("ada", library)
    engine, other = Engine.debug(0), Engine.debug(1)
    tuned = tuned_engine(engine, [voice])
    assert tuned.content_hash != engine.content_hash, "takes of the tuned voice have other keys"
    assert tuned.content_hash == tuned_engine(Engine.debug(0), [voice]).content_hash
    assert tuned_engine(other, [voice]) is other
    assert "tuned for another model" in caplog.text
    assert tuned_engine(engine, [voice, voice]) is engine
    assert tuned_engine(engine, [replace(voice, tuning=None)]) is engine


def test_a_voice_that_did_not_improve_is_registered_untuned(recording, settings, monkeypatch):
    monkeypatch.setattr(clone_work, "why_not_tuned", lambda *_: "it got worse")
    made = finish(work_on(order_for(recording, settings)))
    library = Library(settings.voices)
    assert made.why_untuned == library.get("ada").clone.why_untuned == "it got worse"
    assert library.get("ada").clone.tuning is None
    assert library.tuning("ada") is None
    assert find_voice("ada", library).tuning is None


def test_what_costs_words_is_taken_in_part(recording, settings, monkeypatch):
    """The largest share of the tuning that leaves the voice as intelligible as it was."""
    errors = iter([0.1, 0.3, 0.11])
    monkeypatch.setattr(clone_work, "score", lambda *_: Scores(0.7, next(errors), None))
    monkeypatch.setattr(clone_work, "why_not_tuned", voice_measures.why_not_tuned)
    made = finish(work_on(order_for(recording, settings)))
    assert made.why_untuned == ""
    library = Library(settings.voices)
    metrics = library.get("ada").clone.metrics
    assert (metrics["share"], metrics["phone_error_after"]) == (0.5, 0.11)
    assert next(errors, None) is None, "nothing was tried that did not have to be"
    assert "0.5 of the way" in "\n".join(clone_lines(library.get("ada").clone))


def test_too_little_speech_is_a_sentence(sample, settings, tmp_path, root):
    voice, rate = soundfile.read(root / "demo" / "voice.flac", dtype="float32")
    soundfile.write(tmp_path / "short.wav", voice, rate)
    work = work_on(order_for(tmp_path / "short.wav", settings))
    work.read()
    with pytest.raises(UserError, match=r"Only \d s of clear speech.*voxloom voices add"):
        work.slice()
    work = work_on(order_for(sample, settings))
    work.read()
    with pytest.raises(UserError, match="Only 0 s"):
        work.slice()


def test_what_is_wrong_is_known_before_the_work(recording, settings, tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        check_order(order_for(tmp_path / "absent.wav", settings))
    Library(settings.voices).add(
        "ada", b"sample", seconds=4.0, sample_rate=24_000, source="x", added="2026-01-01"
    )
    with pytest.raises(UserError, match="A voice named ada exists"):
        check_order(order_for(recording, settings))
    check_order(order_for(recording, settings, replace=True))


def test_only_one_run_makes_a_voice(recording, settings):
    first = work_on(order_for(recording, settings))
    with pytest.raises(UserError, match="Another run"):
        work_on(order_for(recording, settings, name="bob"))
    first.close()
    work_on(order_for(recording, settings)).close()


DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from dataclasses import replace
from pathlib import Path
from configs.settings import load_settings
from flows import clone_work
import tests.flows.test_clone as module
whole = clone_work.tuning_options
clone_work.tuning_options = lambda method: replace(whole(method), steps=20, rate=3e-3)
work = module.work_on(module.order_for(Path(sys.argv[2]), load_settings()))
for step in module.STEPS:
    getattr(work, step)()
"""


def test_killed_at_any_moment_it_goes_on(recording, settings, root, tmp_path, monkeypatch):
    whole = finish(work_on(order_for(recording, settings)))
    library = Library(settings.voices)
    expected = library.tuning("ada").read_bytes()

    monkeypatch.setenv("VOXLOOM_HOME", str(tmp_path / "killed"))
    killed = load_settings()
    for sign in ("chosen.json", "said/0001.json", "tuning.checkpoint"):
        before = stamps(killed.work)
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, root, recording], cwd=root)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and driver.poll() is None:
            if list(killed.work.glob(f"clone-*/{sign}")):
                break
            time.sleep(0.005)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        assert list(killed.work.glob(f"clone-*/{sign}"))
        kept = {path: stamp for path, stamp in stamps(killed.work).items() if path in before}
        assert kept == before, "what was done is not done again"
    resumed = finish(work_on(order_for(recording, killed)))
    assert Library(killed.voices).tuning("ada").read_bytes() == expected
    assert resumed.voice.clone == whole.voice.clone
    assert resumed.voice.content_hash == whole.voice.content_hash


def stamps(work: Path) -> dict[Path, int]:
    """When the finished files of a work were written."""
    done = ("recording-*.flac", "speech-*.npy", "chosen.json", "clips/*.flac", "said/*.json")
    return {path: path.stat().st_mtime_ns for name in done for path in work.glob(f"clone-*/{name}")}


FLOW = """
import os
import sys
from dataclasses import replace
from flows import cli, clone_work
from model.checkpoint import random_model
from tasks import voice_measures
voice_measures.SENTENCES = voice_measures.SENTENCES[:1]
voice_measures.find_spec = lambda name: None
whole = clone_work.tuning_options
clone_work.tuning_options = lambda method: replace(whole(method), steps=40, rate=3e-3)
clone_work.load_voice_model = lambda model, threads: random_model(0)
if "LINGER" in os.environ:  # after the first checkpoint, so that Ctrl-C surely comes before the end
    import time
    from model.tuning.loop import Checkpoint
    write = Checkpoint.write
    Checkpoint.write = lambda *given: (write(*given), time.sleep(3))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.prefect
def test_the_command_stops_at_ctrl_c_and_goes_on(recording, settings, root):
    arguments = ["clone", "ada", recording, "--consent", CONSENT, "--minutes-at-most", "1"]

    def start(**environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", FLOW, *map(str, arguments)],
            cwd=root,
            # that API must not be used
            env=os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    stopped = start(LINGER="1")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and stopped.poll() is None:
        if list(settings.work.glob("clone-*/tuning.checkpoint")):
            stopped.send_signal(signal.SIGINT)
            break
        time.sleep(0.01)
    _, said = stopped.communicate(timeout=120)
    assert stopped.returncode == 130, said
    assert "run the same command again to go on" in said
    assert "Traceback" not in said
    assert list(Library(settings.voices)) == []
    done = stamps(settings.work)
    assert done

    again = start()
    out, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert f"consent   {CONSENT}" in out
    assert "Finding out what is said ..." in said
    assert "ada is registered" in said
    stored = Library(settings.voices).get("ada")
    assert stored.clone.curve[0]["step"] == 0
    assert json.loads(json.dumps(stored.clone.metrics)) == stored.clone.metrics
    assert list(settings.work.iterdir()) == []
    assert list((settings.home / "prefect").glob("run-*")) == []


@pytest.mark.slow
def test_a_real_voice_is_learned_by_the_built_in_model(shared, settings, root, monkeypatch):
    """A minute of a LibriVox reader, with the built-in voice and few steps."""
    from model.checkpoint import load_model
    from model.engine import PRETRAINED

    order = order_for(shared / "voices" / "mobydick_1.mp3", settings, model_title="built-in")
    work = CloneWork(order, load_model(PRETRAINED), RunProgress(Console(quiet=True), 100.0))
    made = finish(work)
    clone = made.voice.clone
    assert 45 <= clone.seconds_used <= 80
    assert sum(clone.dropped.values()) + clone.seconds_used == pytest.approx(88, abs=1)
    assert made.why_untuned == "", "a few steps are enough to be better on clips held out"
    assert min(point["held_out"] for point in clone.curve) < clone.curve[0]["held_out"]
    assert clone.metrics["phone_error_after"] < clone.metrics["phone_error_before"] + 0.1
    assert clone.metrics["likeness_after"] > clone.metrics["likeness_before"] - 0.05
