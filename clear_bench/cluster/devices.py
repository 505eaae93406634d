"""`--devices`: several devices of this machine, a worker process on each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Lock, Thread

from clear_bench.cluster.processes import Place, Workers, at_work, serve
from clear_bench.cluster.ranks import Joined, Ranks
from clear_bench.cluster.worker import Loading
from clear_bench.errors import EnvironmentFault, MissingExtraError, UsageError
from clear_bench.settings import Devices

GRACE = 10.0
"""Seconds that a worker may take to end when its connection is broken."""


@dataclass(slots=True)
class Spawned:
    """A worker process on one device, replaced when it dies."""

    device: str
    threads: int | None
    """Of the CPU; None leaves it to `OMP_NUM_THREADS`."""
    _process: SpawnProcess | None = None
    _connection: Connection | None = None
    _is_over: bool = False
    _lock: Lock = field(default_factory=Lock)

    def connect(self) -> Connection:
        """See `Place.connect`."""
        with self._lock:
            if self._is_over:
                raise CancelledError
            if self._connection is None:
                spawn = multiprocessing.get_context("spawn")
                self._connection, theirs = spawn.Pipe()
                arguments = (theirs, self.threads)
                self._process = spawn.Process(target=_work, args=arguments, name=self.device, daemon=True)
                self._process.start()
                theirs.close()
            return self._connection

    def died(self) -> str:
        """See `Place.died`. A worker that ended by an error of its own has shown its traceback: another would, too."""
        with self._lock:
            process, self._process, self._connection = self._process, None, None
            if self._is_over:
                raise CancelledError
        if process is None:
            return "it did not start"
        process.join(GRACE)
        if process.exitcode is None:
            process.kill()
            process.join()
        if process.exitcode and process.exitcode > 0:
            msg = (
                f"the worker on {self.device} ended with the error above; a script that calls evaluate(devices=...) "
                'does so below `if __name__ == "__main__":`'
            )
            raise RuntimeError(msg)
        return f"signal {-(process.exitcode or 0)}"

    def end(self) -> None:
        """See `Place.end`."""
        with self._lock:
            self._is_over = True
            if self._process is not None:
                self._process.kill()
                self._process.join()


def _work(connection: Connection, threads: int | None) -> None:
    """Run a worker until its connection ends."""
    Thread(target=_end_with_parent, daemon=True).start()
    logging.getLogger("clear_bench").setLevel(logging.ERROR)  # the process of the run has told the warnings
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(threads)
        if torch := sys.modules.get("torch"):  # a user's script may have imported it before we could tell it
            torch.set_num_threads(threads)
    serve(connection)


def _end_with_parent() -> None:
    """End at once when the process of the run has ended, however it ended."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(0)


@dataclass(frozen=True, slots=True)
class Crew:
    """Where the workers of a run will be: one process a device, or the ranks of torchrun."""

    devices: tuple[str, ...]
    loading: Loading
    ranks: Ranks | None = None

    def start(self) -> AbstractContextManager[Workers]:
        """Return the pool; see `at_work`."""
        count = len(self.devices)
        threads = None if "OMP_NUM_THREADS" in os.environ else max(1, _cores() // count)
        places: list[Place] = [Spawned(device, threads) for device in self.devices]
        if self.ranks is not None:  # rank 0 has a worker beside it, so that it can lead
            places[1:] = [Joined(device, rank, self.ranks) for rank, device in enumerate(self.devices) if rank]
        return at_work(self.loading, places)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_devices(devices: Devices) -> tuple[str, ...]:
    """Read `--devices`. Raise `UsageError` for a wrong list, `EnvironmentFault` for a device that does not exist.

    A number means that many GPUs, or on a machine without a GPU that many workers on the CPU.
    """
    text = ",".join(devices) if not isinstance(devices, str | int) else str(devices)
    names = [name.strip() for name in text.split(",")]
    if re.fullmatch(r"\d{5,}", text.strip()):
        msg = f"--devices {text}: no machine has so many; give cuda:0,cuda:1 or cuda (all), cpu,cpu, or a number"
        raise UsageError(msg)
    if re.fullmatch(r"[0-9]{1,4}", text.strip()) and int(text) > 0:
        gpus = _gpus()
        names = [f"cuda:{i}" for i in range(int(text))] if gpus else ["cpu"] * int(text)
    elif names == ["cuda"]:
        names = [f"cuda:{i}" for i in range(max(1, _gpus()))]
    if wrong := [name for name in names if not re.fullmatch(r"cpu|cuda:[0-9]{1,4}", name)]:
        msg = f"--devices {text}: {wrong[0]!r} is not a device; give cuda:0,cuda:1 or cuda (all), cpu,cpu, or a number"
        raise UsageError(msg)
    if len({name.partition(":")[0] for name in names}) > 1:
        msg = f"--devices {text}: a CPU and a GPU give slightly different vectors; give devices of one kind"
        raise UsageError(msg)
    if double := [name for name, count in Counter(names).items() if count > 1 and name != "cpu"]:
        msg = f"--devices {text}: {double[0]} stands there twice; a second process on a GPU only takes its memory"
        raise UsageError(msg)
    _refuse_missing(text, names)
    return tuple(names)


def _refuse_missing(text: str, names: Sequence[str]) -> None:
    if names[0] == "cpu":
        return
    count = _gpus()
    if missing := [name for name in names if int(name.partition(":")[2]) >= count]:
        found = {0: "no CUDA device", 1: "one CUDA device, cuda:0"}.get(count, f"cuda:0 to cuda:{count - 1}")
        msg = f"--devices {text}: there is no {missing[0]} here; torch finds {found}"
        raise EnvironmentFault(msg)


def _gpus() -> int:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", "gpu") from error
    return torch.cuda.device_count()


def devices_of(devices: Devices | None, device: str | None, ranks: Ranks | None) -> tuple[str, ...] | None:
    """Return the devices of the workers, or None if this process encodes alone."""
    if ranks is None:
        if devices is not None and device is not None:
            msg = f"--devices {devices} and --device {device}: give one of them"
            raise UsageError(msg)
        return None if devices is None else choose_devices(devices)
    if devices is not None:
        msg = f"--devices {devices}: torchrun has started {ranks.size} processes, and each takes one device"
        raise UsageError(msg)
    if device == "cpu":
        return ("cpu",) * ranks.size
    if device in (None, "cuda"):
        return choose_devices(ranks.size)
    msg = f"--device {device} names one device, but torchrun has started {ranks.size} processes; give cuda or cpu"
    raise UsageError(msg)
