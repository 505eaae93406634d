"""`clear-bench sweep`: several losses and seeds on identical batches, and what their differences say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from clear_bench.cli.options import (
    COUNT,
    NAMES,
    SEEDS,
    Command,
    Several,
    cache_option,
    device_option,
    json_option,
    offline_option,
    option,
    with_settings,
)
from clear_bench.console import say, say_json
from clear_bench.render import escape
from clear_bench.settings import Transform

if TYPE_CHECKING:
    from clear_bench.settings import ModelSettings


@click.command(cls=Command)
@click.argument("recipe")
@option(
    "--losses",
    type=NAMES,
    default="",
    help="Recipe keys, comma-separated; default: clear and the baselines of its parts.",
)
@option("--seeds", type=SEEDS, default="0,1,2", show_default=True, help="Comma-separated; at least 3 for a claim.")
@option("--tasks", type=NAMES, default="", help="Cards to evaluate on; default: the recipe's evaluation.tasks.")
@option("--pairs", default="", help="query:passage: en:en, *:en, direct ...; default: the recipe's, else all.")
@option("--limit", type=COUNT, help="First N queries of each language; marks the results partial.")
@option(
    "--budget",
    type=click.Choice(["steps", "compute"]),
    default="steps",
    show_default=True,
    help="Equal steps, or equal encoded tokens.",
)
@option(
    "--transforms",
    type=Several(click.Choice(get_args(Transform))),
    default="",
    help="Maps of the base's vectors to set beside the losses: center, center+whiten, shift, lir.",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@option("--out", type=click.Path(path_type=Path), required=True, help="Folder of runs, results and the comparison.")
@device_option
@cache_option
@offline_option
@json_option
@with_settings("model_settings")
def sweep(
    recipe: str,
    losses: tuple[str, ...],
    seeds: tuple[int, ...],
    tasks: tuple[str, ...],
    pairs: str,
    limit: int | None,
    budget: Literal["steps", "compute"],
    transforms: tuple[Transform, ...],
    overrides: tuple[str, ...],
    out: Path,
    as_json: bool,
    model_settings: ModelSettings,
) -> None:
    """Train several losses with several seeds on identical batches, evaluate every run, and compare.

    Start it again after an interruption: finished runs are kept, and the one that was cut off goes on from its last
    saved state (training.save_every). Writes sweep.json and sweep.md below --out.
    """
    from clear_bench.api.plan import make_plans
    from clear_bench.api.training.sweep import DEFAULT_LOSSES
    from clear_bench.api.training.sweep import sweep as run
    from clear_bench.api.training.sweep_table import as_markdown, tables
    from clear_bench.cli.train import be_quiet
    from clear_bench.disk import write_text
    from clear_bench.documents import as_document
    from clear_bench.errors import UsageError
    from clear_bench.render.writers import write_terminal
    from clear_bench.train.recipe import find_recipe, load_recipe

    be_quiet()
    settled = load_recipe(find_recipe(recipe), overrides)
    wanted = tasks or settled.evaluation.tasks
    if not wanted:
        raise UsageError("nothing to evaluate the runs on: give --tasks, or evaluation.tasks in the recipe")
    plans = make_plans(
        wanted, [pairs] if pairs else settled.evaluation.pairs, limit=limit, offline=model_settings.offline
    )
    found = run(
        settled,
        plans,
        out,
        losses=losses or DEFAULT_LOSSES,
        seeds=seeds,
        budget=budget,
        transforms=transforms,
        settings=model_settings,
    )
    write_text(out / "sweep.json", escape.json_document(as_document(found)) + "\n")
    write_text(out / "sweep.md", as_markdown(found))
    if as_json:
        say_json(as_document(found))
        return
    for table in tables(found):
        write_terminal(table)
        say()
