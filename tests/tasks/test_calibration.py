"""What was calibrated is used on the same machine alone, and never against the user's word."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Settings
from model.calibration import Calibration, fastest, thread_counts
from tasks import calibration, machine
from tasks.calibration import Chosen, chosen, store_calibration, stored_calibration, unit_size
from tasks.machine import this_machine

FOUND = Calibration(32, 24, "bf16", {16: 100.0, 32: 150.0}, {24: 9.0}, 1.8)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    for name in ("THREADS", "PRECISION", "BATCH_SIZE"):
        monkeypatch.delenv(f"VOXLOOM_{name}", raising=False)
    return Settings(home=tmp_path)


def test_what_was_stored_is_used(settings):
    assert chosen(settings) == Chosen()
    store_calibration(settings, FOUND)
    assert chosen(settings) == Chosen(32, 24, "bf16")
    assert unit_size(settings) == 512


def test_the_user_has_the_last_word(settings):
    store_calibration(settings, FOUND)
    asked = settings.model_copy(update={"threads": 3, "precision": "f32"})
    assert chosen(asked) == Chosen(32, 3, "f32")
    assert unit_size(Settings(home=settings.home, batch_size=5)) == 5


def test_a_unit_of_work_is_enough_for_all_threads(settings):
    assert unit_size(settings.model_copy(update={"threads": 1})) == 64
    assert unit_size(settings.model_copy(update={"threads": 2})) == 128


def test_a_gpu_is_not_what_was_calibrated(settings, monkeypatch):
    store_calibration(settings, FOUND)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert chosen(settings) == Chosen()
    assert unit_size(settings) == 256
    assert unit_size(Settings(home=settings.home, batch_size=5)) == 5
    unused = settings.model_copy(update={"device": "cpu"})
    assert chosen(unused) == Chosen(32, 24, "bf16")


def test_another_machine_is_not_this_one(settings, monkeypatch):
    store_calibration(settings, FOUND)
    monkeypatch.setattr(machine, "installed", lambda package: "0.1")
    assert stored_calibration(settings) is None


@pytest.mark.parametrize("text", ["", "[]", "null", '{"machine": 1}'])
def test_a_damaged_file_is_none(settings, text):
    (settings.home / "calibration.json").write_text(text)
    assert stored_calibration(settings) is None


@pytest.mark.parametrize("name", ["slots", "threads", "precision"])
def test_a_file_without_a_value_is_none(settings, name):
    store_calibration(settings, FOUND)
    path = settings.home / "calibration.json"
    facts = json.loads(path.read_bytes())
    del facts[name]
    path.write_text(json.dumps(facts))
    assert stored_calibration(settings) is None
    assert chosen(settings) == Chosen()


def test_the_machine_is_known():
    here = this_machine()
    assert here.processor
    assert here.cores >= 1
    assert here.libraries["torch"]
    assert calibration.machine_key(here) == calibration.machine_key(this_machine())


def test_a_container_bounds_the_cores(tmp_path, monkeypatch):
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(machine, "_QUOTA", quota)
    quota.write_text("100000 100000\n")
    assert this_machine().cores == 1
    quota.write_text("max 100000\n")
    unbound = this_machine().cores
    quota.write_text("100000000 100000\n")
    assert this_machine().cores == unbound


@given(st.dictionaries(st.integers(1, 64), st.floats(0.1, 1e4), min_size=1), st.data())
def test_what_is_usual_changes_only_for_more_speed(rates, data):
    usual = data.draw(st.sampled_from(sorted(rates)))
    best = fastest(rates, usual)
    assert best == usual or rates[best] > 1.05 * rates[usual]
    assert rates[best] * 1.05 >= max(rates.values())


@given(st.integers(1, 512))
def test_all_cores_are_tried(cores):
    counts = thread_counts(cores)
    assert counts[-1] == cores
    assert counts[0] >= 1
