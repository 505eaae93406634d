"""Experiment trackers that can never fail a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

if TYPE_CHECKING:
    from clear_bench.train.loop import RoleTrainer

log = logging.getLogger(__name__)


class Guarded(TrainerCallback):  # type: ignore[misc]  # transformers is not followed
    """Passes all events to a tracker until it fails once."""

    def __init__(self, tracker: TrainerCallback) -> None:
        self.tracker: TrainerCallback | None = tracker

    def __getattribute__(self, name: str) -> Any:  # Any: a bound method of the tracker
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return self.guard(name)

    def guard(self, name: str) -> Callable[..., None]:
        """Return a handler of one event that turns any error of the tracker into a warning."""

        def run(*args: object, **kwargs: object) -> None:
            try:
                if self.tracker is not None:
                    getattr(self.tracker, name)(*args, **kwargs)
            except Exception as error:  # a tracker may raise anything, and a run must outlive it
                log.warning("the tracker %s failed and is left out from now on: %s", type(self.tracker).__name__, error)
                self.tracker = None

        return run


def add_trackers(trainer: RoleTrainer, names: Sequence[str]) -> None:
    """Add trackers by the names that transformers has; warn of one that is not installed."""
    from transformers.integrations import get_reporting_integration_callbacks

    for name in names:
        try:
            (kind,) = get_reporting_integration_callbacks([name])
            trainer.add_callback(Guarded(kind()))
        except (ImportError, RuntimeError, ValueError) as error:
            log.warning("the tracker %s is left out: %s", name, error)
