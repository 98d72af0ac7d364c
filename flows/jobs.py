"""Jobs of the pool: an order and its files as a folder in the object store.

    pool/jobs/ID/job.json                 what was submitted: the order, with names for paths
    pool/jobs/ID/inputs/SHA256.input      its files, by their content
    pool/jobs/ID/voices/                  voices as workers hear them
    pool/jobs/ID/batches/, failed/        manifests, and what the engine could not speak
    pool/jobs/ID/takes.json               the keys of its takes, so that they are kept
    pool/jobs/ID/out/                     what was delivered
    pool/jobs/ID/state.json               how it ended, or that it is paused

The folder is the truth: the queue's tables can be filled from it again (`recover`).
"""

import json
import re
import secrets
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from configs.errors import UsageError, UserError
from configs.settings import Settings
from storage.folder import Folder, check_name, hash_file
from storage.kept import JOBS, STATE
from storage.keys import hash_bytes
from storage.library import FACTS, SAMPLE, TUNING, Library, valid_name
from storage.models import Models
from tasks.handwritten import parse, read_text
from tasks.names import file_stem

if TYPE_CHECKING:
    # What reads books and films takes seconds to import, which voxloom jobs need not wait for.
    from flows.dub_work import DubOrder
    from flows.orders import Order
    from storage.queue import Job, JobState, Queue
    from tasks.engines import ChosenModel
    from tasks.voices import AskedVoice

JOB, OUT = "job.json", "out"
JOB_FILE = ".pool-job"  # in a folder of results: the id of the job that they are of (--on-pool)
VERSION = 1
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,70}")
_MAX_SLUG = 40

Kind = Literal["audiobook", "dub"]


@dataclass(frozen=True)
class Submission:
    """What `job.json` says. `order` names files as `files` does, which maps a name to the sha256 of
    the content; `not_before` and `created` are Unix times in seconds."""

    id: str
    kind: Kind
    title: str
    priority: int
    pool: str
    not_before: float
    created: float
    submitter: str
    hear_all: bool
    order: dict[str, Any]
    files: dict[str, str]
    version: int = VERSION


@dataclass
class Pool:
    """What a process needs to work in the pool."""

    settings: Settings
    queue: "Queue"

    def folder(self, job_id: str) -> Folder:
        """The folder of a job, outside of which nothing of the job is read or written."""
        return Folder(f"{self.settings.store_url.rstrip('/')}/{JOBS}/{valid_id(job_id)}")

    def jobs_folder(self) -> Folder:
        return Folder(f"{self.settings.store_url.rstrip('/')}/{JOBS}")


def open_pool(settings: Settings) -> Pool:
    """The pool that the settings name; UsageError where they name none."""
    if not settings.queue.get_secret_value():
        raise UsageError(
            "VOXLOOM_QUEUE is not set: it says where the pool's queue is, as in "
            "postgresql://user:password@host/voxloom"
        )
    try:
        from storage.queue import Queue
    except ImportError as error:
        raise UsageError(
            f"the pool's packages are not installed ({error}): pip install voxloom[pool]"
        ) from error
    queue = Queue(settings.queue.get_secret_value())
    queue.migrate()
    return Pool(settings, queue)


def submit(
    pool: Pool,
    order: "Order | DubOrder",
    priority: int,
    not_before: float = 0.0,
    job_id: str = "",
) -> Submission:
    """Puts an order with all its files into the store, then into the queue.

    With the id of a job that was submitted before, that job gets this order; its state stays.
    """
    from flows.orders import Order

    packed = _pack_book(order) if isinstance(order, Order) else _pack_dub(order)
    kind, title, record, files = packed
    job_id = job_id or f"{_slug(title)}-{secrets.token_hex(4)}"
    folder = pool.folder(job_id)
    there = set(folder.names("inputs"))
    hashes: dict[str, str] = {}
    for name, source in files.items():
        check_name(name)
        data = source if isinstance(source, bytes) else source.expanduser()
        hashes[name] = _put_input(folder, data, there)
    submission = Submission(
        job_id,
        kind,
        title,
        priority,
        pool.settings.pool,
        not_before,
        time.time(),
        getuser(),
        pool.settings.hear_all,
        record,
        hashes,
    )
    # Last, so that a job whose files are not all there is none.
    folder.put(JOB, json.dumps(asdict(submission), indent=1, ensure_ascii=False).encode())
    pool.queue.add_job(queued(submission))
    return submission


def load_submission(folder: Folder) -> Submission:
    """What was submitted; UserError where there is nothing, or something else."""
    data = folder.get(JOB)
    if data is None:
        raise UserError(f"There is no job in {folder.url}")
    try:
        facts = json.loads(data)
        if facts["version"] != VERSION:
            raise ValueError(f"its version is {facts['version']}")
        submission = Submission(**facts)
        if submission.kind not in ("audiobook", "dub") or not isinstance(submission.order, dict):
            raise ValueError("it says not what is to be made")
        for name in submission.files:
            check_name(name)
        valid_id(submission.id)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"The job in {folder.url} can't be read: {error}") from error
    return submission


def queued(submission: Submission, state: "JobState" = "waiting", error: str = "") -> "Job":
    """A submission as the queue knows it."""
    from storage.queue import Job

    return Job(
        submission.id,
        submission.kind,
        submission.title,
        state,
        submission.priority,
        submission.pool,
        submission.not_before,
        error=error,
        created=submission.created,
    )


def restore(
    submission: Submission, folder: Folder, home: Path, settings: Settings
) -> "Order | DubOrder":
    """The order, with its files in the folder `home`, which serves the job as VOXLOOM_HOME.

    Whatever the submission says, the order reads nothing but its own files: UserError where it
    names others, or where it can't be read.
    """
    from flows.orders import read_order
    from tasks.casting import load_cast

    for name, digest in submission.files.items():
        path = home / name
        if not path.is_file() or hash_file(path) != digest:
            folder.fetch(f"inputs/{digest}.input", path)
            if hash_file(path) != digest:
                raise UserError(f"The job's file {name} is not the one that was submitted.")
    own = settings.model_copy(
        update={"home": home, "store": settings.store_url, "hear_all": submission.hear_all}
    )
    facts = dict(submission.order)
    try:
        for name in ("book", "subtitles", "video", "lexicon", "cast", "out"):
            if facts.get(name):
                check_name(facts[name])
                if name != "out" and facts[name] not in submission.files:
                    raise UserError(f"The job has no file {facts[name]}.")
                facts[name] = str(home / facts[name])
        library = Library(own.voices)
        if facts["voice"]:
            samples = [_sample(given, submission, home) for given in facts["voice"]["samples"]]
            facts["voice"] = facts["voice"] | {"samples": samples}
        if facts["model"]:
            Models(settings.models).path(facts["model"])
        if submission.kind == "dub":
            return _restored_dub(facts, submission.title, own, settings.models, library, home)
        order = read_order(facts, submission.title, own, settings.models)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The job {submission.title} can't be read ({error!r}).") from error
    if order.cast:
        _check_voices(load_cast(order.cast).voices, library, home)
    return order


def write_state(folder: Folder, state: str, error: str = "", errors: int = 0) -> None:
    """Notes in a job's folder how it stands, for when the queue is lost."""
    facts = {"state": state, "error": error, "errors": errors, "when": time.time()}
    folder.put(STATE, json.dumps(facts, ensure_ascii=False).encode())


def read_state(folder: Folder) -> tuple["JobState", str, int]:
    """State, error, and how often in a row it failed; a job that says nothing waits."""
    from storage.queue import STATES

    try:
        facts = json.loads(folder.get(STATE) or b"{}")
        state = facts.get("state", "waiting")
        known: JobState = state if state in STATES and state != "running" else "waiting"
        return known, str(facts.get("error", "")), int(facts.get("errors", 0))
    except (ValueError, TypeError, AttributeError):
        return "waiting", "", 0


def valid_id(job_id: str) -> str:
    """The id of a job, which is also a folder's; UserError where it can't be one."""
    if not _ID.fullmatch(job_id):
        raise UserError(f"{job_id!r} is no job; voxloom jobs lists them")
    return job_id


def job_of_folder(out: Path) -> str:
    """The id of the job whose results are made in a folder; "" where there is none."""
    try:
        return valid_id((out / JOB_FILE).read_text().strip())
    except (FileNotFoundError, NotADirectoryError):
        return ""


def cancel(settings: Settings, job_id: str) -> None:
    """Cancels a job unless it has ended; what is spoken stays in the store."""
    pool = open_pool(settings)
    try:
        if pool.queue.set_state(job_id, "cancelled"):
            write_state(pool.folder(job_id), "cancelled")
    finally:
        pool.queue.close()


def remove(pool: Pool, job_id: str) -> int:
    """Removes an ended job with its folder -> how many files; its takes stay for the store's gc.

    UserError unless it has ended. Begun again after it was killed (and after `recover`), it ends.
    """
    state = pool.queue.job(job_id).state
    if not pool.queue.remove_job(job_id):
        raise UserError(f"{job_id} is {state}; cancel it first: voxloom jobs cancel {job_id}")
    folder = pool.folder(job_id)
    # The order last but for its state: what has an order and no state would wait to be run.
    last = (JOB, STATE)
    names = [name for name in folder.names() if name not in last]
    for name in (*names, *last):
        folder.delete(name)
    return len(names) + len(last)


def _pack_book(order: "Order") -> tuple[Kind, str, dict[str, Any], dict[str, Path | bytes]]:
    from flows.orders import order_record

    files: dict[str, Path | bytes] = {}
    record = order_record(order) | {
        "book": _carry(order.book, "book", files),
        "voice": _carry_voice(order.voice, order.settings, files),
        "out": OUT,
        "lexicon": _carry_lexicon(order.lexicon, order.settings, files),
        "cast": _carry_cast(order.cast, order.settings, files) if order.cast else "",
        "model": _model_name(order.model, order.settings),
    }
    return "audiobook", order.book.stem, record, files


def _pack_dub(order: "DubOrder") -> tuple[Kind, str, dict[str, Any], dict[str, Path | bytes]]:
    from flows.dub_orders import dub_record

    files: dict[str, Path | bytes] = {}
    record = dub_record(order) | {
        "subtitles": _carry(order.subtitles, "subtitles", files),
        "video": _carry(order.video, "video", files) if order.video else "",
        "voice": _carry_voice(order.voice, order.settings, files) if order.voice else None,
        "out": OUT,
        "lexicon": _carry_lexicon(order.lexicon, order.settings, files),
        "cast": _carry_cast(order.cast, order.settings, files) if order.cast else "",
        "model": _model_name(order.model, order.settings),
    }
    return "dub", (order.video or order.subtitles).stem, record, files


def _restored_dub(
    facts: dict[str, Any], title: str, own: Settings, models: Path, library: Library, home: Path
) -> "DubOrder":
    from flows.dub_orders import read_dub_order
    from tasks.dub_cast import load_dub_cast

    order = read_dub_order(facts, title, own, models)
    if order.cast:
        cast = load_dub_cast(order.cast)
        voices = dict(cast.voices) | ({"": cast.default} if cast.default else {})
        _check_voices(voices, library, home)
    return order


def _carry(path: Path, role: str, files: dict[str, Path | bytes]) -> str:
    """Adds a file of the order; returns its name in the job."""
    if not path.is_file():
        raise UserError(f"There is no file {path}")
    name = f"{role}/{path.name}"
    files[name] = path
    return name


def _carry_voice(
    voice: "AskedVoice", settings: Settings, files: dict[str, Path | bytes]
) -> dict[str, Any]:
    from flows.orders import voice_record

    samples = [
        _carry_sample(given, f"voice/{number}", settings, files)
        for number, given in enumerate(voice.samples)
    ]
    return voice_record(replace(voice, samples=())) | {"samples": samples}


def _carry_sample(given: str, role: str, settings: Settings, files: dict[str, Path | bytes]) -> str:
    """Adds a sample's file, or the files of a registered voice; returns what the job calls it."""
    library = Library(settings.voices)
    path = Path(given).expanduser()
    if path.exists() or given not in library:
        return _carry(path, role, files)
    files[f"voices/{given}/{FACTS}"] = settings.voices / given / FACTS
    files[f"voices/{given}/{SAMPLE}"] = library.sample(given)
    if weights := library.tuning(given):
        files[f"voices/{given}/{TUNING}"] = weights
    return given


def _carry_lexicon(lexicon: Path | None, settings: Settings, files: dict[str, Path | bytes]) -> str:
    if settings.lexicon.exists():
        files[settings.lexicon.name] = settings.lexicon
    return _carry(lexicon, "lexicon", files) if lexicon else ""


def _carry_cast(cast: Path, settings: Settings, files: dict[str, Path | bytes]) -> str:
    """Adds a cast file whose voices are the job's own files, and those."""
    from tasks.casting import voice_beside

    content: Any = parse(cast, read_text(cast))
    count = 0

    def carried(given: object) -> object:
        nonlocal count
        if not isinstance(given, str) or not given:
            return given  # who reads the file says what is wrong with it
        count += 1
        name = _carry_sample(voice_beside(cast, given), f"cast/{count}", settings, files)
        return name.removeprefix("cast/")

    for name in ("dialogue", "default"):
        if name in content:
            content[name] = carried(content[name])
    for section in ("voices", "speakers"):
        people = content.get(section)
        for who, given in people.items() if isinstance(people, dict) else ():
            if isinstance(given, dict) and "voice" in given:
                given["voice"] = carried(given["voice"])
            else:
                people[who] = carried(given)
    files["cast/cast.yaml"] = yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode()
    return "cast/cast.yaml"


def _sample(given: str, submission: Submission, home: Path) -> str:
    """What `find_voice` understands for a sample of the job."""
    if given in submission.files:
        return str(home / given)
    return valid_name(given)


def _check_voices(voices: Mapping[str, str], library: Library, home: Path) -> None:
    """Raises UserError where a cast names a file that is not the job's."""
    for given in voices.values():
        inside = Path(given).is_absolute() and Path(given).resolve().is_relative_to(home.resolve())
        if not inside and given not in library:
            raise UserError(f"The cast file names {given}, which is no voice of the job.")


def _model_name(model: "ChosenModel", settings: Settings) -> str:
    if model.folder is None:
        return ""
    if model.folder.resolve().parent != settings.models.resolve():
        raise UsageError(
            f"{model.folder} is not an installed model: the pool knows models by their names; "
            "install it on all machines with voxloom models import, or voxloom models pull"
        )
    return model.folder.name


def _put_input(folder: Folder, data: bytes | Path, there: set[str]) -> str:
    digest = hash_bytes(data) if isinstance(data, bytes) else hash_file(data)
    if (name := f"inputs/{digest}.input") not in there:
        folder.put(name, data)
    return digest


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", file_stem(title)).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())[:_MAX_SLUG].strip("-") or "job"


def recover(pool: Pool) -> tuple[int, list[str]]:
    """Adds the jobs of the store that the queue does not know -> how many, and what is wrong with
    those that can't be read."""
    known = {job.id for job in pool.queue.jobs()}
    found = {name.split("/")[0] for name in pool.jobs_folder().names() if name.endswith(f"/{JOB}")}
    problems = []
    for job_id in sorted(found - known):
        try:
            folder = pool.folder(job_id)
            submission = load_submission(folder)
        except UserError as error:
            problems.append(str(error))
            continue
        state, reason, _ = read_state(folder)
        pool.queue.add_job(queued(submission, state, reason))
    return len(found - known) - len(problems), problems
