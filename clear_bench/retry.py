"""Repeat requests that may succeed in a moment: after a busy server or a cut connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt, unless the server says how long to wait."""
LONGEST = 120.0
"""Longest wait in seconds that a server may ask for."""

log = logging.getLogger(__name__)


@dataclass
class BusyError(Exception):
    """A failure that may be temporary."""

    reason: str
    """What failed, without anything secret."""
    wait: float | None = None
    """Seconds that the server asks for."""


def attempt(what: str, action: Callable[[], T], give_up: Callable[[str], Exception]) -> T:
    """Run an action, again after each `BusyError`. Raise what `give_up` makes of the reason after the last attempt."""
    for pause in (*WAITS, None):
        try:
            return action()
        except BusyError as busy:
            if pause is None:
                raise give_up(busy.reason) from busy
            seconds = min(busy.wait if busy.wait is not None else pause, LONGEST)
            log.warning("%s: %s; trying again in %g s", what, busy.reason, seconds)
            time.sleep(seconds)
    raise AssertionError  # the last pass returns or raises


def may_pass(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed later."""
    return status in (408, 429) or status >= 500


def asked_wait(header: str | None) -> float | None:
    """Read `Retry-After`, in seconds; None where it is missing or a date."""
    return float(header) if header is not None and header.isdigit() else None
