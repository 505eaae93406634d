"""A process that only waits for a run on a Ray cluster, so that its exit code is ours whatever happens to Ray."""

from __future__ import annotations

import os
import signal
from threading import Thread

from clear_bench.errors import EnvironmentFault


def supervise() -> int | None:
    """Return None in a child process, which goes on; in this one, wait for it and return its exit code.

    Where the Ray node on this machine is killed, Ray ends the process of the run at once with 1, the code of a failed
    gate, and no code of that process runs any more. Raise `EnvironmentFault` for that, and for a child that is killed.
    """
    if not hasattr(os, "fork"):
        return None
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.close(theirs)
        Thread(target=_end_with_parent, args=(ours,), daemon=True).start()
        return None
    os.close(ours)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the child, too
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(child, number))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 1 or code < 0:
        end = (
            "the Ray node on this machine ended, and the run with it" if code == 1 else f"signal {-code} ended the run"
        )
        msg = f"{end}; what is finished is kept: run the same command again"
        raise EnvironmentFault(msg)
    return code


def _end_with_parent(pipe: int) -> None:
    """End when the process that waits is gone, however it ended."""
    os.read(pipe, 1)
    os._exit(EnvironmentFault.exit_code)
