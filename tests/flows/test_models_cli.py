"""`voxloom models` on the command line: what it says, what it refuses."""

import os
import pickle

import pytest

from tests.official_files import save, write_pretrained, write_s1, write_s2


class Attack:
    """Runs a command when unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return write_pretrained(tmp_path_factory.mktemp("pretrained"), "v2", encoders=False)


def said(ran) -> str:
    """What a failed command said: one sentence, nothing else."""
    (line,) = ran.err.strip().splitlines()
    return line


def test_a_model_comes_and_goes(voxloom, pretrained, tmp_path):
    assert "No models but the built-in one" in voxloom("models", "list").out
    ran = voxloom("models", "pull", "v2", "--from", str(pretrained))
    assert (ran.status, ran.out) == (0, "v2 is installed; use it with --model v2\n")
    s1 = write_s1(tmp_path / "ada-e15.ckpt", seed=7)
    s2 = write_s2(tmp_path / "ada_e8.pth", "v2", seed=7, fine_tuned=True)
    pair = ["--s1", str(s1), "--s2", str(s2)]
    ran = voxloom("models", "import", *pair, "--name", "ada")
    assert (ran.status, ran.out) == (0, "ada is installed (v2); use it with --model ada\n")
    listed = voxloom("models", "list").out
    assert "ada-e15.ckpt, ada_e8.pth" in listed
    assert "lj1995/GPT-SoVITS" in listed
    out = tmp_path / "converted"
    ran = voxloom("models", "convert", *pair, "--base", "v2", "--out", str(out))
    assert ran.status == 0
    assert (out / "config.json").is_file()
    assert voxloom("models", "remove", "v2").status == 0
    assert voxloom("models", "remove", "ada").status == 0
    assert "No models" in voxloom("models", "list").out


def test_a_hostile_file_is_refused_and_not_run(voxloom, tmp_path):
    trap = tmp_path / "trap"
    attack = Attack(f"touch {trap}")
    pickle.loads(pickle.dumps(attack))
    assert trap.exists(), "the attack itself must work, or this shows nothing"
    trap.unlink()
    s2 = save({"weight": attack}, tmp_path / "ada.pth", b"05")
    s1 = write_s1(tmp_path / "ada.ckpt")
    ran = voxloom("models", "import", "--s1", str(s1), "--s2", str(s2))
    assert ran.status == 1
    assert "was not loaded: it asks for posix.system" in said(ran)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (["pull", "v9"], 2, "the official models are v1, v2, v2Pro, v2ProPlus, v3, v4"),
        (["pull", "v2", "--from", "absent"], 1, "absent"),
        (["remove", "ada"], 1, "no model named ada"),
        (["import", "--s1", "a.ckpt", "--s2", "absent.pth"], 1, "absent.pth can't be read"),
        (["import", "--s1", "a", "--s2", "b", "--name", "../x"], 2, "can't name a model"),
        (["import", "--s1", "a.ckpt"], 2, "--s2"),
    ],
)
def test_what_can_not_be_done(voxloom, command, status, words):
    ran = voxloom("models", *command)
    assert ran.status == status
    assert words in said(ran)
