"""`clear-bench merge`: interpolate the weights of two checkpoints and show what each mixture gains and pays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from clear_bench.cli.options import (
    COUNT,
    NAMES,
    SHARE,
    Command,
    cache_option,
    device_option,
    json_option,
    offline_option,
    option,
    with_settings,
)
from clear_bench.console import say, say_json
from clear_bench.render import escape

if TYPE_CHECKING:
    from clear_bench.settings import ModelSettings


@click.command(cls=Command)
@click.argument("base")
@click.argument("tuned")
@option("--weights", default="0:1:0.1", show_default=True, help="Shares of TUNED: start:stop:step, or a list.")
@option("--tasks", type=NAMES, required=True, help="Task or group names or card paths, comma-separated.")
@option("--pairs", default="all", show_default=True, help="query:passage: en:en, *:en, direct ...")
@option("--limit", type=COUNT, help="First N queries of each language; marks the results partial.")
@option("--english-margin", type=SHARE, default=0.003, show_default=True, help="Most that English may lose.")
@option("--keep", type=click.Choice(["best", "all"]), default="best", show_default=True, help="Checkpoints to keep.")
@option("--out", type=click.Path(path_type=Path), required=True, help="Folder of results, checkpoints and the curve.")
@device_option
@cache_option
@offline_option
@json_option
@with_settings("model_settings")
def merge(
    base: str,
    tuned: str,
    weights: str,
    tasks: tuple[str, ...],
    pairs: str,
    limit: int | None,
    english_margin: float,
    keep: Literal["best", "all"],
    out: Path,
    as_json: bool,
    model_settings: ModelSettings,
) -> None:
    """Mix the weights of BASE and of TUNED, which was trained from it, and evaluate every mixture.

    Writes merge.json, merge.md and merge.svg below --out and names the best mixture that keeps English within
    the margin: the largest mean gain over all pairs of two languages.
    """
    from clear_bench.api.plan import make_plans
    from clear_bench.api.training.merge import merge as run
    from clear_bench.api.training.merge import picture, tables
    from clear_bench.cli.train import be_quiet
    from clear_bench.disk import write_text
    from clear_bench.documents import as_document
    from clear_bench.render.writers import markdown, write_terminal
    from clear_bench.train.merge import parse_weights

    be_quiet()
    shares = parse_weights(weights)
    plans = make_plans(tasks, [pairs], limit=limit, offline=model_settings.offline)
    found = run(base, tuned, plans, out, weights=shares, margin=english_margin, keep=keep, settings=model_settings)
    document = as_document(found)
    text = escape.json_document(document)
    write_text(out / "merge.json", text + "\n")
    write_text(out / "merge.svg", picture(found))
    pages = [markdown(table, 2) for table in tables(found)]
    write_text(out / "merge.md", "\n".join([*pages, "![Gain over the base by share](merge.svg)\n"]))
    if as_json:
        say_json(document)
        return
    for table in tables(found):
        write_terminal(table)
        say()
    if found.best:
        say(f"best: {found.best.checkpoint} (weight {found.best.weight:g})")
