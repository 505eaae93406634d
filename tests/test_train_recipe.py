from __future__ import annotations

from pathlib import Path

import pytest

from clear_bench.errors import UsageError
from clear_bench.losses import LOSSES
from clear_bench.train.recipe import load_recipe, parse_recipe

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
GOOD = {"model": {"base": "m"}, "data": {"collection": "c"}, "training": {"steps": 5}}


def write(folder: Path, text: str) -> Path:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


MINIMAL = '[model]\nbase = "m"\n[data]\ncollection = "c"\n[training]\nsteps = 5\n'


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_committed_recipe_is_valid(path: Path) -> None:
    assert load_recipe(path).training.steps


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_no_committed_recipe_fixes_the_weights_of_its_loss(path: Path) -> None:
    # Weights written into a recipe would follow it to every other loss of a sweep.
    loss = load_recipe(path).loss
    assert (loss.alpha, loss.beta) == (None, None)


def test_the_papers_recipe_has_the_papers_settings() -> None:
    recipe = load_recipe(RECIPES / "clear-paper.toml")
    objective, _ = LOSSES[recipe.loss.name]
    assert (objective.alpha, objective.beta, recipe.loss.scale) == (0.4, 0.2, 20)
    assert (recipe.batch.size, recipe.loss.mini_batch_size, recipe.training.steps, recipe.data.negatives) == (
        64,
        32,
        50,
        5,
    )
    assert (recipe.training.learning_rate, recipe.training.warmup, recipe.training.precision) == (5e-5, 0.05, "bf16")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "step = 3\n", "did you mean 'steps'"),
        (MINIMAL + "[los]\nname = 'clear'\n", "did you mean 'loss'"),
        (MINIMAL + '[loss]\nname = "claer"\n', "did you mean 'clear'"),
        (MINIMAL + "[loss]\nalpha = 'much'\n", "should be of type float"),
        (MINIMAL + "[batch]\nsize = 2.5\n", "should be of type int"),
        (MINIMAL + "[batch]\nsize = true\n", "should be of type int"),
        (MINIMAL + "[batch]\nsize = 0\n", "batch.size is 0"),
        (MINIMAL + "[batch]\nlanguages = 'mixd'\n", "did you mean 'mixed'"),
        (MINIMAL + "epochs = 2\n", "one of them"),
        (MINIMAL.replace('collection = "c"', ""), "one source of rows"),
        (MINIMAL.replace('collection = "c"', 'collection = "c"\nhub = "h"'), "one source of rows"),
        (MINIMAL.replace('base = "m"', ""), "set model.base"),
        (MINIMAL.replace('collection = "c"', 'collection = "c"\nnegatives = 0') + "[batch]\nsize = 1\n", "always 0"),
        ("[model\n", "r.toml"),
    ],
)
def test_a_wrong_recipe_is_refused_with_what_would_be_right(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(write(tmp_path, text))


def test_set_overrides_one_value_and_keeps_its_type(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    changes = ["training.seed=3", "loss.name=infonce_q", "training.learning_rate=1", "data.languages=['de','fr']"]
    recipe = load_recipe(path, changes)
    assert (recipe.training.seed, recipe.loss.name, recipe.training.learning_rate) == (3, "infonce_q", 1.0)
    assert recipe.data.languages == ("de", "fr")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.sed=3", "did you mean 'seed'"),
        ("trainin.seed=3", "did you mean 'training'"),
        ("seed=3", "section.key=value"),
        ("training.seed", "section.key=value"),
        ("training.seed=x", "should be of type int"),
        ("model.dropout=1", "model.dropout is 1.0"),
        ("model.dropout=-0.1", "model.dropout is -0.1"),
    ],
)
def test_a_wrong_override_is_refused(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(write(tmp_path, MINIMAL), [override])


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    recipe = load_recipe(write(tmp_path, MINIMAL))
    assert recipe.data.collection == str(tmp_path / "c")
    assert recipe.model.base == "m"


def test_a_parsed_recipe_has_the_defaults_of_the_paper() -> None:
    recipe = parse_recipe(GOOD, "here")
    assert (recipe.loss.name, recipe.loss.scale, recipe.loss.alpha) == ("clear", 20.0, None)
