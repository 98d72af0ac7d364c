"""Installed models: there whole or not at all; what several share goes with the last."""

import json
import os
import time
from pathlib import Path

import pytest

from configs.errors import UsageError, UserError
from storage.models import Models


def stage(models: Models, name: str, shared: dict[str, str], own: str = "own") -> Path:
    """Installs a model that refers to shared parts, each with a content."""
    with models.staging() as staged:
        (staged / "model").mkdir()
        (staged / "model" / "s1.safetensors").write_text(own)
        parts = {part: {"path": f"../shared/{part}/weights"} for part in shared}
        parts["s1"] = {"path": "s1.safetensors"}
        (staged / "model" / "config.json").write_text(json.dumps({"parts": parts}))
        for part, content in shared.items():
            (staged / "shared" / part).mkdir(parents=True)
            (staged / "shared" / part / "weights").write_text(content)
        return models.install(name, staged)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path / "models")


def test_installed_models_are_listed_and_found(models: Models) -> None:
    assert list(models) == []
    folder = stage(models, "v2", {"hubert-1": "abc"})
    stage(models, "ada", {})
    assert list(models) == ["ada", "v2"]
    assert models.path("v2") == folder
    assert (folder / "../shared/hubert-1/weights").read_text() == "abc"
    assert models.size("v2") == sum(f.stat().st_size for f in folder.iterdir())
    assert "shared" not in models
    with pytest.raises(UserError, match="no model named bob; installed models: ada, v2"):
        models.path("bob")


def test_a_name_is_taken_once(models: Models) -> None:
    stage(models, "v2", {})
    with pytest.raises(UserError, match="A model named v2 exists"):
        stage(models, "v2", {})


@pytest.mark.parametrize("name", ["", "shared", "built-in", "../x", "a/b", ".hidden", "x" * 65])
def test_names_that_are_none(models: Models, name: str) -> None:
    with pytest.raises(UsageError, match="can't name a model"):
        models.check_free(name)
    assert name not in models


def test_a_failure_while_staging_leaves_nothing(models: Models, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), models.staging() as staged:
        (staged / "model").mkdir()
        raise ZeroDivisionError
    assert list((tmp_path / "models").iterdir()) == []
    # What a process left that was killed goes when it is a day old; a younger one may be at work.
    for name, age in (("killed", 90_000), ("working", 60)):
        folder = tmp_path / "models" / f".tmp-{name}"
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    stage(models, "v2", {})
    left = {path.name for path in (tmp_path / "models").iterdir()}
    assert left == {".tmp-working", "shared", "v2"}


def test_shared_parts_go_with_the_last_that_needs_them(models: Models, tmp_path: Path) -> None:
    shared = tmp_path / "models" / "shared"
    stage(models, "v2", {"hubert-1": "abc"})
    stage(models, "v4", {"hubert-1": "abc", "vocoder-1": "defg"})
    assert models.remove("v4") > 4
    assert {part.name for part in shared.iterdir()} == {"hubert-1"}
    models.remove("v2")
    assert list(shared.iterdir()) == []
    with pytest.raises(UserError, match="installed models: none yet"):
        models.remove("v2")


def test_a_damaged_model_keeps_shared_parts_from_being_removed(
    models: Models, tmp_path: Path
) -> None:
    stage(models, "v2", {"hubert-1": "abc"})
    stage(models, "ada", {"hubert-1": "abc"})
    (tmp_path / "models" / "ada" / "config.json").write_text("{")
    with pytest.raises(UserError, match="The model ada is damaged"):
        models.remove("v2")
    assert (tmp_path / "models" / "shared" / "hubert-1").is_dir()
    models.remove("ada")
    assert not (tmp_path / "models" / "shared" / "hubert-1").exists()
