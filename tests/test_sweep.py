from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_task import write_task
from toy_training import (
    RECIPES,
    make_checkpoint,
    make_collection,
    make_translator,
    smoke,
    smoke_of_rows,
    write_rows,
)

from clear_bench import evaluate
from clear_bench.api.plan import make_plans
from clear_bench.api.training import sweep as stage
from clear_bench.api.training.sweep import plan_runs, sweep
from clear_bench.api.training.sweep_document import read_sweep
from clear_bench.api.training.sweep_table import as_markdown
from clear_bench.api.training.translating import with_translated
from clear_bench.cli import invoke
from clear_bench.disk import cache_at
from clear_bench.documents import as_document
from clear_bench.errors import DataError, InputError, UsageError
from clear_bench.store.results import read_result
from clear_bench.train.loop import RoleTrainer
from clear_bench.train.plan import prepare
from clear_bench.train.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
LOSSES = ["clear", "infonce_qx"]
SEEDS = [0, 1, 2]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    base = make_checkpoint(tmp_path_factory.mktemp("base"))
    collection = make_collection(tmp_path_factory.mktemp("collection"))
    return smoke(base, collection, "training.steps=3", "training.save_every=1", "training.device=cpu")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def finished(recipe: Recipe, card: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("sweep")
    with cache_at(out / "cache"):
        return out, as_document(
            sweep(recipe, make_plans([str(card)]), out, losses=LOSSES, seeds=SEEDS, transforms=["center"])
        )


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    for run in document["runs"]:
        run.pop("seconds")
    return document


def test_all_losses_of_a_seed_train_on_the_same_batches(finished: tuple[Path, dict[str, Any]]) -> None:
    _, document = finished
    by_seed = {seed: {run["batches"] for run in document["runs"] if run["seed"] == seed} for seed in SEEDS}
    assert all(found == {document["batches"][str(seed)]} for seed, found in by_seed.items())
    assert len(set(document["batches"].values())) == 3
    assert {run["steps"] for run in document["runs"]} == {3}


@pytest.mark.parametrize("change", ["", "schema", "budget", "batches"])
def test_json_is_the_schemas_and_holds_no_nan(finished: tuple[Path, dict[str, Any]], change: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(json.dumps(finished[1], allow_nan=False))
    schema = json.loads(files("clear_bench").joinpath("schemas/sweep.json").read_text("utf-8"))
    if change:
        document[change] = "other"
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, schema)
    else:
        jsonschema.validate(document, schema)


def test_a_transform_of_the_base_stands_beside_the_losses(
    finished: tuple[Path, dict[str, Any]], recipe: Recipe, card: Path
) -> None:
    out, document = finished
    (task,) = document["tasks"]
    with cache_at(out / "cache"):
        alone = evaluate(recipe.model.base, str(card), transform="center", cache_dir=out / "cache").matrix("toy")
    (row,) = [row for row in task["rows"] if row["name"] == "base+center"]
    assert row["seeds"] == 1
    assert row["groups"]["all"]["value"] == pytest.approx(alone.to_numpy().mean())
    gain = next(gain for gain in task["gains"] if gain["name"] == "base+center - base")["groups"]["all"]
    assert gain["delta"] == pytest.approx(row["groups"]["all"]["value"] - task["rows"][0]["groups"]["all"]["value"])


def test_contrasts_are_paired_differences_of_the_seed_means(finished: tuple[Path, dict[str, Any]]) -> None:
    out, document = finished
    (task,) = document["tasks"]
    assert [row["name"] for row in task["rows"]] == ["base", "base+center", *LOSSES]
    (contrast,) = task["contrasts"]
    assert contrast["name"] == "clear - infonce_qx"

    def mean(loss: str) -> float:
        """Over pairs and seeds, with plain loops."""
        runs = [run for run in document["runs"] if run["loss"] == loss]
        frames = [read_result(out / run["results"]["toy"]).scores.to_pandas() for run in runs]
        pairs = ["query_language", "passage_language"]
        return float(np.mean([frame.groupby(pairs)["nDCG@10"].mean().mean() for frame in frames]))

    difference = contrast["groups"]["all"]
    assert difference["delta"] == pytest.approx(mean("clear") - mean("infonce_qx"), abs=1e-12)
    assert difference["lower"] <= difference["delta"] <= difference["upper"]
    assert difference["n_queries"] == 9 * 8
    row = next(row for row in task["rows"] if row["name"] == "clear")
    gain = next(gain for gain in task["gains"] if gain["name"] == "clear - base")["groups"]["all"]
    assert gain["delta"] == pytest.approx(row["groups"]["all"]["value"] - task["rows"][0]["groups"]["all"]["value"])


def test_all_losses_share_the_rows_that_have_translated_query_negatives(recipe: Recipe, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "r.jsonl", negative_1=lambda i: f"asked by nobody {i}" if i < 4 else f"what {i}")
    model = make_translator(tmp_path / "nllb")
    settings = [f"translate.model={model}", "translate.languages=['de']", "translate.max_length=24", "data.negatives=2"]
    asked = smoke_of_rows(Path(recipe.model.base), rows, tmp_path, *settings, "training.steps=1", "batch.size=2")
    with pytest.raises(DataError, match="too few translated negatives': 12"):
        plan_runs(with_translated(asked, tmp_path / "two"), ["infonce_x", "clear"], [0], "steps")
    one = replace(asked, data=replace(asked.data, negatives=1))
    runs = plan_runs(with_translated(one, tmp_path / "one"), ["infonce_x", "clear"], [0], "steps")
    assert [run.recipe.data.query_negatives for run in runs] == [True, True]
    rows_of = [prepare(run.recipe).rows for run in runs]
    assert rows_of[0].digest == rows_of[1].digest


def test_the_page_shows_base_losses_contrasts_and_what_they_cost(finished: tuple[Path, dict[str, Any]]) -> None:
    text = as_markdown(read_sweep(finished[1], "sweep"))
    lines = text.splitlines()
    assert any(line.startswith("| base |") for line in lines)
    assert any(line.startswith("| clear |") and "; " in line for line in lines)
    assert any("clear - infonce" in line for line in lines)
    assert "fewer than 3 seeds" not in text


def test_a_sweep_that_was_cut_off_goes_on_where_it_was(
    recipe: Recipe,
    card: Path,
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, steps = RoleTrainer.training_step, []

    def count(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps.append(self.state.global_step)
        if len(steps) == 6:  # in the last of three steps of the second run
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(RoleTrainer, "training_step", count)
    whole = {"losses": LOSSES, "seeds": [0]}
    with pytest.raises(KeyboardInterrupt):
        sweep(recipe, make_plans([str(card)]), tmp_path / "out", **whole)
    stamp = (tmp_path / "out/runs/clear-0/model.safetensors").stat().st_mtime_ns
    document = as_document(sweep(recipe, make_plans([str(card)]), tmp_path / "out", **whole))
    # Two whole runs of three steps, and the step that was cut off twice.
    assert steps == [0, 1, 2, 0, 1, 2, 2]
    assert (tmp_path / "out/runs/clear-0/model.safetensors").stat().st_mtime_ns == stamp
    again = as_document(sweep(recipe, make_plans([str(card)]), tmp_path / "out", **whole))
    assert len(steps) == 7
    assert without_times(again) == without_times(document)
    straight = [run for run in finished[1]["runs"] if run["seed"] == 0]
    assert [run["tokens"] for run in document["runs"]] == [run["tokens"] for run in straight]


def test_equal_compute_gives_the_cheaper_loss_more_steps_on_the_same_batches(recipe: Recipe) -> None:
    clear, cheap = plan_runs(recipe, ["clear", "distill"], [0], "compute")
    assert clear.recipe.training.steps == 3
    steps = cheap.recipe.training.steps
    # Five texts a row against two short ones.
    assert steps is not None
    assert steps > 6
    assert clear.batches == cheap.batches
    assert prepare(cheap.recipe).batches[:3] == prepare(clear.recipe).batches


def test_losses_that_would_get_other_batches_are_refused(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    original = stage.prepare

    def other(recipe: Recipe, **kwargs: Any) -> Any:
        prepared = original(recipe, **kwargs)
        if recipe.loss.name == "infonce_qx":
            prepared.batches.reverse()
        return prepared

    monkeypatch.setattr(stage, "prepare", other)
    with pytest.raises(InputError, match="clear and infonce_qx would not train on identical batches"):
        plan_runs(recipe, LOSSES, [0], "steps")


def test_weights_of_one_loss_are_not_carried_to_another(recipe: Recipe, tmp_path: Path) -> None:
    fixed = smoke(Path(recipe.model.base), Path(recipe.data.collection or ""), "loss.alpha=0.3")
    with pytest.raises(UsageError, match=r"fixes loss.alpha"):
        plan_runs(fixed, LOSSES, [0], "steps")
    with pytest.raises(UsageError, match="did you mean 'clear'"):
        plan_runs(recipe, ["claer"], [0], "steps")
    with pytest.raises(UsageError, match="only once"):
        plan_runs(recipe, LOSSES, [0, 0], "steps")


def test_the_command_writes_the_comparison_and_warns_of_few_seeds(
    recipe: Recipe, card: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sets = [f"model.base={recipe.model.base}", f"data.collection={recipe.data.collection}", "training.steps=1"]
    words = [word for setting in sets for word in ("--set", setting)]
    out = tmp_path / "out"
    asked = ["--losses", "clear,clear_no_kl", "--seeds", "4", "--tasks", str(card), "--pairs", "en:en,x-en"]
    code = invoke(["sweep", str(RECIPES / "smoke.toml"), *words, *asked, "--limit", "4", "--out", str(out)])
    assert code == 0
    shown = capfd.readouterr().out
    assert "clear - clear_no_kl" in shown
    assert "fewer than 3 seeds" in shown
    document = json.loads((out / "sweep.json").read_text())
    assert (document["schema"], document["seeds"]) == ("clear-bench/sweep/1", [4])
    assert document["tasks"][0]["partial"] is True
    assert "clear" in (out / "sweep.md").read_text()


def test_a_sweep_needs_something_to_evaluate_on(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert invoke(["sweep", str(RECIPES / "smoke.toml"), "--out", str(tmp_path)]) == 2
    assert "--tasks" in capfd.readouterr().err
