"""A worker of the pool: claims batches, speaks them, and says that it is alive."""

import io
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import soundfile

from configs.errors import UserError
from configs.settings import Settings
from flows.jobs import Pool
from flows.work import engine_of
from storage.behind import StoreBehind
from storage.folder import Folder
from storage.queue import Claim
from tasks.engines import ChosenModel, choose_model
from tasks.hearing import Heard
from tasks.manifest import CarriedVoice, Manifest, decode_manifest, speak_manifest
from tasks.render import Line, Way, find_way
from tasks.takes import Take, dequantize

if TYPE_CHECKING:
    from model.speaking import VoiceEngine

LEASE_SECONDS = 30.0
BEAT_SECONDS = 5.0
IDLE_SECONDS = 0.5
TROUBLE_SECONDS = 10.0  # before a worker tries on whose store, queue or disk is in trouble
HUNG = 75  # the status of a worker that ended itself
AHEAD = 4  # manifests that are read before they are claimed; other workers claim some of them
AHEAD_SHARE = 1 / 8  # of a batch that is left when they are read
_VOICES = 32  # whose references are kept

log = logging.getLogger(__name__)


class UnfitError(UserError):
    """This machine's models are not those of the job."""


class Worker:
    """Speaks batches, one after the other, with a model that stays loaded.

    The model does not wait for the network: while a batch is spoken, the last takes of the one
    before are stored, and then it is completed; towards its end, manifests of the next ones are
    read. `run` names the flow run, `device` what it speaks on.
    """

    def __init__(self, pool: Pool, run: str = "", device: str = "") -> None:
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._pool = pool
        self._store = StoreBehind(pool.settings.store_url)
        self._loaded: tuple[str, VoiceEngine] | None = None
        self._ways: OrderedDict[str, Way] = OrderedDict()
        self._facts: dict[str, Any] = {"kind": "worker", "run": run, "device": device, "lines": 0}
        self._speaking: Claim | None = None
        self._finishing: tuple[Claim, Future[bool]] | None = None
        self._behind = ThreadPoolExecutor(1)
        self._ahead = ThreadPoolExecutor(1)
        self._manifests: dict[tuple[str, str], bytes | None] = {}  # that were read ahead
        self._moved = time.monotonic()  # when a line was done last
        self._over = threading.Event()

    def work(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Works until `stop` says so. Raises UnfitError where a job's model is not that here."""
        beating = threading.Thread(target=self._beat, daemon=True)
        beating.start()
        queue, pool = self._pool.queue, self._pool.settings.pool
        try:
            while not stop():
                claim = queue.claim(self.owner, pool, LEASE_SECONDS)
                if claim is None:
                    self._over.wait(IDLE_SECONDS)
                else:
                    self._do(claim)
        finally:
            try:
                self._finished()
            finally:
                self._over.set()

    def _do(self, claim: Claim) -> None:
        """Speaks a batch, and leaves it to another thread to finish it."""
        self._moved, self._speaking = time.monotonic(), claim
        failures: dict[str, str] = {}

        def speak() -> None:
            failures.update(self._speak(claim))
            self._finished()  # no more than one at a time, or too much would be in flight

        try:
            if self._held(claim, speak):
                finish = partial(self._finish, claim, self._store.handed_over(), failures)
                self._finishing = claim, self._behind.submit(self._held, claim, finish)
        finally:
            self._speaking = None

    def _held(self, claim: Claim, action: Callable[[], None]) -> bool:
        """Does something with a batch, which is given back where that fails; whether all is well.
        What ends the worker is raised."""
        queue = self._pool.queue
        try:
            action()
        except UnfitError:
            queue.release(claim)
            raise
        except (UserError, OSError) as error:
            # Nothing is wrong with the batch: the store or the disk is in trouble.
            log.exception("batch %d of %s is given back", claim.number, claim.job)
            self._facts["error"] = str(error)
            queue.release(claim)
            self._moved = time.monotonic()  # it does not hang
            self._over.wait(TROUBLE_SECONDS)
        except Exception as error:
            log.exception("batch %d of %s failed", claim.number, claim.job)
            queue.fail(claim, f"{type(error).__name__}: {error}")
        except BaseException:  # told to stop
            queue.release(claim)
            raise
        else:
            return True
        return False

    def _finished(self) -> None:
        """Waits until the batch before is finished."""
        if self._finishing:
            try:
                self._finishing[1].result()
            finally:
                self._finishing = None

    def _finish(self, claim: Claim, stored: Callable[[], None], failures: dict[str, str]) -> None:
        stored()  # a batch is not done before its takes are safe
        if failures:
            name = f"failed/{claim.number}-{claim.attempt}.json"
            data = json.dumps(failures, ensure_ascii=False).encode()
            self._pool.folder(claim.job).put(name, data)
        self._pool.queue.complete(claim)

    def _speak(self, claim: Claim) -> dict[str, str]:
        """Makes the takes that a batch lacks -> what the engine could not speak, and why."""
        folder = self._pool.folder(claim.job)
        data = self._manifests.pop((claim.job, claim.manifest), None) or folder.get(claim.manifest)
        if data is None:
            raise FileNotFoundError(f"the job {claim.job} has no {claim.manifest}")
        manifest = decode_manifest(data)
        self._facts.pop("error", None)
        self._facts |= {"job": claim.job, "batch": claim.number, "model": manifest.model}
        left = len(claim.keys)

        def on_take(line: Line, take: Take) -> None:
            nonlocal left
            self._moved = time.monotonic()
            self._facts["lines"] += 1
            left -= 1
            if left == int(AHEAD_SHARE * len(claim.keys)):
                self._ahead.submit(self._read_ahead)

        try:
            return speak_manifest(
                manifest,
                frozenset(claim.keys),
                lambda voice: self._way(manifest, voice, folder),
                self._store,
                on_take,
                fresh=claim.attempt == 1,  # asking for 64 takes costs a GPU a percent
            )
        except BaseException:
            self._store.settle()  # whoever gets the batch next finds them
            raise

    def _read_ahead(self) -> None:
        """Reads the manifests that are likely to be claimed next; without them, all goes on."""
        try:
            upcoming = self._pool.queue.upcoming(self._pool.settings.pool, AHEAD)
            self._manifests = {
                one: data for one, data in list(self._manifests.items()) if one in upcoming
            }
            for job, name in upcoming:
                if (job, name) not in self._manifests:
                    self._manifests[job, name] = self._pool.folder(job).get(name)
        except (UserError, OSError) as error:
            log.warning("reading ahead: %s", error)

    def _way(self, manifest: Manifest, voice: str, folder: Folder) -> Way:
        """How a voice speaks; kept for the next batch."""
        carried = manifest.voices[voice]
        name = repr((manifest.model, manifest.hear_all, carried))
        if name not in self._ways:
            settings = self._pool.settings
            model = choose_model(manifest.model, settings.models)
            engine = self._engine(manifest.model, model, settings)
            heard, weights = _heard(carried, folder)
            if weights:
                engine = _tuned(engine, weights, heard)
            if engine.content_hash != carried.engine:
                raise UnfitError(
                    f"The model {model.title} of this machine is not the one that the job was "
                    "planned with: install the same on all machines."
                )
            self._ways[name] = find_way(
                engine, heard, settings.whisper, manifest.hear_all, model.reading
            )
            if len(self._ways) > _VOICES:
                self._ways.popitem(last=False)
        self._ways.move_to_end(name)
        return self._ways[name]

    def _engine(self, name: str, model: ChosenModel, settings: Settings) -> "VoiceEngine":
        """The loaded model; only one is kept."""
        if self._loaded is None or self._loaded[0] != name:
            self._ways.clear()
            self._loaded = None
            self._facts["loads"] = self._facts.get("loads", 0) + 1
            self._loaded = name, engine_of(model)(settings)
            self._moved = time.monotonic()
        return self._loaded[1]

    def _beat(self) -> None:
        """Renews the lease and says that the worker is alive; ends a worker that hangs."""
        queue, limit = self._pool.queue, self._pool.settings.hang_seconds
        last = time.monotonic()
        while not self._over.is_set():
            claim, finishing, now = self._speaking, self._finishing, time.monotonic()
            if claim and now - self._moved > limit:
                log.error("no line was done for %.0f s: this worker hangs and ends", limit)
                os._exit(HUNG)
            if now - last > 2 * LEASE_SECONDS:
                # Somebody stopped the whole process; meanwhile another has taken its place.
                log.error("this worker stood still for %.0f s and ends", now - last)
                os._exit(HUNG)
            try:
                if claim:
                    queue.renew(claim, LEASE_SECONDS)
                if finishing:
                    queue.renew(finishing[0], LEASE_SECONDS)
                queue.beat(self.owner, self._facts | {"busy": claim is not None})
                last = time.monotonic()
            except UserError as error:
                log.error("%s", error)
                last = time.monotonic()
            self._over.wait(BEAT_SECONDS)


def _heard(carried: CarriedVoice, folder: Folder) -> tuple[Heard, bytes]:
    """What the engine is to hear of a voice, and the weights that were tuned for it."""
    from model.speaking import Sample

    samples = []
    for name, rate in carried.samples:
        pcm, _ = soundfile.read(io.BytesIO(_file(folder, name)), dtype="int16")
        samples.append(Sample(dequantize(pcm), rate))
    weights = _file(folder, carried.tuning) if carried.tuning else b""
    return Heard(tuple(samples), carried.prompt, ""), weights


def _file(folder: Folder, name: str) -> bytes:
    data = folder.get(name)
    if data is None:
        raise UserError(f"The voice {name} is not in {folder.url}; is somebody deleting it?")
    return data


def _tuned(engine: "VoiceEngine", weights: bytes, heard: Heard) -> "VoiceEngine":
    from safetensors.torch import load

    from model.engine import Engine

    if not isinstance(engine, Engine):
        raise UnfitError("The weights that were tuned for the voice are another model's.")
    return engine.tuned(load(weights))
