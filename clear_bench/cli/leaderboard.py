"""`clear-bench leaderboard`: render the boards from checked results, or say which are stale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import Command, option
from clear_bench.console import note
from clear_bench.errors import InputError

if TYPE_CHECKING:
    from clear_bench.store.results import Result


@click.command(cls=Command)
@click.argument("results", metavar="RESULTS_DIR", type=click.Path(path_type=Path))
@option("--out", type=click.Path(path_type=Path), default=Path("leaderboards"), show_default=True, help="Board folder.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a board is not what the results render to.")
@click.option("--recompute", is_flag=True, help="Compute scores anew from stored runs, where run and task are here.")
def leaderboard(results: Path, out: Path, check: bool, recompute: bool) -> None:
    """Render one Markdown board per task, and an overview, from the results OUT/<model>/<task> in RESULTS_DIR.

    The digests of every result are checked; with --recompute its scores are, too. Partial and imported results are
    refused; published scores for orientation come from reference.toml in the board folder. Files of others in that
    folder are left alone.
    """
    from clear_bench import leaderboard as stage
    from clear_bench.api.summary import summarise_results
    from clear_bench.disk import write_text

    found = read_all(results)
    stage.refuse_unfit(found)
    if recompute or not check:
        _tell_what_was_checked(found, recompute)
    files = stage.boards(
        [summarise_results([one]) for one in found], stage.read_references(out / stage.REFERENCES), out
    )
    stage.refuse_foreign(files, out)
    if check:
        stale = stage.outdated(files, out)
        for line in stale:
            note(f"{out}/{line}")
        click.get_current_context().exit(1 if stale else 0)
    for name, text in files.items():
        write_text(out / name, text)
        note(f"wrote {out / name}")
    for name in stage.leftovers(files, out):
        (out / name).unlink()
        note(f"removed {out / name}: no result is left for it")


def _tell_what_was_checked(results: Sequence[Result], recompute: bool) -> None:
    """Compute anew what can be and say so for each result; one whose run gives other scores is refused."""
    from clear_bench.cli.verify import recompute as verify
    from clear_bench.cli.verify import summary
    from clear_bench.errors import TamperedError, UserError

    if not recompute:
        note(f"{len(results)} results: digests checked; --recompute computes their scores anew from stored runs")
        return
    for result in results:
        try:
            note(summary(verify(result, offline=True)))
        except TamperedError:
            raise
        except UserError as error:
            note(f"{result.path}: digests checked, nothing recomputed: {error}")


def read_all(folder: Path) -> list[Result]:
    """Read every result below a folder of models, or of one model, sorted by path."""
    from clear_bench.store.results import MANIFEST, read_result

    manifests = sorted({*folder.glob(f"[!.]*/[!.]*/{MANIFEST}"), *folder.glob(f"[!.]*/{MANIFEST}")})
    if not manifests:
        msg = f"{folder}: no finished result in it (no <model>/<task>/{MANIFEST}); give the --out folder of `run`"
        raise InputError(msg)
    return [read_result(manifest.parent) for manifest in manifests]
