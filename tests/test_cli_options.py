"""Every option of every command refuses what cannot be meant: numbers that no run can have, and lists of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import click
import pytest

from clear_bench.cli import COMMANDS, invoke
from clear_bench.cli.cache import parse_age, parse_size
from clear_bench.cli.options import MAY_BE_EMPTY, NAMES, SEEDS, Real, Strict
from clear_bench.cluster.devices import choose_devices
from clear_bench.errors import UsageError
from clear_bench.indexes import check_backend
from clear_bench.registry import load
from clear_bench.tasks import find_tasks, plan_pairs

NO_NUMBERS = ("-1", "-0.5", "nan", "inf", "-inf", "1e400", "9" * 25, "9" * 5000, "x", "0x10", "1,5")


def commands() -> Iterator[tuple[list[str], click.Command]]:
    """Every command that does something, with the words that call it."""
    for name, (where, _) in COMMANDS.items():
        command = load(where)
        if isinstance(command, click.Group):
            for child, one in command.commands.items():
                yield [name, child], one
        else:
            assert isinstance(command, click.Command)
            yield [name], command


OPTIONS = [
    pytest.param(words, one, id=f"{' '.join(words)} {one.opts[0]}")
    for words, command in commands()
    for one in command.params
    if not getattr(one, "is_flag", False)
]
NUMERIC = [row for row in OPTIONS if isinstance(row.values[1].type, click.types._NumberParamTypeBase)]


def refused(words: list[str], one: click.Parameter, value: str, capsys: pytest.CaptureFixture[str]) -> bool:
    """Give one option a value, beside which nothing that is required is given: it is read first all the same."""
    given = [f"{one.opts[0]}={value}"] if isinstance(one, click.Option) else ["--", value]
    code = invoke([*words, *given])
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return code == 2 and (one.opts[0] in told or one.make_metavar(click.Context(click.Command("x"))) in told)


def test_the_numbers_are_found() -> None:
    assert {"run --limit", "compare --seed", "report --margin", "gate --margin", "estimate --tokens-per-second"} <= {
        str(row.id) for row in NUMERIC
    }


@pytest.mark.parametrize(("words", "one"), NUMERIC)
def test_every_numeric_option_refuses_what_cannot_be_meant(
    words: list[str], one: click.Parameter, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = [value for value in NO_NUMBERS if not refused(words, one, value, capsys)]
    assert taken == []


@pytest.mark.parametrize(("words", "one"), NUMERIC)
def test_every_numeric_option_is_bounded_on_both_sides(words: list[str], one: click.Parameter) -> None:
    assert isinstance(one.type, click.IntRange | Real)
    assert one.type.min is not None
    assert one.type.max is not None


@pytest.mark.parametrize(("words", "one"), [row for row in OPTIONS if row.values[1].name not in MAY_BE_EMPTY])
def test_every_option_and_argument_refuses_nothing(
    words: list[str], one: click.Parameter, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("", " ", ",", " , "):
        assert refused(words, one, value, capsys), value


@pytest.mark.parametrize(("words", "command"), list(commands()))
def test_every_command_is_strict(words: list[str], command: click.Command) -> None:
    assert isinstance(command, Strict)


def test_empty_list_in_the_configuration_file_is_refused(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with open("clear-bench.toml", "w", encoding="utf-8") as file:
        file.write("[run]\npairs = []\n")
    assert invoke(["run", "--model", "x", "--tasks", "mini"]) == 2
    assert "--pairs" in capsys.readouterr().err


def test_python_refuses_nothing_too() -> None:
    with pytest.raises(UsageError, match="no pair is named"):
        plan_pairs(find_tasks("mini"), "")
    with pytest.raises(UsageError, match="no task is named"):
        plan_pairs([], "all")


# Numbers within texts


@pytest.mark.parametrize("text", ["99999999999d", "36526d", "9" * 5000 + "h", "-1d", "infd", "1e3d", "d"])
def test_ages_are_at_most_a_century(text: str) -> None:
    with pytest.raises(UsageError):
        parse_age(text)
    assert parse_age("36525d") == timedelta(days=36_525)


@pytest.mark.parametrize("text", ["9" * 400, "1e9", "-1G", "nan", "inf", "9999999999T"])
def test_sizes_are_those_of_disks(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "-1", "99999", "9" * 5000, "cuda:99999999999", "١"])
def test_devices_are_so_many_as_machines_have(text: str) -> None:
    with pytest.raises(UsageError):
        choose_devices(text)


@pytest.mark.parametrize("text", ["int8:0", "int8:-1", "int8:" + "9" * 30, "binary:inf", "int8:", "int8:²"])
def test_candidates_of_codes_are_counts(text: str) -> None:
    with pytest.raises(UsageError):
        check_backend(text)


@pytest.mark.parametrize("text", ["-1", "0,-1", "0,4294967296", "0.5", "nan", "a"])
def test_seeds_are_those_that_generators_take(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SEEDS.convert(text, None, None)


def test_commas_join_values_and_blanks_around_them_do_not_count() -> None:
    assert NAMES.convert(" a, b c,,", None, None) == ("a", "b c")
    assert SEEDS.convert("0, 7", None, None) == (0, 7)
