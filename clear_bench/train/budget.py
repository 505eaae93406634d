"""Makes losses comparable: identical batches, and equal compute, counted in encoded tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from clear_bench.errors import InputError
from clear_bench.train.base import load_base, open_base, sides
from clear_bench.train.batches import checksum
from clear_bench.train.collate import RoleCollator
from clear_bench.train.plan import Prepared, prepare

if TYPE_CHECKING:
    from clear_bench.train.recipe import Recipe


def refuse_other_batches(prepared: Mapping[str, Prepared]) -> str:
    """Return the checksum of the batches that all losses share, as many as the shortest run has.

    Raises `InputError` where two losses would train on different rows or in a different order.
    """
    shortest = min(len(one.batches) for one in prepared.values())
    found = {name: checksum(one.rows, one.batches[:shortest]) for name, one in prepared.items()}
    first = next(iter(found))
    for name, value in found.items():
        if value != found[first]:
            msg = (
                f"{first} and {name} would not train on identical batches ({found[first][:12]} and {value[:12]}), so "
                "their difference would say nothing about the loss; give the data every role that the losses need"
            )
            raise InputError(msg)
    return found[first]


def settle_steps(prepared: Mapping[str, Prepared]) -> dict[str, int]:
    """Return the steps of each loss in which it encodes as many tokens as the most expensive one does in its own."""
    count = _TokenCount(next(iter(prepared.values())).recipe)
    target = max(sum(count.of(one)) for one in prepared.values())
    return {name: count.steps(one, target) for name, one in prepared.items()}


class _TokenCount:
    """Counts what a loss encodes, batch by batch, as the trainer would."""

    def __init__(self, recipe: Recipe) -> None:
        checkpoint = open_base(recipe.model)
        self.model = load_base(recipe.model, checkpoint, "cpu")
        self.query, self.passage = sides(recipe.model, checkpoint)

    def of(self, prepared: Prepared, start: int = 0) -> list[int]:
        """Return the tokens of every step from `start` on."""
        rows = prepared.rows
        collator = RoleCollator(self.model, rows.roles, prepared.needed, self.query, self.passage)
        names = rows.roles.order(prepared.needed)
        each = prepared.recipe.training.accumulate
        counts = [_tokens(collator([{n: rows.columns[n][i] for n in names} for i in b]))
                  for b in prepared.batches[start * each :]]  # fmt: skip
        return [sum(counts[i : i + each]) for i in range(0, len(counts), each)]

    def steps(self, prepared: Prepared, target: int) -> int:
        """Return the fewest steps that encode `target` tokens."""
        counts = self.of(prepared)
        while sum(counts) < target:
            missing = target - sum(counts)
            steps = len(counts) + max(1, missing * len(counts) // sum(counts))
            longer = prepare(with_steps(prepared.recipe, steps), rows=prepared.rows)
            counts += self.of(longer, start=len(counts))
        return _first_beyond(counts, target)


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """Return a recipe that trains for so many steps."""
    return replace(recipe, training=replace(recipe.training, steps=steps, epochs=None))


def _tokens(batch: Mapping[str, object]) -> int:
    masks = (value for key, value in batch.items() if key.endswith("_attention_mask"))
    return sum(int(mask.sum()) for mask in masks if isinstance(mask, torch.Tensor))


def _first_beyond(counts: Sequence[int], target: int) -> int:
    total = 0
    for step, count in enumerate(counts, 1):
        total += count
        if total >= target:
            return step
    return len(counts)
