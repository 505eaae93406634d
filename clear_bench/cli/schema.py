"""`clear-bench schema`: the JSON Schema of every machine-readable output."""

from __future__ import annotations

from importlib.resources import files

import click

from clear_bench.cli.options import Strict
from clear_bench.console import say, write_document
from clear_bench.registry import lookup


@click.command(cls=Strict)
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Print the JSON Schema of an output: run, gate, compare, result ...; without a name, list them."""
    known = {path.name.removesuffix(".json"): path for path in files("clear_bench").joinpath("schemas").iterdir()}
    if name is None:
        say("\n".join(sorted(known)))
        return
    wanted = name.removeprefix("clear-bench/").split("/")[0]
    write_document(lookup(known, wanted, "schema").read_text(encoding="utf-8"), "json")
