"""What the pool's jobs need of a store, so that it is kept."""

import json

from configs.errors import UserError
from storage.folder import Folder
from storage.keys import is_key

JOBS = "pool/jobs"  # below the store's root; a folder for each job, with these files:
TAKES = "takes.json"  # the keys of all its takes, those it found in the store as well
STATE = "state.json"

# Jobs that nobody goes on with, unless he is told to. A failed job may be tried again any time.
_ENDED = ("finished", "cancelled")


def keys_of_jobs(store_url: str, ended_before: float) -> dict[str, list[str]]:
    """Keys of the takes that each job in a store needs: none if it ended before a Unix time.

    Raises UserError where a job does not say what it needs: then nothing may be deleted.
    """
    folder = Folder(f"{store_url.rstrip('/')}/{JOBS}")
    jobs = [name.split("/")[0] for name in folder.names() if _is_of_job(name)]
    return {
        job: [] if _ended_before(folder, job, ended_before) else _takes(folder, job) for job in jobs
    }


def _is_of_job(name: str) -> bool:
    return name.count("/") == 1 and name.endswith(f"/{TAKES}")


def _takes(folder: Folder, job: str) -> list[str]:
    name = f"{job}/{TAKES}"
    data = folder.get(name)
    if data is None:  # removed meanwhile
        return []
    try:
        keys = json.loads(data)
        if not all(is_key(key) for key in keys):
            raise ValueError("it holds what is no key")
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{name} in {folder.url} can't be read ({error}), so nothing is deleted"
        ) from error
    return list(keys)


def _ended_before(folder: Folder, job: str, time: float) -> bool:
    try:
        facts = json.loads(folder.get(f"{job}/{STATE}") or b"{}")
        return facts.get("state") in _ENDED and float(facts["when"]) < time
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
