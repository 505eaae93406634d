"""Options that several commands share; their values come from flag, environment, configuration file or default."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import click

from clear_bench.disk import cache_at
from clear_bench.documents import read_toml
from clear_bench.errors import UsageError
from clear_bench.registry import refuse_unknown_keys, unknown
from clear_bench.settings import Engine, ModelSettings, Precision, SearchSettings, StoreDtype, Transform

F = TypeVar("F", bound=Callable[..., Any])  # Any: click hands each command its own parameters

SETTINGS: Mapping[str, type[Any]] = {"model_settings": ModelSettings, "search_settings": SearchSettings}
"""Parameter of a command -> the value that `with_settings` makes for it."""

MAY_BE_EMPTY = {"query_prompt", "passage_prompt"}
"""Options that mean something without a text: no prompt."""


class Real(click.FloatRange):
    """A finite number: Python reads `nan` and `inf`, too, and no comparison refuses the former."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # Any: click's
        """See `click.ParamType.convert`."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


class Several(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.2
    """Values with commas between them, as a tuple; blanks around a value and empty ones do not count."""

    name = "text"

    def __init__(self, each: click.ParamType[Any]) -> None:
        self.each = each

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """See `click.ParamType.convert`."""
        if not isinstance(value, str):
            return tuple(value)
        return tuple(self.each.convert(part.strip(), param, ctx) for part in value.split(",") if part.strip())


_LARGEST = 2**31 - 1  # what Arrow, FAISS and torch count with, at the least
COUNT = click.IntRange(1, _LARGEST)
COUNT_OR_NONE = click.IntRange(0, _LARGEST)
REPLICATES = click.IntRange(0, 10_000_000)
SEED = click.IntRange(0, 2**32 - 1)
"""What NumPy and torch both take."""
NAMES = Several(click.STRING)
SEEDS = Several(SEED)
SHARE = Real(0, 1)
"""Of a score: 0.01 is one point."""
RATE = Real(0, 1e15, min_open=True)


def option(*names: str, **attributes: Any) -> Callable[[F], F]:  # Any: click's own
    """Declare an option that `CLEAR_BENCH_<NAME>` sets too: `--cache-dir` has `CLEAR_BENCH_CACHE`."""
    long = next(name for name in names if name.startswith("--")).split("/")[0].lstrip("-")
    variable = "CLEAR_BENCH_" + long.removesuffix("-dir").replace("-", "_").upper()
    return click.option(*names, envvar=variable, **attributes)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Join options into one decorator, in the order of the help text."""

    def decorate(command: F) -> F:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


def _choose_cache(ctx: click.Context, _parameter: click.Parameter, folder: Path | None) -> None:
    """Use the folder for everything that looks into the cache while the command runs."""
    ctx.with_resource(cache_at(folder))


cache_option = option(
    "--cache-dir",
    type=click.Path(path_type=Path),
    callback=_choose_cache,
    expose_value=False,
    help="Where data sets, models and embeddings are kept.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
offline_option = option("--offline", is_flag=True, help="Never touch the network; use what is cached.")

device_option = option("--device", help="cpu, cuda, cuda:1, mps; default: the best there is.")

model_options = together(
    option("--query-prompt", help="Text put before each query; may hold {instruction}."),
    option("--passage-prompt", help="Text put before each passage."),
    option(
        "--similarity", type=click.Choice(["cosine", "dot"]), help="Default: what the checkpoint says, else cosine."
    ),
    option("--max-seq-length", type=COUNT, help="Cut texts after this many tokens."),
    option("--truncate-dim", type=COUNT, help="Keep only the first dimensions (Matryoshka models)."),
    option(
        "--precision", type=click.Choice(get_args(Precision)), default="fp32", show_default=True, help="Of the weights."
    ),
    device_option,
    option("--batch-tokens", type=COUNT, help="Tokens in one encoding batch."),
    option("--allow-pickle", is_flag=True, help="Load pickled weights: they can run any code."),
    option("--trust-remote-code", is_flag=True, help="Run code that comes with a checkpoint."),
    offline_option,
)
"""A flag for every field of `ModelSettings`."""

store_dtype_option = option(
    "--store-dtype",
    type=click.Choice(get_args(StoreDtype)),
    default="float32",
    show_default=True,
    help="Of the embeddings; int8 and binary code passages and report what that loses.",
)
devices_option = option(
    "--devices", help="Several devices, a process on each: cuda:0,cuda:1, cuda (all), cpu,cpu, or a number."
)

transform_options = together(
    option(
        "--transform",
        type=click.Choice(get_args(Transform)),
        help="Map the stored vectors of --model so that they know less of language; encodes nothing.",
    ),
    option(
        "--transform-from", help="Task (name or card) whose texts the map is estimated on; default: the task's own."
    ),
)

search_options = together(
    option(
        "--index", default="auto", show_default=True, help="auto, faiss, torch, int8[:N], binary[:N] or faiss:FACTORY."
    ),
    store_dtype_option,
    transform_options,
    devices_option,
    option(
        "--engine", type=click.Choice(get_args(Engine)), default="local", show_default=True, help="Who does the work."
    ),
    option("--ray-address", help="Running Ray cluster (HOST:PORT, auto); default: one is started on this machine."),
    option("--ray-workers", type=COUNT, help="Default: one a GPU, else one a node."),
)
"""A flag for every field of `SearchSettings`."""


def with_settings(*parameters: str) -> Callable[[F], F]:
    """Pass a command its options as values: `model_settings` and `search_settings` take those that are their fields."""

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def gather(**given: Any) -> Any:  # Any: click's own
            for parameter in parameters:
                own = {one.name for one in fields(SETTINGS[parameter])} & given.keys()
                given[parameter] = SETTINGS[parameter](**{name: given.pop(name) for name in own})
            return command(**given)

        return cast("F", gather)

    return decorate


def read_configuration(ctx: click.Context) -> Mapping[str, Any]:  # Any: TOML
    """Read this command's settings from clear-bench.toml, else from [tool.clear-bench] of pyproject.toml.

    Settings stand in a table named like the command. Raise `UsageError` for a file that is no TOML and, with the
    nearest match, for a table or key that nobody reads.
    """
    path, tables = _tables()
    commands = set(ctx.parent.command.list_commands(ctx.parent)) if ctx.parent else set()  # type: ignore[attr-defined]
    for name, table in tables.items():
        if name not in commands or not isinstance(table, dict):
            msg = f"{path}: {unknown('table', name, commands)}"
            raise UsageError(msg)
    name = ctx.info_name or ""
    keys = {p.opts[0].lstrip("-"): p for p in ctx.command.params if isinstance(p, click.Option)}
    given = tables.get(name, {})
    refuse_unknown_keys(given, keys, f"{path} [{name}]")
    return {str(keys[key].name): _joined(value, keys[key]) for key, value in given.items()}


def _joined(value: object, one: click.Option) -> object:
    """Write a list the way the command line takes it, `tasks = ["a", "b"]` as `a,b`."""
    return ",".join(map(str, value)) if isinstance(value, list) and not one.multiple else value


def refuse_unknown_variables(given: Iterable[str], commands: Iterable[click.Command]) -> None:
    """Raise `UsageError` for an environment variable `CLEAR_BENCH_*` that no option of the commands reads."""
    known = {str(p.envvar) for command in commands for one in _with_children(command) for p in one.params}
    for name in given:
        if name not in known:
            raise UsageError(unknown("environment variable", name, known - {"None"}))


def _with_children(command: click.Command) -> list[click.Command]:
    return [command, *(command.commands.values() if isinstance(command, click.Group) else ())]


def _tables() -> tuple[Path, Mapping[str, Any]]:
    own, project = Path("clear-bench.toml"), Path("pyproject.toml")
    path = own if own.is_file() else project
    if not path.is_file():
        return path, {}
    try:
        content = read_toml(path, UsageError)
    except UsageError:
        if path == project:
            return path, {}  # not ours to judge
        raise
    if path == own:
        return path, content
    tool = content.get("tool", {})
    settings = tool.get("clear-bench", {}) if isinstance(tool, dict) else {}
    if not isinstance(settings, dict):
        raise UsageError(f"{path}: tool.clear-bench is {settings!r}, but must be a table")
    return path, settings


class Strict(click.Command):
    """A command that refuses an option or argument of nothing: in CI that is a variable that is not set."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`. Raise `click.BadParameter` for an empty value."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for one in self.params:
            values = given.get(one.name or "", (ctx.default_map or {}).get(one.name or ""))
            for value in values if isinstance(values, list | tuple) else [values]:
                if isinstance(value, str) and not value.strip(" ,") and one.name not in MAY_BE_EMPTY:
                    msg = f"{value!r} names nothing; give a value{'' if one.required else ', or leave it out'}"
                    raise click.BadParameter(msg, ctx, one)
        return super().parse_args(ctx, args)


class StrictGroup(click.Group):
    """A group of such commands."""

    command_class = Strict


class Command(Strict):
    """A command that takes its defaults from the configuration file."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:  # Any: click's own settings
        """Put the file's values below flags and environment, above the declared defaults."""
        probe = click.Context(self, info_name=info_name, parent=parent)
        extra["default_map"] = {**read_configuration(probe), **(extra.get("default_map") or {})}
        return super().make_context(info_name, args, parent=parent, **extra)
