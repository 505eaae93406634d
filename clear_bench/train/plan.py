"""Prepares a run before any weight is loaded: reads the rows, plans the batches, refuses impossible recipes."""

from __future__ import annotations

from dataclasses import dataclass

from clear_bench.errors import UsageError
from clear_bench.losses import LOSSES
from clear_bench.losses.objectives import REPEATED, Role
from clear_bench.train.batches import checksum, plan_batches
from clear_bench.train.guard import guard
from clear_bench.train.recipe import Recipe
from clear_bench.train.rows import Rows
from clear_bench.train.sources import read_rows


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The rows and batches of a run."""

    recipe: Recipe
    rows: Rows
    needed: tuple[Role, ...]
    """The roles that the loss embeds, in its order."""
    batches: list[list[int]]
    """Row numbers in the order of training, for all processes together."""
    steps: int
    checksum: str
    """Of the batches: equal for all losses that train on the same rows in the same order."""

    @property
    def per_row(self) -> int:
        """Number of texts that the loss embeds for one row."""
        return len(self.rows.roles.order(self.needed))


def prepare(recipe: Recipe, processes: int = 1, rows: Rows | None = None) -> Prepared:
    """Return the rows and batches of a run; `rows` that were read already spare reading them again."""
    needed = LOSSES[recipe.loss.name][0].roles
    rows = guard(read_rows(recipe.data, needed), recipe.data) if rows is None else rows
    _refuse_missing(recipe, rows, needed)
    part = recipe.training
    per_step = recipe.batch.size * part.accumulate * processes
    steps = part.steps if part.steps is not None else max(1, int(len(rows) * (part.epochs or 0) / per_step))
    batches = plan_batches(
        rows, size=recipe.batch.size, count=steps * part.accumulate * processes, seed=part.seed,
        mode=recipe.batch.languages, temperature=recipe.batch.temperature,
    )  # fmt: skip
    return Prepared(recipe, rows, needed, batches, steps, checksum(rows, batches))


def _refuse_missing(recipe: Recipe, rows: Rows, needed: tuple[Role, ...]) -> None:
    missing = [role for role in needed if role not in REPEATED and not rows.of(role)]
    if missing:
        remedy = "; set data.bridge to one of the data's languages" if missing[0] == "bridge" else ""
        msg = f"the loss {recipe.loss.name!r} needs the role {missing[0]!r}, which the data lacks{remedy}"
        raise UsageError(msg)
