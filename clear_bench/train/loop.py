"""The trainer of sentence-transformers with planned batches, counted tokens, checked losses and a journal."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from torch import nn
from transformers import TrainerCallback, TrainerState, TrainingArguments

from clear_bench.disk import write_text
from clear_bench.errors import InputError
from clear_bench.losses.by_length import Features
from clear_bench.train.collate import Side
from clear_bench.train.record import COUNTERS

log = logging.getLogger(__name__)


class PlannedBatches:
    """A batch sampler that yields the planned batches; an epoch is the whole run."""

    def __init__(self, batches: Sequence[Sequence[int]]) -> None:
        self.batches = batches
        self.batch_size = len(batches[0])
        self.drop_last = False

    def __iter__(self) -> Iterator[Sequence[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class RoleTrainer(SentenceTransformerTrainer):  # type: ignore[misc]  # sentence-transformers ships no types
    """Trains on planned batches; stops at a loss that is not finite."""

    def __init__(
        self, *args: object, batches: Sequence[Sequence[int]], preserve: float = 0.0, **kwargs: object
    ) -> None:
        self.batches = batches
        self.preserve = preserve
        self.tokens = 0
        self.rows = 0
        super().__init__(*args, **kwargs)

    def get_batch_sampler(self, *_args: object, **_kwargs: object) -> PlannedBatches:
        """Return the plan, which replaces the settings of a sampler."""
        return PlannedBatches(self.batches)

    def add_model_card_callback(self, *_args: object) -> None:
        """Do nothing: our model card is written from the manifest."""

    def compute_loss(self, model: nn.Module, inputs: Features, *args: object, **kwargs: object) -> Any:  # Any: as super
        """Return the loss with the term that preserves English; raises `InputError` where it is not finite."""
        masks = [value for key, value in inputs.items() if key.endswith("_attention_mask")]
        english = inputs.pop("preserve", [])
        self.tokens += sum(int(part["attention_mask"].sum()) for part in english)
        self.tokens += int(sum(int(mask.sum()) for mask in masks))
        self.rows += len(masks[0]) if masks else 0
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if english:
            term = self.preserve * torch.stack([_distance(model, part) for part in english]).mean()
            components = self.accum_loss_components["train"]
            if "steps" in components:  # the loss logs its components, and has counted this step
                components["loss_preserve"] = components.get("loss_preserve", 0) + term.detach()
            loss = loss + term
        value = loss[0] if isinstance(loss, tuple) else loss
        if not math.isfinite(value.item()):
            msg = (
                f"the loss is {value.item()} in step {self.state.global_step + 1}; training stopped "
                "before it reached the weights. The last saved state is kept; try a lower training.learning_rate"
            )
            raise InputError(msg)
        return loss

    def totals(self) -> dict[str, int]:
        """Return the rows and tokens that all processes have seen; every process must call it."""
        counts = torch.tensor([self.rows, self.tokens], device=self.args.device)
        if self.args.world_size > 1:
            torch.distributed.all_reduce(counts)
        return {"rows": int(counts[0]), "tokens": int(counts[1])}


class Journal(TrainerCallback):  # type: ignore[misc]  # transformers is not followed
    """Writes all logged values as JSON lines, and restores the counts of rows and tokens on a resume."""

    def __init__(self, path: Path, trainer: Callable[[], RoleTrainer]) -> None:
        self.path = path
        self.trainer = trainer
        self.start = time.monotonic()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line; only the first of several processes writes."""
        if not self.trainer().is_world_process_zero():
            return
        line = {"step": step, "seconds": round(time.monotonic() - self.start, 3), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Restore the counters of a resumed run, and drop the lines of the steps that are repeated."""
        if not state.is_world_process_zero:
            return
        if state.global_step:
            counters = Path(args.output_dir) / f"checkpoint-{state.global_step}" / COUNTERS
            kept = json.loads(counters.read_text(encoding="utf-8"))
            self.trainer().rows, self.trainer().tokens = kept["rows"], kept["tokens"]
        # A line that a kill cut in two has no end.
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1] if self.path.is_file() else []
        done = [line for line in lines if state.global_step and json.loads(line)["step"] <= state.global_step]
        write_text(self.path, "".join(f"{line}\n" for line in done))

    def on_log(
        self, args: TrainingArguments, state: TrainerState, _: object, logs: Mapping[str, float], **__: object
    ) -> None:
        """Write the logged values with the counters."""
        self.write(state.global_step, {**logs, **self.trainer().totals()})

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Write the counters beside the saved state, which they complete."""
        counters = self.trainer().totals()
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_text(folder / COUNTERS, json.dumps(counters))
            log.info("the state of step %d is saved in %s", state.global_step, folder)


class Drift(TrainerCallback):  # type: ignore[misc]  # transformers is not followed
    """Logs how far the model has moved from the base on a fixed sample of rows, and how well their texts align.

    Create it while the model has the base's weights: a resumed run loads its own later.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        texts: Mapping[str, Sequence[str]],
        sides: tuple[Side, Side],
        every: int,
        journal: Journal,
    ) -> None:
        self.model = model
        self.texts = texts
        self.sides = sides
        self.every = every
        self.journal = journal
        self.start = {role: self._encode(role) for role in texts}

    def measure(self, step: int) -> None:
        """Log mean cosines to the base and between roles, and how often a text is nearest to its own partner."""
        vectors = {role: self._encode(role) for role in self.texts} if step else self.start
        values = {f"drift_{role}": _mean_cosine(vectors[role], self.start[role]) for role in vectors}
        for a, b in (("anchor", "positive"), ("cross_anchor", "positive"), ("anchor", "cross_anchor")):
            if a in vectors and b in vectors:
                values[f"cosine_{a}_{b}"] = _mean_cosine(vectors[a], vectors[b])
                hits = (vectors[a] @ vectors[b].T).argmax(1) == torch.arange(len(vectors[a]))
                values[f"found_{a}_{b}"] = hits.float().mean().item()
        self.journal.write(step, values)

    def _encode(self, role: str) -> torch.Tensor:
        side = self.sides[1 if role == "positive" else 0]
        was_training = self.model.training
        limit = self.model.max_seq_length
        self.model.max_seq_length = side.length
        vectors = self.model.encode(
            list(self.texts[role]), prompt=side.prompt, normalize_embeddings=True, convert_to_tensor=True,
            batch_size=16, show_progress_bar=False,
        )  # fmt: skip
        self.model.max_seq_length = limit
        self.model.train(was_training)
        result: torch.Tensor = vectors.float().cpu()
        return result

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Log the values of the base."""
        if state.global_step == 0 and state.is_world_process_zero:
            self.measure(0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Log the values every so many steps and after the last one."""
        if is_due(state, self.every) and state.is_world_process_zero:
            self.measure(state.global_step)


def is_due(state: TrainerState, every: int) -> bool:
    """Return whether to measure after this step: at every so many steps, unless that is 0, and at the last one."""
    return bool(every and state.global_step % every == 0) or state.global_step == state.max_steps


def _distance(model: nn.Module, part: Features) -> torch.Tensor:
    """Return the mean of 1 - cosine between a model's vectors and the base's."""
    features = {key: value for key, value in part.items() if key != "teacher"}
    vectors, teacher = model(features)["sentence_embedding"], part["teacher"]
    with torch.autocast(device_type=vectors.device.type, enabled=False):
        return 1 - torch.nn.functional.cosine_similarity(vectors.float(), teacher.float()).mean()


def _mean_cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum(dim=1).mean())
