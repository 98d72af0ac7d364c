"""What a run trains on: prepared corpora, what is held out of them, and how they are mixed."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from configs.errors import UsageError
from configs.training import StageConfig
from model.recogniser import Recogniser
from model.training.corpus import Corpus, OnDone, held_out, prepare
from model.training.speech import Speech, read_speech
from model.training.tokens import BUILT_IN, find_model

T = TypeVar("T")
NAMED = 5
"""Left-out clips that are named; the others are only counted."""

log = logging.getLogger(__name__)


class Mixture(Generic[T]):
    """Draws from several sets, each as often as its share says; empty shares: by their sizes."""

    def __init__(self, sets: list[list[T]], shares: tuple[float, ...]) -> None:
        weights = np.array([len(one) for one in sets], float)
        if shares:
            weights = np.where(weights > 0, shares, 0.0)
        if not weights.sum() > 0:
            raise UsageError("shares: no folder with something to train on has a share")
        self.sets, self._weights = sets, weights / weights.sum()

    def __call__(self, draw: np.random.Generator) -> T:
        chosen = self.sets[int(draw.choice(len(self.sets), p=self._weights))]
        return chosen[int(draw.integers(len(chosen)))]


class Data:
    """The folders of a run, prepared below `cache`; left-out clips are named in the log.

    `held_out` are the names of recordings that judge.
    """

    def __init__(
        self, folders: list[Path], cache: Path, config: StageConfig, on_done: OnDone
    ) -> None:
        self.shares = config.shares
        if self.shares and (len(self.shares) != len(folders) or min(self.shares) < 0):
            raise UsageError(f"shares must be {len(folders)} numbers, one for each --data folder")
        self.on_done = on_done
        self._language = config.language
        self.corpora: list[Corpus] = []
        for folder in folders:
            corpus, skipped = prepare(folder, cache, config.copies, on_done)
            tell_skipped(folder, skipped, corpus.recordings)
            self.corpora.append(corpus)
        self.held_out = held_out(self.corpora, config.held_out.share, config.held_out.books)

    def speech(self) -> list[dict[int, Speech]]:
        """What the clips of each corpus say, by their index."""
        found = []
        for corpus in self.corpora:
            speech, skipped = read_speech(corpus, self._language, _aligner(), self.on_done)
            tell_skipped(corpus.folder, skipped, corpus.recordings)
            found.append(speech)
        return found


def tell_skipped(folder: Path, skipped: dict[str, str], total: int) -> None:
    """Names the first few clips that are left out, and says how many there are."""
    if not skipped:
        return
    for name, why in list(skipped.items())[:NAMED]:
        log.warning("%s: %s is left out: %s", folder.name, name, why)
    log.warning("%s: %d clips are left out, %d are there", folder.name, len(skipped), total)


@lru_cache(maxsize=1)
def _aligner() -> Recogniser:
    """The built-in recogniser, which finds the times of phones."""
    return find_model(BUILT_IN).recogniser
