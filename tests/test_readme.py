"""The documents are true: the file tree, links, names of code and files, and the commands with their options."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from clear_bench.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(path for path in ROOT.glob("[!.]*/**/*.md") if "results" not in path.parts) + sorted(
    ROOT.glob("*.md")
)
WRITTEN = [path for path in DOCUMENTS if "leaderboards" not in path.parts and path.name != "CHANGELOG.md"]
"""Documents about the code as it is: boards are rendered, and the change log tells of names that are gone."""
FOLDERS = ("action", "benchmarks", "clear_bench", "docs", "leaderboards", "recipes", "tasks", "tests")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_paths() -> list[Path]:
    block = README.split("## The file tree")[1].split("```")[1]
    paths = []
    for line in filter(None, block.splitlines()):
        names = re.split(r"\s{2,}", line.strip())[0].split()
        parent = ROOT / "clear_bench" if line.startswith("  ") else ROOT
        paths += [parent / name for name in names]
    return paths


def quoted(document: Path) -> list[str]:
    """What stands in backticks, outside of blocks of code."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def command_lines(document: Path) -> list[str]:
    """What calls clear-bench: lines of the document's blocks of code, and what stands in backticks."""
    lines = document.read_text(encoding="utf-8").splitlines()
    called = [line.strip() for line in lines if re.match(r"(?: {4}|- run: )", line)] + quoted(document)
    starts = r"(?:torchrun .* -m clear_bench|python -m clear_bench|(?<![\w./-])clear-bench) (?=[a-z-])"
    return [re.split(starts, line, maxsplit=1)[1] for line in called if re.match(starts, line)]


def unknown_in(line: str) -> Iterator[str]:
    """What a command line names that the command does not have."""
    command: click.Command = cli
    for word in shlex.split(line.split("#")[0].replace("...", "").split(" | ")[0].split(" > ")[0]):
        context = click.Context(command)
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(context, word)
            if found is None:
                yield word
                return
            command = found
        elif word.startswith("-") and not re.match(r"-\d", word):
            options = {name for parameter in command.get_params(context) for name in parameter.opts}
            if word.split("=")[0] not in options:
                yield word


def exists(name: str) -> bool:
    """Whether a dotted name of the package can be imported: a module, or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def test_every_path_of_the_file_tree_exists() -> None:
    assert [str(path) for path in tree_paths() if not path.exists()] == []


def test_file_tree_leaves_out_no_module_of_the_package() -> None:
    package = ROOT / "clear_bench"
    named = {path.name for path in tree_paths() if path.parent == package}
    there = {p.name for p in package.iterdir() if p.suffix == ".py" or (p.is_dir() and any(p.glob("*.*")))}
    assert there - named - {"__init__.py", "__main__.py", "__pycache__", "cards"} == set()


def test_commands_of_the_readme_exist() -> None:
    named = set(re.findall(r"^ {4}clear-bench ([a-z-]+)", README, flags=re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_relative_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)\s#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_into_a_document_name_one_of_its_headings(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:)([^)\s#]*)#([^)\s]+)", document.read_text(encoding="utf-8"))
    targets = [(document.parent / path if path else document, anchor) for path, anchor in links]
    assert [anchor for path, anchor in targets if anchor not in anchors(path)] == []


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to headings: lower case, words joined by hyphens, other signs left out."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", WRITTEN, ids=name_of)
def test_names_of_the_package_exist(document: Path) -> None:
    found = [match[0] for text in quoted(document) if (match := re.match(r"clear_bench(?:\.\w+)+", text))]
    assert [name for name in found if not exists(name)] == []


@pytest.mark.parametrize("document", WRITTEN, ids=name_of)
def test_paths_of_the_repository_exist(document: Path) -> None:
    """Names in capitals stand for any name, and braces for several."""
    start = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]+$")
    found = [one for text in quoted(document) for one in alternatives(text) if start.match(one)]
    assert [path for path in found if not re.search(r"[A-Z]{3}", path) and not list(ROOT.glob(path))] == []


def alternatives(text: str) -> list[str]:
    found = re.fullmatch(r"(.*)\{([\w,]+)\}(.*)", text)
    return [found[1] + one + found[3] for one in found[2].split(",")] if found else [text]


@pytest.mark.parametrize("document", WRITTEN, ids=name_of)
def test_commands_and_their_options_exist(document: Path) -> None:
    wrong = {line: words for line in command_lines(document) if (words := list(unknown_in(line)))}
    assert wrong == {}


def test_options_in_prose_are_options_of_some_command() -> None:
    parameters = [one for command in commands(cli) for one in command.get_params(click.Context(command))]
    options = {name for parameter in parameters for name in parameter.opts}
    words = {(path.name, word) for path in WRITTEN for text in quoted(path) for word in re.findall(r"^--[a-z-]+", text)}
    assert sorted((path, word) for path, word in words if word not in options) == []


def commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from commands(found)


def test_rooms_of_the_map_are_those_of_the_rule() -> None:
    from test_architecture import ROOMS

    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## The rooms")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == ROOMS
