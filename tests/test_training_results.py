"""The committed comparison of losses follows from the committed scores of every query."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clear_bench import compare
from clear_bench.api.training.merge import read_merge
from clear_bench.api.training.merge import tables as merge_tables
from clear_bench.api.training.sweep_document import read_sweep
from clear_bench.api.training.sweep_table import as_markdown
from clear_bench.documents import as_document
from clear_bench.errors import InputError
from clear_bench.render.writers import markdown
from clear_bench.store.results import Result, read_result

FOLDER = Path(__file__).resolve().parents[1] / "leaderboards" / "training"


SWEEPS = sorted(path.stem for path in FOLDER.glob("*.json"))
MERGES = sorted(f"{path.parent.name}/merge" for path in FOLDER.glob("*/merge.json"))
NO_DRAWS = compare.Resampling(replicates=0)


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def base_result() -> Result:
    (folder,) = FOLDER.glob("results/me5-small-q4-*/xquad")
    return read_result(folder)


def differences(base: Sequence[Result], candidate: Sequence[Result]) -> dict[str, Any]:
    found = compare.compare(base, candidate, resampling=NO_DRAWS)
    return {group: as_document(compare.difference_row(row)) for group, row in found.groups.items()}


def test_there_are_results() -> None:
    assert SWEEPS
    assert MERGES


@pytest.mark.parametrize("name", SWEEPS)
def test_every_gain_and_contrast_of_a_sweep_follows_from_its_scores(name: str) -> None:
    found = document(name)
    (task,) = found["tasks"]
    sides = {"base": [base_result()]}
    for loss in found["losses"]:
        runs = [run for run in found["runs"] if run["loss"] == loss]
        assert [run["seed"] for run in runs] == found["seeds"]
        sides[loss] = [read_result(FOLDER / run["results"]["xquad"]) for run in runs]
    for row in [*task["gains"], *task["contrasts"]]:
        candidate, base = row["name"].split(" - ")
        again = json.loads(json.dumps(differences(sides[base], sides[candidate])))
        assert again.keys() == row["groups"].keys()
        for group, values in again.items():
            assert values == pytest.approx(row["groups"][group], nan_ok=True), group


@pytest.mark.parametrize("name", SWEEPS)
def test_all_losses_of_a_seed_saw_the_same_batches(name: str) -> None:
    found = document(name)
    for run in found["runs"]:
        manifest = json.loads((FOLDER / "runs" / f"{run['loss']}-{run['seed']}.json").read_text(encoding="utf-8"))
        assert manifest["identity"]["batches"] == found["batches"][str(run["seed"])]
        assert manifest["identity"]["recipe"]["loss"]["name"] == run["loss"]


@pytest.mark.parametrize("name", SWEEPS)
def test_the_page_of_a_sweep_is_its_document(name: str) -> None:
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == as_markdown(read_sweep(document(name), name))


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_is_written_as_it_was_read(name: str) -> None:
    assert json.dumps(as_document(read_sweep(document(name), name))) == json.dumps(document(name))


@pytest.mark.parametrize("name", MERGES)
def test_a_merge_is_written_as_it_was_read(name: str) -> None:
    assert json.dumps(as_document(read_merge(document(name), name))) == json.dumps(document(name))


def test_a_document_that_is_not_a_sweep_is_refused() -> None:
    with pytest.raises(InputError, match=r"x\.json: runs: unknown key 'sead'; did you mean 'seed'\?"):
        read_sweep({**document(SWEEPS[0]), "runs": [{"sead": 1}]}, "x.json")


@pytest.mark.parametrize("name", MERGES)
def test_every_point_of_a_merge_follows_from_its_scores(name: str) -> None:
    found = document(name)
    results = [read_result(path) for path in (FOLDER / name).parent.glob("results/*/xquad")]
    by_name = {result.model: result for result in results}
    for point in found["points"]:
        again = json.loads(json.dumps(differences([base_result()], [by_name[point["checkpoint"]]])))
        for group, values in again.items():
            assert values == pytest.approx(point["groups"]["xquad"][group], nan_ok=True), group
    pages = [markdown(table, 2) for table in merge_tables(read_merge(found, name))]
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8").startswith("\n".join(pages))
