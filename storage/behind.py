"""An object store that stores while its user goes on: a GPU need not wait for the network."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore

from storage.objects import ObjectStore

AT_ONCE = 4  # objects on their way
MOST_WAITING = 16  # objects in memory; with more, `put` waits


class StoreBehind(ObjectStore):
    """As ObjectStore, but `put` returns before the bytes are safe: `settle` returns when they are.
    For one user at a time; reading settles first, but for what was handed over."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._threads = ThreadPoolExecutor(AT_ONCE)
        self._room = BoundedSemaphore(MOST_WAITING)
        self._going: list[Future[None]] = []

    def put(self, key: str, data: bytes) -> None:
        self._path(key)  # what is no key is said at once
        self._going = [one for one in self._going if not one.done() or one.exception()]
        self._room.acquire()
        future = self._threads.submit(super().put, key, data)
        future.add_done_callback(lambda _: self._room.release())
        self._going.append(future)

    def settle(self) -> None:
        """Returns when everything is stored; raises what went wrong, the first of it."""
        self.handed_over()()

    def handed_over(self) -> Callable[[], None]:
        """What settles all that was put so far, and may be called by another thread meanwhile;
        `settle` no longer knows of it."""
        going, self._going = self._going, []

        def settle() -> None:
            errors = [error for one in going if (error := one.exception())]
            if errors:
                raise errors[0]

        return settle

    def get(self, key: str) -> bytes | None:
        self.settle()
        return super().get(key)

    def missing(self, keys: Iterable[str]) -> list[str]:
        self.settle()
        return super().missing(keys)
