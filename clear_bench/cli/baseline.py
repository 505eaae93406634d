"""`clear-bench baseline`: baselines that are committed beside the code, and a release that stays fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import StrictGroup
from clear_bench.console import note, say
from clear_bench.errors import InputError

if TYPE_CHECKING:
    from clear_bench.compare import Difference
    from clear_bench.store.results import Result

    Side = Mapping[str, tuple[Result, ...]]

directory = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("baselines"),
    show_default=True,
    help="Where the baselines are.",
)


@click.group(cls=StrictGroup)
def baseline() -> None:
    """Keep baselines to gate against: one that moves with accepted models, one fixed release.

    `gate baselines/moving CANDIDATE --anchor baselines/release` catches ten small losses accepted one by one.
    """


@baseline.command()
@click.argument("result", type=click.Path(path_type=Path))
@directory
@click.option("--release", is_flag=True, help="Make it the fixed release too.")
def accept(result: Path, folder: Path, release: bool) -> None:
    """Make RESULT the moving baseline of its tasks; commit the folder to keep it."""
    from clear_bench.gate import refuse_unusable
    from clear_bench.render import escape
    from clear_bench.store.baselines import MOVING, RELEASE, place_baseline
    from clear_bench.store.results import read_result, read_results

    accepted = read_results(result)
    refuse_unusable(accepted)
    for one in accepted:
        for name in (MOVING, RELEASE) if release else (MOVING,):
            place = folder / name / one.task
            old = read_result(place) if place.is_dir() else None
            place_baseline(one, folder / name)
            line = f"{place}: {one.model} ({_mark(one)})"
            say(escape.plain(line if old is None else f"{line}, {_replaced(old, one)}"))
    if not (folder / RELEASE).is_dir():
        note("note: there is no fixed release yet; `baseline accept --release` sets one, against drift")


@baseline.command()
@directory
def show(folder: Path) -> None:
    """List the baselines, their digests checked."""
    from clear_bench.render.numbers import points
    from clear_bench.render.tables import Table
    from clear_bench.render.writers import write_terminal

    rows = []
    for name, side in _sides(folder).items():
        for task, (result,) in side.items():
            scores = [points(row.base if row else None) for row in _changes([result], [result])]
            rows.append((name, task, result.model, _mark(result), *scores, result.manifest.created[:10]))
    columns = ("baseline", "task", "model", "fingerprint", "English", "all pairs", "made")
    title, words = f"Baselines in {folder}, digests checked", frozenset({0, 1, 2, 3, 6})
    write_terminal(Table(title=title, columns=columns, rows=tuple(rows), left=words))


@baseline.command()
@click.argument("result", required=False)
@directory
def diff(result: str | None, folder: Path) -> None:
    """Show how far the moving baseline has drifted from the release, and RESULT from both."""
    from clear_bench.compare import match_tasks, read_side
    from clear_bench.render.tables import Table
    from clear_bench.render.writers import write_terminal
    from clear_bench.store.baselines import MOVING, RELEASE

    sides = _sides(folder)
    steps = [(RELEASE, MOVING)] if {RELEASE, MOVING} <= set(sides) else []
    if result is not None:
        steps += [(name, "result") for name in sides]
        sides["result"] = read_side(result)
    rows = [
        (f"{old} to {new}", task, *map(_shown, _changes(sides[old][task], sides[new][task])))
        for old, new in steps
        for task in match_tasks(sides[old], sides[new])
    ]
    if not rows:
        msg = f"{folder}: nothing to compare; give a RESULT, or set a release with `baseline accept --release`"
        raise InputError(msg)
    columns = ("step", "task", "English", "all pairs")
    table = Table(title="Change in points (95 % interval)", columns=columns, rows=tuple(rows), left=frozenset({0, 1}))
    write_terminal(table)


def _sides(folder: Path) -> dict[str, Side]:
    from clear_bench.compare import read_side
    from clear_bench.store.baselines import MOVING, RELEASE

    present = [name for name in (MOVING, RELEASE) if (folder / name).is_dir()]
    if not present:
        msg = f"{folder}: no baseline in it; `clear-bench baseline accept RESULT --dir {folder}` makes one"
        raise InputError(msg)
    return {name: read_side(str(folder / name)) for name in present}


def _changes(base: Sequence[Result], candidate: Sequence[Result]) -> tuple[Difference | None, Difference]:
    """Return the change in English, where the task has it, and over all pairs, under the main metric."""
    from clear_bench.compare import difference, mean_of, measure
    from clear_bench.gate import ENGLISH_PAIR

    cells = measure(base, candidate, base[0].manifest.task.main_metric)
    english = difference(cells, cells.pairs.index(ENGLISH_PAIR)) if ENGLISH_PAIR in cells.pairs else None
    return english, mean_of(cells, range(len(cells.pairs)), "all")


def _mark(result: Result) -> str:
    return result.manifest.model.fingerprint[:8]


def _shown(row: Difference | None) -> str:
    from clear_bench.render.numbers import MISSING, bounds, signed

    return f"{signed(row.delta)} ({bounds(row.lower, row.upper, sign=True)})" if row else MISSING


def _replaced(old: Result, new: Result) -> str:
    """Return what moved. A baseline of another question can be replaced, but not compared."""
    from clear_bench.errors import NotComparableError

    told = f"replaces {old.model} ({_mark(old)})"
    try:
        english, every = _changes([old], [new])
    except NotComparableError as error:
        return f"{told}, which is not comparable: {error}"
    return f"{told}: English {_shown(english)}, all pairs {_shown(every)} points"
