"""Shows the progress of a run: step, loss and its parts, tokens a second, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transformers import TrainerCallback

from clear_bench.progress import INTERVAL, Progress, showing

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from clear_bench.train.loop import RoleTrainer


@dataclass(slots=True)
class Steps(Progress):
    """The progress of a run; a resumed run has done its first steps before the clock started."""

    unit: str = "steps"
    before: int = 0
    """Steps that were done when the clock started."""
    tokens: int = 0
    """Encoded since then."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """The loss and its parts as logged last."""

    @property
    def left(self) -> float:
        """Seconds for the remaining steps at the mean speed so far."""
        fresh = self.done - self.before
        return (self.total - self.done) / fresh * self.seconds if fresh > 0 else float("inf")

    def __str__(self) -> str:
        parts = [f"{name.removeprefix('loss_')} {value:.4f}" for name, value in self.losses.items() if name != "loss"]
        shown = f" ({', '.join(parts)})" if parts else ""
        loss = f"loss {self.losses['loss']:.4f}{shown}, " if "loss" in self.losses else ""
        return f"{loss}{self.tokens / self.seconds:,.0f} tokens/s"


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is not followed
    """Updates the progress from the events of the trainer, and has the last step logged, too."""

    def __init__(self, steps: Steps, trainer: Callable[[], RoleTrainer]) -> None:
        self.steps = steps
        self.trainer = trainer
        self.tokens = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Start from the step and the tokens of a resumed run."""
        self.steps(state.global_step)
        self.steps.before, self.tokens = state.global_step, self.trainer().tokens
        self.steps.started = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Count a step; the first and the last one are counted with their loss, which is logged a moment later."""
        control.should_log = control.should_log or state.global_step == state.max_steps
        if not self._is_end(state):
            self._move(args, state)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, _: object, logs: Mapping[str, float], **__: object
    ) -> None:
        """Show the loss and its parts; at the first and the last step at once, else when the display is due."""
        if "loss" in logs:
            self.steps.losses = {name: value for name, value in logs.items() if name.startswith("loss")}
            self.steps.is_due = self._is_end(state)
            self._move(args, state)
            self.steps.is_due = False

    def _is_end(self, state: TrainerState) -> bool:
        return state.global_step in (self.steps.before + 1, state.max_steps)

    def _move(self, args: TrainingArguments, state: TrainerState) -> None:
        self.steps.tokens = (self.trainer().tokens - self.tokens) * args.world_size
        self.steps(state.global_step - self.steps.done)


@contextmanager
def shown_steps(trainer: RoleTrainer, total: int, interval: float = INTERVAL) -> Iterator[None]:
    """Show the steps of a trainer inside a `with` block; only the first of several processes shows them."""
    steps = Steps(total, total)
    trainer.add_callback(Watch(steps, lambda: trainer))
    if not trainer.is_world_process_zero():
        yield
        return
    with showing(steps, "train", interval):
        yield
