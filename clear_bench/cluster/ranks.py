"""torchrun: the processes that it starts are the workers of one run, led by rank 0.

Rank 0 listens on a socket that only its user can open, and tells the others by torchrun's own store where. Each rank
keeps one connection for as long as the run lives, on which it hears that there is work or how the run ended, and opens
another one to work. So work can be broken off, and every rank still learns the exit code.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection, Listener
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

from clear_bench.cluster.processes import serve
from clear_bench.errors import EnvironmentFault, MissingExtraError, UsageError

ADDRESS = "clear-bench"
"""Key in torchrun's store."""
LOST = 1
"""Exit code of a rank whose leader ended without sending one: that of a traceback."""


@dataclass(slots=True)
class Ranks:
    """The other ranks, as rank 0 sees them."""

    size: int
    """All ranks, this one included."""
    _listener: Listener
    _known: list[Connection] = field(default_factory=list)
    _working: dict[int, Connection] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def connection(self, rank: int) -> Connection:
        """Return the connection on which a rank works. The first call makes all of them work."""
        with self._lock:
            if not self._working:
                for known in self._met():
                    known.send(None)
                for _ in self._known:
                    working = self._listener.accept()
                    self._working[working.recv()] = working
            return self._working[rank]

    def rest(self) -> None:
        """Interrupt the ranks' work. They drop the model and wait."""
        with self._lock:
            for working in self._working.values():
                with socket.socket(fileno=os.dup(working.fileno())) as its:
                    its.shutdown(socket.SHUT_RDWR)
            self._working = {}

    def dismiss(self, code: int) -> None:
        """Send the ranks the exit code. They end after this process, so that torchrun sees it end first."""
        for known in self._met():
            known.send(code)
            os.dup(known.fileno())  # open until this process ends

    def _met(self) -> list[Connection]:
        while len(self._known) < self.size - 1:
            self._known.append(self._listener.accept())
        return self._known


@dataclass(slots=True)
class Joined:
    """A rank as a worker. Where one dies, torchrun ends all."""

    device: str
    rank: int
    ranks: Ranks
    _is_over: bool = False

    def connect(self) -> Connection:
        """See `Place.connect`."""
        if self._is_over:
            raise CancelledError
        return self.ranks.connection(self.rank)

    def died(self) -> str:
        """See `Place.died`."""
        if self._is_over:
            raise CancelledError
        msg = f"rank {self.rank} of torchrun does not answer; finished shards are kept: run the same command again"
        raise EnvironmentFault(msg)

    def end(self) -> None:
        """See `Place.end`."""
        self._is_over = True
        self.ranks.rest()


def rank_here() -> int | None:
    """Return the rank of this process, or None if torchrun did not start it with others."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if any(name not in os.environ for name in names) or int(os.environ["WORLD_SIZE"]) < 2:
        return None
    return int(os.environ["RANK"])


@contextmanager
def leading() -> Iterator[Ranks]:
    """Lead the other ranks as rank 0. They must be dismissed before the block ends."""
    size, here = int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    if size != here:
        msg = f"torchrun has started {size} processes, {here} of them here; for several machines there is --engine ray"
        raise UsageError(msg)
    store = _store()
    with (
        TemporaryDirectory(prefix="clear-bench-") as folder,
        Listener(f"{folder}/ranks", "AF_UNIX", backlog=2 * size) as listener,
    ):
        store.set(ADDRESS, f"{folder}/ranks")
        yield Ranks(size, listener)


def follow() -> int:
    """Work for rank 0 silently, and return the exit code that it sends."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.environ["WORLD_SIZE"] != os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]):
        return UsageError.exit_code
    try:
        address = _store().get(ADDRESS).decode()
        with Client(address, "AF_UNIX") as known:
            while (code := known.recv()) is None:
                with Client(address, "AF_UNIX") as working:
                    working.send(int(os.environ["RANK"]))
                    serve(working)
                _empty_gpu()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends all as soon as one has failed
            known.poll(None)
            return int(code)
    except (EOFError, OSError):
        return LOST


def _empty_gpu() -> None:
    """Release the GPU memory that torch caches: rank 0 may search there."""
    import torch

    torch.cuda.empty_cache()  # does nothing where no GPU was used


def _store() -> Any:  # Any: torch's stores have no types
    try:
        from torch.distributed.rendezvous import rendezvous
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", "cpu") from error
    store, _, _ = next(iter(rendezvous("env://")))
    return store
