"""Encode and search on the workers of a Ray cluster: the same units of work as on one machine, so the same numbers.

A unit is one embedding shard, or a group of whole shards to search; both are cut by the data alone. Ray restarts a
worker that dies and gives it its unit again. Workers need this package; they find the model by the name that was given
and refuse one whose fingerprint differs.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_bench.cluster.index import RayIndex
from clear_bench.cluster.worker import Loading, Opening, Part, Worker, unit_of
from clear_bench.disk import system_fault
from clear_bench.encode import PromptedTexts
from clear_bench.errors import EnvironmentFault, MissingExtraError, UserError
from clear_bench.indexes import Precision
from clear_bench.indexes.rows import Hits
from clear_bench.models.rows import Advance, EncodedRows

__all__ = ["Loading", "RayCluster", "is_installed"]

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds between two checks that the cluster still answers."""
RESTARTS = 5
"""How often a dead worker is restarted, and its unit run again."""


@dataclass(slots=True)
class RayCluster:
    """The workers of a Ray cluster. They start with the first unit, so a warm cache starts none."""

    loading: Loading
    address: str | None = None
    """Of a running cluster; None starts one on this machine."""
    workers: int | None = None
    """Default: one a GPU where the device is CUDA, else one a node."""
    is_over: bool = False
    """See `encode.Pool`; here the process of the run itself waits, and Ctrl-C ends that."""
    _actors: list[Any] = field(default_factory=list)  # Any: Ray's handles
    _servers: list[tuple[str, int]] = field(default_factory=list)
    """Where the cluster's head and this machine's node listen."""

    def encode(
        self, texts: PromptedTexts, parts: Sequence[range], advance: Advance
    ) -> Iterator[tuple[range, EncodedRows]]:
        """Encode parts of a text set on all workers. Yield each as soon as it is done, in any order."""

        def start(actor: Any, rows: range) -> Any:  # Any: Ray's handles
            return actor.encode.remote(unit_of(self.loading, texts, rows))

        for rows, encoded in self._each(start, parts):
            advance(len(rows))
            yield rows, encoded

    def search(
        self, groups: Sequence[Sequence[Part]], opening: Opening, queries: NDArray[np.float32], k: int
    ) -> Iterator[tuple[Sequence[Part], tuple[Hits, float, bool]]]:
        """Search groups on all workers. Yield the hits of each, in any order."""
        ray = _connect(self.address)
        with _faults(self.address, self):
            asked = ray.put(queries)
        yield from self._each(lambda actor, parts: actor.search.remote(parts, opening, asked, k), groups)

    def sees(self, path: str) -> bool:
        """Whether every worker sees a file."""
        ray = _connect(self.address)
        with _faults(self.address, self):
            return all(ray.get([actor.sees.remote(path) for actor in self._start()]))

    def index(self, spec: str, dimensions: int, device: str | None, precision: Precision = "fp32") -> RayIndex:
        """Open an empty index whose rows are searched by the workers."""
        return RayIndex(self, Opening(spec, device, precision), dimensions)

    def _each(self, start: Callable[[Any, Any], Any], units: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Hand every unit to a free worker and yield the results as they come."""
        running: dict[Future[Any], tuple[Any, Any]] = {}

        def finish() -> tuple[Any, Any]:
            done: set[Future[Any]] = set()
            while not done:
                self._check()
                done, _ = wait(running, PATIENCE, FIRST_COMPLETED)
            first = done.pop()
            actor, unit = running.pop(first)
            idle.append(actor)
            return unit, first.result()

        with _faults(self.address, self, running):
            idle = self._start()
            for unit in units:
                if not idle:
                    yield finish()
                actor = idle.pop()
                running[start(actor, unit).future()] = actor, unit
            while running:
                yield finish()

    def _check(self) -> None:
        """Raise `ConnectionError` where the cluster's head or this machine's node is gone.

        Ray itself would end this process after a minute. It does so at once, without a word and with exit code 1, where
        the node on this machine dies: no code of ours runs then, but finished shards are kept all the same, and the
        command line waits in a process of its own (see `cli.supervise`).
        """
        for address in self._servers:
            socket.create_connection(address, timeout=10).close()

    def _start(self) -> list[Any]:
        """Return the workers. The first call starts them; two models of one run share them by name."""
        if not self._actors:
            ray = _connect(self.address)
            here = ray.get_runtime_context()
            host, _, port = here.gcs_address.rpartition(":")
            own = [node for node in ray.nodes() if node["NodeID"] == here.get_node_id()]
            self._servers = [(host, int(port)), *((n["NodeManagerAddress"], n["NodeManagerPort"]) for n in own)]
            on_gpu = (self.loading.settings.device or "").startswith("cuda")
            found = ray.cluster_resources()
            nodes = sum(node["Alive"] for node in ray.nodes())
            count = self.workers or max(1, int(found.get("GPU", 0)) if on_gpu else nodes)
            cpus = max(1, int(found.get("CPU", 1)) // count)
            threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cpus))}
            kind = ray.remote(max_restarts=RESTARTS, max_task_retries=RESTARTS)(Worker)
            needs = {"num_cpus": cpus, "num_gpus": int(on_gpu), "runtime_env": {"env_vars": threads}}
            log.info("%d Ray workers with %d CPUs each", count, cpus)
            names = [f"clear-bench-{i}" for i in range(count)]
            self._actors = [kind.options(name=name, get_if_exists=True, **needs).remote() for name in names]
        return list(self._actors)


def is_installed() -> bool:
    """Whether Ray is installed."""
    return find_spec("ray") is not None


def _connect(address: str | None) -> Any:  # Any: the module `ray` has no types
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray", "ray") from error
    if ray.is_initialized():
        return ray
    common = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    with _own_signals():
        if address is not None:
            ray.init(address, **common)
        else:
            ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", **common)
    return ray


@contextmanager
def _own_signals() -> Iterator[None]:
    """Take SIGTERM back from Ray, which would end this process with exit code 15."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, kept)


@contextmanager
def _faults(address: str | None, *handles: object) -> Iterator[None]:
    """Turn the loss of a cluster into an `EnvironmentFault`, and raise a worker's own error as it was raised there."""
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayTaskError as error:
        if fault := system_fault(error.cause):
            raise fault from error
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
    except (RayError, ConnectionError, TimeoutError) as error:
        _leave((handles, error))
        where = f"the Ray cluster at {address}" if address else "the local Ray cluster"
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = f"{where} does not answer any more ({first}); what is finished is kept: run the same command again"
        raise EnvironmentFault(msg) from error


def _leave(handles: object) -> None:
    """End this process with our exit code.

    Without its cluster Ray ends the process with a code of its own, when it says goodbye or when a handle is released.
    """
    import ray

    def end(_held: object) -> None:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EnvironmentFault.exit_code)

    atexit.unregister(ray.shutdown)
    atexit.register(end, handles)
