"""A training run as one TOML file: every key typed, every unknown key refused."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from clear_bench.documents import read_toml
from clear_bench.errors import UsageError
from clear_bench.languages import canonical
from clear_bench.losses import LOSSES
from clear_bench.registry import lookup, refuse_unknown_keys, unknown
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

    def as_dict(self) -> dict[str, Any]:
        """Give the recipe as plain values, for manifests and comparison."""
        return asdict(self)


def find_recipe(name: str) -> Path:
    """Give the file of a recipe: a path, or the name of one that comes with the package.

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
    """Map the names of the package's recipes to their files."""
    package = Path(__file__).resolve().parent.parent
    # A wheel carries the recipes inside the package; a checkout has them beside it.
    folder = package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe and apply `section.key=value` overrides; paths of the file become relative to where we are."""
    raw = read_toml(path, UsageError)
    recipe = _settle_paths(parse_recipe(raw, str(path)), path.parent)
    for override in overrides:
        recipe = _override(recipe, override)
    return _checked(recipe)


def parse_recipe(raw: Mapping[str, Any], where: str) -> Recipe:
    """Build a recipe from nested tables; a key that nobody reads is refused with the nearest one."""
    hints = get_type_hints(Recipe)
    refuse_unknown_keys(raw, hints, where)
    parts = {}
    for section, kind in hints.items():
        table = raw.get(section, {})
        if not isinstance(table, dict):
            msg = f"{where}: [{section}] must be a table"
            raise UsageError(msg)
        parts[section] = _parse_part(kind, table, f"{where} [{section}]")
    return Recipe(**parts)


def _parse_part(kind: type, table: Mapping[str, Any], where: str) -> Any:  # Any: one of the parts above
    hints = get_type_hints(kind)
    refuse_unknown_keys(table, hints, where)
    return kind(**{key: _convert(value, hints[key], f"{where} {key}") for key, value in table.items()})


def _convert(value: Any, hint: Any, where: str) -> Any:  # Any: TOML values and type hints
    """Check a TOML value against a field's type: whole numbers pass as floats, arrays become tuples."""
    if get_origin(hint) is UnionType:
        return _convert(value, next(kind for kind in get_args(hint) if kind is not type(None)), where)
    if get_origin(hint) is Literal:
        lookup(dict.fromkeys(get_args(hint)), str(value), where)
        return value
    if get_origin(hint) is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_convert(item, get_args(hint)[0], where) for item in items)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = dict if get_origin(hint) is not None else hint
    if isinstance(value, str) and "\0" in value:
        msg = f"{where} is {value!r}, which holds a null character"
        raise UsageError(msg)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        msg = f"{where} is {value!r}, but should be of type {getattr(expected, '__name__', expected)}"
        raise UsageError(msg)
    return value


def _override(recipe: Recipe, override: str) -> Recipe:
    """Apply one `section.key=value`; the value is read as TOML, or taken as text where it is none."""
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot):
        msg = f"--set {override!r}: write section.key=value, as in training.seed=1"
        raise UsageError(msg)
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    part = lookup({f.name: getattr(recipe, f.name) for f in fields(recipe)}, section, "recipe section")
    hints = get_type_hints(type(part))
    refuse_unknown_keys([key], hints, f"--set {section}")
    return replace(recipe, **{section: replace(part, **{key: _convert(value, hints[key], f"--set {name}")})})


def _settle_paths(recipe: Recipe, folder: Path) -> Recipe:
    def settle(text: str) -> str:
        return str(folder / text) if (folder / text).exists() else text

    data = recipe.data
    data = replace(
        data,
        files=tuple(map(settle, data.files)),
        not_in=tuple(map(settle, data.not_in)),
        collection=None if data.collection is None else settle(data.collection),
        negatives_file=None if data.negatives_file is None else settle(data.negatives_file),
        translations_file=None if data.translations_file is None else settle(data.translations_file),
    )
    base = settle(recipe.model.base) if recipe.model.base else ""
    model = replace(recipe.model, base=base, vocabulary_texts=tuple(map(settle, recipe.model.vocabulary_texts)))
    evaluation = replace(recipe.evaluation, tasks=tuple(map(settle, recipe.evaluation.tasks)))
    mine = replace(recipe.mine, model=settle(recipe.mine.model)) if recipe.mine.model else recipe.mine
    translate = recipe.translate
    translate = replace(translate, model=settle(translate.model)) if translate.model else translate
    return replace(recipe, data=data, model=model, evaluation=evaluation, mine=mine, translate=translate)


def _checked(recipe: Recipe) -> Recipe:
    """Refuse values that no run could use, before anything is loaded."""
    lookup(LOSSES, recipe.loss.name, "loss")
    if not recipe.model.base:
        raise UsageError("the recipe names no model: set model.base")
    sources = [bool(recipe.data.files), recipe.data.hub is not None, recipe.data.collection is not None]
    if sum(sources) != 1:
        raise UsageError("the recipe must name one source of rows: data.files, data.hub or data.collection")
    if (recipe.training.steps is None) == (recipe.training.epochs is None):
        raise UsageError("the recipe must say how long to train: training.steps or training.epochs, one of them")
    _check_mine(recipe)
    _check_translate(recipe)
    if recipe.model.dropout is not None and not 0 <= recipe.model.dropout < 1:
        msg = f"model.dropout is {recipe.model.dropout}, but a share of activations is at least 0 and below 1"
        raise UsageError(msg)
    for needed, numbers in (("positive", _positive(recipe)), ("0 or more", _not_negative(recipe))):
        for name, number in numbers.items():
            if number is not None and not (isfinite(number) and number >= 0 and (number > 0 or needed != "positive")):
                msg = f"{name} is {number}, but must be {needed}"
                raise UsageError(msg)
    if recipe.batch.size == 1 and recipe.data.negatives == 0:
        raise UsageError("a batch of 1 row without hard negatives has nothing to tell apart: its loss is always 0")
    return recipe


def _check_mine(recipe: Recipe) -> None:
    part = recipe.mine
    if part.model and recipe.data.negatives_file is not None:
        raise UsageError("[mine] writes data.negatives_file itself: leave one of them out")
    if not 0 <= part.margin < 1 or part.skip < 0:
        msg = f"mine.margin is {part.margin} and mine.skip {part.skip}: give a share below 1, and 0 or more"
        raise UsageError(msg)


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


def _positive(recipe: Recipe) -> dict[str, float | None]:
    return {
        "training.steps": recipe.training.steps,
        "training.epochs": recipe.training.epochs,
        "training.learning_rate": recipe.training.learning_rate,
        "data.near_duplicate": recipe.data.near_duplicate,
        "loss.scale": recipe.loss.scale,
        "loss.mini_batch_size": recipe.loss.mini_batch_size,
        "loss.mini_batch_num_tokens": recipe.loss.mini_batch_num_tokens,
        "evaluation.limit": recipe.evaluation.limit,
        "training.accumulate": recipe.training.accumulate,
        "training.log_every": recipe.training.log_every,
        "batch.size": recipe.batch.size,
        "batch.temperature": recipe.batch.temperature,
        "mine.depth": recipe.mine.depth,
        "mine.keep": recipe.mine.keep,
        "translate.batch_size": recipe.translate.batch_size,
        "translate.num_beams": recipe.translate.num_beams,
        "translate.max_length": recipe.translate.max_length,
        "model.query_length": recipe.model.query_length,
        "model.passage_length": recipe.model.passage_length,
    }


def _not_negative(recipe: Recipe) -> dict[str, float | None]:
    return {
        "training.seed": recipe.training.seed,
        "training.warmup": recipe.training.warmup,
        "training.weight_decay": recipe.training.weight_decay,
        "training.max_grad_norm": recipe.training.max_grad_norm,
        "training.save_every": recipe.training.save_every,
        "training.evaluate_every": recipe.training.evaluate_every,
        "data.negatives": recipe.data.negatives,
        "model.lora_rank": recipe.model.lora_rank,
        "model.lora_alpha": recipe.model.lora_alpha,
        "loss.preserve_english": recipe.loss.preserve_english,
        "evaluation.english_margin": recipe.evaluation.english_margin,
    }
