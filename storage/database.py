"""A database in PostgreSQL whose restarts and outages are ridden out.

What is done in it must bear repetition: a connection that broke does not tell what came through.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import Row, dict_row

from configs.errors import UsageError, UserError

FIRST_PAUSE = 0.1  # seconds; doubled up to LONGEST_PAUSE
LONGEST_PAUSE = 5.0
PATIENCE_SECONDS = 180.0  # PostgreSQL's restart takes less, a broken disk takes longer
STATEMENT_SECONDS = 30.0  # in which the server gives a statement up
ANSWER_SECONDS = 40.0  # in which it answers, or it is stopped or gone
CONNECT_SECONDS = 10

# What a server says that knows us not; in English, which servers in containers speak. In another
# language it is found after some tries.
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
)

log = logging.getLogger(__name__)

T = TypeVar("T")
Connection = psycopg.Connection[dict[str, Any]]


class _AnsweringConnection(psycopg.Connection[Row]):
    """One that does not wait for ever for a server that has stopped, but lives."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval, timeout or ANSWER_SECONDS)


class PatientDatabase:
    """`url` is a PostgreSQL connection string. One connection, which threads may share.

    What fails with the connection is begun again, for up to `patience` seconds; then it raises a
    UserError, as it does at once where the server refuses. Raises UsageError for what is no such
    string.
    """

    def __init__(self, url: str, patience: float = PATIENCE_SECONDS) -> None:
        try:
            facts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # libpq's message would show the string, and with it the password.
            raise UsageError(
                "VOXLOOM_QUEUE is not a PostgreSQL connection string; "
                "one looks like postgresql://user:password@host:5432/database"
            ) from None
        self.name = f"{facts.get('host', 'this machine')}/{facts.get('dbname', '')}"
        self._url = url
        self._patience = patience
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def close(self) -> None:
        with self._lock:
            self._drop()

    def run(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of one statement, with named values."""

        def execute(connection: Connection) -> list[dict[str, Any]]:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        return self.perform(execute)

    def perform(self, action: Callable[[Connection], T]) -> T:
        """What `action` returns, which may be begun again after any of its statements."""
        deadline = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            try:
                with self._lock:
                    return action(self._connected())
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                with self._lock:
                    self._drop()
                if refusal := _refusal(error):
                    raise UserError(
                        f"The queue {self.name} can't be used ({refusal}); is VOXLOOM_QUEUE right?"
                    ) from error
                if time.monotonic() + pause > deadline:
                    raise UserError(
                        f"The queue {self.name} can't be reached for {self._patience:.0f} "
                        f"seconds ({_first_line(error)}); is PostgreSQL running?"
                    ) from error
                if pause == FIRST_PAUSE:
                    log.warning("the queue %s: %s; trying again", self.name, _first_line(error))
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except psycopg.errors.UndefinedTable as error:
                raise UserError(
                    f"The database {self.name} holds no queue yet; start the pool's server first"
                ) from error

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = _AnsweringConnection.connect(
                self._url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=CONNECT_SECONDS,
                application_name="voxloom",
                # A server that vanished without a word is noticed.
                tcp_user_timeout=30_000,
                options=f"-c statement_timeout={STATEMENT_SECONDS:.0f}s",
            )
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _refusal(error: psycopg.Error) -> str:
    """What a server that lives says against us; "" for what another try may mend."""
    # The library knows no code for what is said before there is a connection.
    said = str(error)
    if any(each in said for each in _REFUSALS):
        return said.rpartition("FATAL:")[2].strip().split("\n", 1)[0]
    return ""


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
