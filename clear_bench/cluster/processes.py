"""Worker processes of this machine: each has a device and gets the next shard when it is free."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.resource_tracker import ensure_running
from queue import SimpleQueue
from threading import Lock
from typing import Any, Protocol, TypeVar

from clear_bench.cluster.worker import Loading, Unit, Worker, unit_of
from clear_bench.disk import refuse_system_faults, system_fault
from clear_bench.encode import PromptedTexts
from clear_bench.errors import EnvironmentFault, UserError
from clear_bench.models.rows import Advance, EncodedRows

T = TypeVar("T")
R = TypeVar("R")

TRIES = 3
"""How many workers may die while they encode one shard."""


class Place(Protocol):
    """Where a worker works."""

    @property
    def device(self) -> str:
        """The worker's device."""

    def connect(self) -> Connection:
        """Return the connection to the worker. It is started if it does not run."""

    def died(self) -> str:
        """Return how the worker ended; `connect` starts another one. Raise an error if there can be no other."""

    def end(self) -> None:
        """End the worker whatever it does; its connection breaks."""


@dataclass(slots=True)
class Workers:
    """A pool of processes; see `encode.Pool`."""

    loading: Loading
    places: Sequence[Place]
    _waiting: ThreadPoolExecutor
    """One thread for each worker."""
    _sets: ThreadPoolExecutor
    is_over: bool = False
    """See `encode.Pool`."""
    _free: SimpleQueue[Place] = field(default_factory=SimpleQueue)
    _lock: Lock = field(default_factory=Lock)

    def each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Call a function for several text sets at once, so that small sets leave no worker idle."""
        futures = [self._sets.submit(function, item) for item in items]
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]

    def encode(
        self, texts: PromptedTexts, parts: Sequence[range], advance: Advance
    ) -> Iterator[tuple[range, EncodedRows]]:
        """Encode parts of a text set. Yield each as soon as it is done, in any order."""
        running: set[Future[tuple[range, EncodedRows]]] = set()
        for rows in parts:
            # A few more than there are workers, so that none waits for the disk, and memory stays bounded.
            if len(running) > len(self.places):
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            running.add(self._waiting.submit(self._encode, texts, rows, advance))
        for future in as_completed(running):
            yield future.result()

    def _encode(self, texts: PromptedTexts, rows: range, advance: Advance) -> tuple[range, EncodedRows]:
        """Encode some rows on the next free worker, or on its replacement when it dies."""
        place, end, language = self._free.get(), "", texts.texts.language
        try:
            unit = unit_of(self._loading_on(place.device), texts, rows)
            for _ in range(TRIES):
                told = _Told(advance, self._lock)
                try:
                    encoded = _ask(place.connect(), unit, told)
                except (EOFError, OSError) as error:
                    refuse_system_faults(error)
                    told(-told.count)
                    end = place.died()
                else:
                    told(len(rows) - told.count)
                    return rows, encoded
        finally:
            self._free.put(place)
        msg = (
            f"{TRIES} workers on {place.device} died over the same {len(rows):,} texts in {language} ({end}); "
            "where memory ran out, give fewer --devices or a smaller --batch-tokens. Finished shards are kept: run the "
            "same command again"
        )
        raise EnvironmentFault(msg)

    def _loading_on(self, device: str) -> Loading:
        return replace(self.loading, settings=replace(self.loading.settings, device=device))


@dataclass(slots=True)
class _Told:
    """Reports progress from one thread at a time, and counts it: a dead worker's progress must be subtracted."""

    advance: Advance
    lock: Lock
    count: int = 0

    def __call__(self, count: int) -> None:
        self.count += count
        with self.lock:
            self.advance(count)


def _ask(connection: Connection, unit: Unit, advance: Advance) -> EncodedRows:
    connection.send(unit)
    while True:
        answer: int | Exception | EncodedRows = connection.recv()
        if isinstance(answer, EncodedRows):
            return answer
        if isinstance(answer, Exception):
            raise answer
        advance(answer)


def serve(connection: Connection) -> None:
    """Encode what comes over a connection, until it ends: the worker's side of `Workers`.

    Errors go back to be raised there.
    """
    worker = Worker()
    while True:
        try:
            unit = connection.recv()
        except (EOFError, ConnectionError):
            return
        answer: Any  # Any: what `_ask` knows
        try:
            answer = worker.encode(unit, connection.send)
        except ConnectionError:
            return
        except Exception as error:  # raised again over there, where the command ends
            answer = _portable(error)
        connection.send(answer)


def _portable(error: Exception) -> Exception:
    """Return an error that can travel; a bug takes along the traceback that would stay behind."""
    if known := system_fault(error) or (error if isinstance(error, UserError) else None):
        return known
    bug = RuntimeError(f"{type(error).__name__} in a worker: {error}")
    bug.add_note("".join(traceback.format_exception(error)))
    return bug


@contextmanager
def at_work(loading: Loading, places: Sequence[Place]) -> Iterator[Workers]:
    """Yield a pool whose workers start when there is something to encode, and end with the block.

    They end before the search starts, which may want their memory.
    """
    # It would start with the first worker, and let Ctrl-C through to it.
    ensure_running()
    waiting = ThreadPoolExecutor(len(places), "clear-bench-worker", _hold_interrupts)
    sets = ThreadPoolExecutor(len(places), "clear-bench-texts")
    workers = Workers(loading, places, waiting, sets)
    for place in places:
        workers._free.put(place)
    try:
        yield workers
    finally:
        workers.is_over = True
        for place in places:
            place.end()
        sets.shutdown(cancel_futures=True)
        waiting.shutdown(cancel_futures=True)


def _hold_interrupts() -> None:
    """Keep Ctrl-C from the processes that this thread starts: they inherit the mask, and this process ends them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
