"""Configurations of the training stages: the shipped ones, and what is refused."""

from pathlib import Path

import pytest

from configs.errors import UsageError
from configs.training import SHIPPED, STAGES, load_stage


@pytest.mark.parametrize("stage", STAGES)
def test_the_shipped_ones_load(stage: str) -> None:
    config = load_stage(stage)
    assert type(config) is STAGES[stage]
    assert (SHIPPED / f"{stage}.yaml").read_text().startswith("# ")


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("steps: 5\nheld_out: {share: 0.5}\nsizes: {codes: 64}\nshares: [1, 2.5]\n")
    config, shipped = load_stage("recogniser", path), load_stage("recogniser")
    assert (config.steps, config.minutes) == (5, None)
    assert config.held_out.share == 0.5
    assert config.held_out.books == shipped.held_out.books
    assert config.model_dump()["sizes"] == {"codes": 64, "head_width": 256}
    assert config.shares == (1, 2.5)
    assert config.rate == shipped.rate


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rate: 1", "learning_rate is nothing that stage vocoder knows; it knows"),
        ("sizes: {widht: 5}", "sizes.widht is nothing that stage vocoder knows; it knows width"),
        ("batch: 0", "batch: Input should be greater than or equal to 1"),
        ("rate: fast", "rate: Input should be a valid number"),
        ("steps: 5\nminutes: 5", "either steps or minutes"),
        ("minutes: null", "either steps or minutes"),
        ("device: tpu", "device"),
        ("from: built-in\nsizes: {width: 5}", "leave out sizes"),
        ("[1, 2]", "must hold names and values"),
        ("a: b: c", "is not YAML"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_stage("vocoder", path)


def test_stages_of_their_own_rules(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("guided_layer: 6")
    with pytest.raises(UsageError, match="within layers and heads"):
        load_stage("semantic", path)
    path.write_text("sizes: {width: 30}")
    with pytest.raises(UsageError, match="multiple of heads"):
        load_stage("semantic", path)
    with pytest.raises(UsageError, match="the stages are recogniser, semantic, acoustic, vocoder"):
        load_stage("s3")
    with pytest.raises(UsageError, match="can't be read"):
        load_stage("vocoder", tmp_path / "absent.yaml")
