"""A command that torchrun can start: rank 0 runs it, the other ranks work for it and end with its exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from clear_bench.cli import ending
from clear_bench.cli.options import Command
from clear_bench.cli.supervise import supervise

if TYPE_CHECKING:
    from clear_bench.cluster.ranks import Ranks


class Led(Command):
    """A command whose callback gets `ranks`: the processes that torchrun has started beside this one, or None."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:  # Any: click's own settings
        """Read the command line on rank 0 only, so that what is wrong with it is said once."""
        rank = _rank()
        if rank is None:
            return super().make_context(info_name, args, parent, **extra)
        if rank > 0:
            return click.Context(self, info_name=info_name, parent=parent)
        from clear_bench.cluster.ranks import leading

        with ExitStack() as stack:
            ranks = stack.enter_context(leading())
            with _dismissing(ranks):
                ctx = super().make_context(info_name, args, parent, **extra)
            ctx.params["ranks"] = ranks
            ctx.call_on_close(stack.pop_all().close)
        return ctx

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, or work for rank 0."""
        if _rank():
            from clear_bench.cluster.ranks import follow

            return follow()
        ranks = ctx.params.setdefault("ranks", None)
        if ranks is None:
            on_ray = ctx.params.get("engine") == "ray" and ctx.find_root().obj
            code = supervise() if on_ray else None
            return super().invoke(ctx) if code is None else code
        with _dismissing(ranks):
            done = super().invoke(ctx)
        ranks.dismiss(0)
        return done


def _rank() -> int | None:
    """Return torchrun's rank of this process, or None; without it nothing heavy is imported."""
    if "RANK" not in os.environ:
        return None
    from clear_bench.cluster.ranks import rank_here

    return rank_here()


@contextmanager
def _dismissing(ranks: Ranks) -> Iterator[None]:
    """Tell the other ranks when this one ends with an exit code other than 0."""
    try:
        yield
    except Exception as error:
        ranks.dismiss(ending(error)[0])
        raise
