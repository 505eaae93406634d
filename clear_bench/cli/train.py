"""`clear-bench train`: a recipe in, a checkpoint out that `clear-bench run` takes."""

from __future__ import annotations

import json
import logging
import os
import shlex
from pathlib import Path
from typing import Any

import click

from clear_bench.cli.options import Command, cache_option, json_option
from clear_bench.console import say, say_json
from clear_bench.errors import Interrupted


@click.command(cls=Command)
@click.argument("recipe")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the checkpoint.")
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in --out, to the same weights bit by bit.")
@click.option("--dry-run", is_flag=True, help="Show rows, lengths, candidates and steps, and stop; translates nothing.")
@cache_option
@json_option
def train(
    recipe: str, overrides: tuple[str, ...], out: Path | None, resume: bool, dry_run: bool, as_json: bool
) -> None:
    """Train a checkpoint from a recipe.

    RECIPE is a TOML file, or the name of one that comes with the package: `smoke` tries the whole path in minutes. The
    result is a plain sentence-transformers folder with a manifest.
    """
    be_quiet()
    from clear_bench.train.recipe import find_recipe, load_recipe

    file = find_recipe(recipe)
    settled = load_recipe(file, overrides)
    folder = out or Path("runs") / file.stem
    if settled.mine.model:
        from clear_bench.api.training.mining import with_mined

        settled = with_mined(settled, folder / "mined")
    if settled.translate.model:
        from clear_bench.api.training.translating import with_translated

        settled = with_translated(settled, folder / "translated", dry_run=dry_run)
    if dry_run:
        from clear_bench.train.preview import preview

        _show(preview(settled, int(os.environ.get("WORLD_SIZE", "1"))), as_json)
        return
    from clear_bench.api.training.evaluator import make_evaluator
    from clear_bench.train.trainer import train as run

    try:
        run(settled, folder, resume=resume, evaluate=make_evaluator(settled))
    except Interrupted as stop:
        raise Interrupted(f"{stop}{_again(recipe, overrides, folder)}") from None
    if as_json:
        say_json(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    else:
        say(folder)


def _again(recipe: str, overrides: tuple[str, ...], folder: Path) -> str:
    """Return how an interrupted run goes on. Where several processes train, all of them are started again."""
    from clear_bench.train.record import WORK, last_state

    if (folder / "manifest.json").is_file():
        return ""
    words = ["train", recipe, *(word for setting in overrides for word in ("--set", setting)), "--out", str(folder)]
    start, more = ("go on", ["--resume"]) if last_state(folder / WORK) else ("start again", [])
    return f"\n{start} with: {shlex.join(['clear-bench', *words, *more])}"


def be_quiet() -> None:
    """Load the training libraries and keep their logs and bars off the terminal; a missing one names its extra."""
    _need("sentence_transformers", "accelerate", "datasets")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)


def _need(*modules: str) -> None:
    """Name the extra when a module is missing, before any of them is loaded."""
    from importlib.util import find_spec

    from clear_bench.errors import MissingExtraError

    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(module, "train")


def _show(report: dict[str, Any], as_json: bool) -> None:  # Any: JSON
    if as_json:
        say_json(report)
        return
    for name, value in report.items():
        if name not in ("schema", "first_batch"):
            say(f"{name:22} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    for row in report["first_batch"]:
        say()
        for name, text in row.items():
            say(f"  {name:16} {text}")
