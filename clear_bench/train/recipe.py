"""Recipes: a training run as one TOML file with typed keys."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from clear_bench.documents import read_as, read_toml
from clear_bench.errors import UsageError
from clear_bench.languages import canonical
from clear_bench.losses import LOSSES
from clear_bench.registry import lookup, unknown
from clear_bench.train.parts import (
    BatchPart,
    DataPart,
    EvaluationPart,
    LossPart,
    MinePart,
    ModelPart,
    TrainingPart,
    TranslatePart,
)
from clear_bench.types import ENGLISH

PLACES = {
    "model": ("base", "vocabulary_texts"),
    "data": ("files", "not_in", "collection", "negatives_file", "translations_file"),
    "mine": ("model",),
    "translate": ("model",),
    "evaluation": ("tasks",),
}
"""Settings that may name a path."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run. Paths in it are relative to its file."""

    model: ModelPart = field(default_factory=ModelPart)
    data: DataPart = field(default_factory=DataPart)
    mine: MinePart = field(default_factory=MinePart)
    translate: TranslatePart = field(default_factory=TranslatePart)
    loss: LossPart = field(default_factory=LossPart)
    batch: BatchPart = field(default_factory=BatchPart)
    training: TrainingPart = field(default_factory=TrainingPart)
    evaluation: EvaluationPart = field(default_factory=EvaluationPart)


def find_recipe(name: str) -> Path:
    """Return the file of a recipe, given by its path or by the name of one that comes with the package.

    Raises `UsageError` with the nearest name for anything else.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = recipes()
    if name in shipped:
        return shipped[name]
    if name.endswith(".toml"):
        msg = f"there is no recipe at {name}; the package has {', '.join(shipped)}, by name"
        raise UsageError(msg)
    raise UsageError(unknown("recipe", name, shipped))


def recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    package = Path(__file__).resolve().parent.parent
    # A wheel carries the recipes inside the package; a checkout has them beside it.
    folder = package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Load a recipe with `section.key=value` overrides; paths in the file are relative to its folder.

    Raises `UsageError` for keys that do not exist, with the nearest one, and for values that no run could use.
    """
    recipe = read_as(Recipe, read_toml(path, UsageError), str(path), lone_items=True)
    recipe = _settle_paths(recipe, path.parent)
    for override in overrides:
        recipe = _override(recipe, override)
    return _checked(recipe)


def _override(recipe: Recipe, override: str) -> Recipe:
    """Return a recipe with one `section.key=value`; a value that is not valid TOML is taken as text."""
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot):
        msg = f"--set {override!r}: write section.key=value, as in training.seed=1"
        raise UsageError(msg)
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    given = read_as(Recipe, {section: {key: value}}, "--set", lone_items=True)
    changed = replace(getattr(recipe, section), **{key: getattr(getattr(given, section), key)})
    return replace(recipe, **{section: changed})


def _settle_paths(recipe: Recipe, folder: Path) -> Recipe:
    """Return a recipe whose relative paths start at its folder, where something lies there."""

    def settle(value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(value, tuple):
            return tuple(str(settle(item)) for item in value)
        return str(folder / value) if value and (folder / value).exists() else value

    sections = {}
    for section, keys in PLACES.items():
        part = getattr(recipe, section)
        sections[section] = replace(part, **{key: settle(getattr(part, key)) for key in keys})
    return replace(recipe, **sections)


def _checked(recipe: Recipe) -> Recipe:
    """Return the recipe; raises `UsageError` for values that no run could use, before anything is loaded."""
    lookup(LOSSES, recipe.loss.name, "loss")
    if not recipe.model.base:
        raise UsageError("the recipe names no model: set model.base")
    sources = [bool(recipe.data.files), recipe.data.hub is not None, recipe.data.collection is not None]
    if sum(sources) != 1:
        raise UsageError("the recipe must name one source of rows: data.files, data.hub or data.collection")
    if (recipe.training.steps is None) == (recipe.training.epochs is None):
        raise UsageError("the recipe must say how long to train: training.steps or training.epochs, one of them")
    if recipe.mine.model and recipe.data.negatives_file is not None:
        raise UsageError("[mine] writes data.negatives_file itself: leave one of them out")
    _check_translate(recipe)
    if recipe.batch.size == 1 and recipe.data.negatives == 0:
        raise UsageError("a batch of 1 row without hard negatives has nothing to tell apart: its loss is always 0")
    return recipe


def _check_translate(recipe: Recipe) -> None:
    part = recipe.translate
    if bool(part.model) != bool(part.languages):
        raise UsageError("[translate] needs both: translate.model and translate.languages")
    if part.model and recipe.data.translations_file is not None:
        raise UsageError("[translate] writes data.translations_file itself: leave one of them out")
    codes = [canonical(language) for language in part.languages]
    if ENGLISH in codes:
        msg = f"translate.languages lists {part.languages[codes.index(ENGLISH)]!r}: queries are translated from English"
        raise UsageError(msg)
    if twice := [code for code in codes if codes.count(code) > 1]:
        msg = f"translate.languages lists {twice[0]} twice: {', '.join(part.languages)}"
        raise UsageError(msg)
