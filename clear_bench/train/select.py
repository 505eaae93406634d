"""Selects the best step of a training run: the best across languages that keeps English within a margin."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import TrainerCallback

from clear_bench.disk import atomic_write, write_text
from clear_bench.train.loop import Journal, is_due
from clear_bench.train.recipe import Recipe

if TYPE_CHECKING:
    from transformers import TrainerState, TrainingArguments

log = logging.getLogger(__name__)

Evaluate = Callable[[SentenceTransformer], Mapping[str, float]]
"""Returns at least `english` and `cross`, higher is better; other values are logged."""


class Selection(TrainerCallback):  # type: ignore[misc]  # transformers is not followed
    """Evaluates at the start, every so many steps and at the end, and keeps the best weights on disk."""

    def __init__(
        self, model: SentenceTransformer, evaluate: Evaluate, recipe: Recipe, journal: Journal, work: Path
    ) -> None:
        self.model = model
        self.evaluate = evaluate
        self.margin = recipe.evaluation.english_margin
        self.every = recipe.training.evaluate_every
        self.journal = journal
        self.work = work
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Evaluate the base, or load the history of a resumed run."""
        file = self.work / "history.json"
        if state.global_step and file.is_file():
            kept = json.loads(file.read_text(encoding="utf-8"))
            self.history = [entry for entry in kept["history"] if entry["step"] <= state.global_step]
            self.best = kept["best"]
        elif state.is_world_process_zero:
            self.measure(0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Evaluate every so many steps and after the last one."""
        if is_due(state, self.every) and state.is_world_process_zero:
            self.measure(state.global_step)

    def measure(self, step: int) -> None:
        """Evaluate and log; save the weights if they are the best so far."""
        was_training = self.model.training
        values = {"step": float(step), **self.evaluate(self.model)}
        self.model.train(was_training)
        self.history.append(values)
        self.journal.write(step, {f"eval_{name}": value for name, value in values.items() if name != "step"})
        log.info("step %d: English %.4f, across languages %.4f", step, values["english"], values["cross"])
        english = values["english"] >= self.history[0]["english"] - self.margin
        if step and english and (self.best is None or values["cross"] > self.best["cross"]):
            self.best = values
            with atomic_write(self.work / "best.safetensors") as temporary:
                save_file(self._learnt(), temporary)
        write_text(self.work / "history.json", json.dumps({"history": self.history, "best": self.best}))

    def restore(self) -> None:
        """Load the best weights; where no step kept English within the margin, the last ones stay."""
        if self.best is not None:
            self.model.load_state_dict(load_file(self.work / "best.safetensors"), strict=False)

    def _learnt(self) -> dict[str, Tensor]:
        learns = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        return {name: t.detach().cpu().clone() for name, t in self.model.state_dict().items() if name in learns}
