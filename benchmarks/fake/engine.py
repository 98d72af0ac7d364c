"""A voice model that only takes its time: stands in for model/engine.py in campaigns.

It hums for as long as the text would take to say, the same sound for the same request, and takes
`FAKE_RTF` times as long for it (a sleep, as if a GPU were at work). Words of `FAKE_DEADLY` (phones)
kill the process that speaks them, those of `FAKE_STUCK` stop it for ever.

What it does is written into `FAKE_LOG` if there is one: `line TIME PID SEED SECONDS` for each line
(the seconds that the model took), `call BEGIN END PID LINES` for each time that it was called.
"""

import hashlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.sampling import Sampling
from model.speaking import Hearing, Prompt, Rendering, Request, Sample, Semantics

PRETRAINED = Path(__file__).parent
DEFAULT_SAMPLING = Sampling()
TOKENS_PER_SECOND = 25
PHONES_PER_SECOND = 13.0


class Engine:
    """As model.engine.Engine, without a model."""

    hearing = Hearing(longest_seconds=12.0, several=True, prompt="unused")
    mends = False
    sample_rate = 24000
    model_hash = hashlib.sha256(b"fake").hexdigest()
    content_hash = hashlib.sha256(b"fake engine 1").hexdigest()

    @classmethod
    def load(
        cls,
        directory: Path | None = None,
        threads: int | None = None,
        precision: str | None = None,
        slots: int | None = None,
        device: Any = None,
    ) -> "Engine":
        time.sleep(float(os.environ.get("FAKE_LOAD_SECONDS", "0")))
        return cls()

    def tuned(self, tensors: Mapping[str, Any]) -> "Engine":
        return self

    def reference(self, samples: Sequence[Sample], prompt: Prompt | None = None) -> Any:
        return len(samples)

    def voice_vector(self, sample: Sample) -> np.ndarray:
        return np.ones(4, np.float32)

    def render(
        self,
        requests: Sequence[Request],
        reference: Any,
        sampling: Sampling,
        on_done: Callable[[int, Rendering], None] | None = None,
    ) -> list[Rendering]:
        return self.acoustics(
            requests, self.semantics(requests, reference, sampling), reference, sampling, on_done
        )

    def semantics(
        self,
        requests: Sequence[Request],
        reference: Any,
        sampling: Sampling,
        on_done: Callable[[int, Semantics], None] | None = None,
    ) -> list[Semantics]:
        made = []
        for number, request in enumerate(requests):
            tokens = max(1, round(len(request.phones) / PHONES_PER_SECOND * TOKENS_PER_SECOND))
            made.append(Semantics(np.zeros(tokens, np.int16), True))
            if on_done:
                on_done(number, made[-1])
        return made

    def acoustics(
        self,
        requests: Sequence[Request],
        semantics: Sequence[Semantics],
        reference: Any,
        sampling: Sampling,
        on_done: Callable[[int, Rendering], None] | None = None,
    ) -> list[Rendering]:
        made: list[Rendering] = []
        began = time.time()
        for number, (request, said) in enumerate(zip(requests, semantics, strict=True)):
            _misbehave(request)
            seconds = float(os.environ.get("FAKE_RTF", "0.02")) * self.seconds_of(request, said)
            time.sleep(seconds)
            made.append(Rendering(self._hum(request, said), said.tokens, said.complete))
            _log(f"line {time.time():.3f} {os.getpid()} {request.seed} {seconds:.4f}")
            if on_done:
                on_done(number, made[-1])
        _log(f"call {began:.3f} {time.time():.3f} {os.getpid()} {len(requests)}")
        return made

    def seconds_of(self, request: Request, semantics: Semantics, speed: float = 1.0) -> float:
        return len(semantics.tokens) / TOKENS_PER_SECOND / speed

    def _hum(self, request: Request, said: Semantics) -> np.ndarray:
        samples = int(self.seconds_of(request, said) * self.sample_rate)
        pitch = 80 + request.seed % 160
        return (0.3 * np.sin(np.arange(samples, dtype=np.float32) * (pitch * 2.6e-4))).astype(
            np.float32
        )


def _misbehave(request: Request) -> None:
    said = f" {' '.join(request.phones)} "
    if (deadly := os.environ.get("FAKE_DEADLY")) and f" {deadly} " in said:
        os.kill(os.getpid(), signal.SIGKILL)
    if (stuck := os.environ.get("FAKE_STUCK")) and f" {stuck} " in said:
        time.sleep(1e6)


def _log(text: str) -> None:
    if path := os.environ.get("FAKE_LOG"):
        with Path(path).open("a") as file:  # short appends are whole
            file.write(text + "\n")
