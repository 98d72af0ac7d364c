"""The stages of pretraining: which trainer belongs to which, and how a run is begun and ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from configs.errors import UsageError
from configs.training import (
    AcousticStage,
    RecogniserStage,
    SemanticStage,
    StageConfig,
    VocoderStage,
)
from model.training.acoustic import AcousticTrainer
from model.training.corpus import OnDone, locked
from model.training.curves import check_matplotlib
from model.training.data import Data
from model.training.loop import Compute, Progress, Run, Trainer, train
from model.training.recogniser import RecogniserTrainer
from model.training.semantic import SemanticTrainer
from model.training.vocoder import VocoderTrainer

CACHE = "prepared"
"""Folder beside the runs with what is prepared once for all of them."""


class StageTrainer(Trainer, Protocol):
    """A trainer that is finished when its schedule is done."""

    def finish(self, run: Run) -> None:
        """Writes what the other stages need, if anything."""


def build(
    config: StageConfig, folders: list[Path], out: Path, compute: Compute, on_done: OnDone
) -> StageTrainer:
    """The trainer of a configuration. Other families of S2 are told apart here, by `family`."""
    data = Data(folders, out.absolute().parent / CACHE, config, on_done)
    # Initial weights are the seed's own.
    torch.manual_seed(config.seed)
    if isinstance(config, RecogniserStage):
        return RecogniserTrainer(config, data, compute, out)
    if isinstance(config, SemanticStage):
        return SemanticTrainer(config, data, compute, out)
    if isinstance(config, AcousticStage):
        return AcousticTrainer(config, data, compute, out)
    assert isinstance(config, VocoderStage)
    return VocoderTrainer(config, data, compute, out)


def pretrain(
    stage: str,
    config: StageConfig,
    folders: list[Path],
    out: Path,
    on_done: OnDone,
    on_step: Callable[[Progress], None],
) -> Run:
    """Trains a stage in the folder `out`, or goes on with it.

    Raises UserError for data that nothing can be learned from, and UsageError where `out` was begun
    as something else.
    """
    check_matplotlib()
    if config.threads:
        torch.set_num_threads(config.threads)
    compute = Compute.of(config)
    with locked(out, wait=False):
        _check_same(stage, out)
        trainer = build(config, folders, out, compute, on_done)
        made_of = {
            "stage": stage,
            "tokens": trainer.tokens,
            "sizes": trainer.sizes,
            "config": config.model_dump(by_alias=True),
            "data": [str(folder) for folder in folders],
        }
        _remember(made_of, out)
        run = train(trainer, out, config, on_step)
        trainer.finish(run)
    return run


def _check_same(stage: str, out: Path) -> None:
    before = read_record(out)
    if before and before["stage"] != stage:
        raise UsageError(f"{out} is a run of the stage {before['stage']}: give another --out")


def _remember(made_of: dict, out: Path) -> None:
    """Writes `run.json`; UsageError where the run has learned other tokens, or has other sizes."""
    before = read_record(out)
    if before and before["sizes"] != made_of["sizes"]:
        raise UsageError(
            f"{out} was begun with other sizes: give its own configuration, or another --out"
        )
    if before and before["tokens"] != made_of["tokens"]:
        raise UsageError(
            f"{out} has learned tokens of another recogniser so far: give the same one, or another "
            "--out"
        )
    part = out / "run.json.part"
    part.write_text(json.dumps(made_of, indent=1) + "\n", encoding="utf-8")
    part.replace(out / "run.json")


def read_record(out: Path) -> dict:
    """What a run is made of, as it was noted when it began; empty where nothing was."""
    path = out / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
