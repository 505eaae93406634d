"""The command line: a table of commands, loaded when called, and one place where errors become exit codes."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys

import click

from clear_bench import console
from clear_bench.documents import is_text
from clear_bench.errors import UsageError
from clear_bench.registry import load, unknown

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("clear_bench.cli.run:run", "Evaluate a checkpoint on language pairs."),
    "estimate": ("clear_bench.cli.estimate:estimate", "Estimate the disk, memory and time of a run."),
    "compare": ("clear_bench.cli.compare:compare", "Show what a candidate gained or lost, with significance."),
    "inspect": ("clear_bench.cli.inspect:inspect", "Show the queries behind a score or a difference."),
    "gate": ("clear_bench.cli.gate:gate", "Fail when English (or another pair set) got worse."),
    "gate-plan": ("clear_bench.cli.gate:gate_plan", "Show which margin the English queries can resolve."),
    "baseline": ("clear_bench.cli.baseline:baseline", "Accept, show or diff committed baselines."),
    "report": ("clear_bench.cli.report:report", "Write results as Markdown, HTML, LaTeX, CSV or JSON."),
    "leaderboard": ("clear_bench.cli.leaderboard:leaderboard", "Render leaderboards from checked results."),
    "geometry": ("clear_bench.cli.geometry:geometry", "Measure how near languages lie in a model's space."),
    "train": ("clear_bench.cli.train:train", "Train a checkpoint from a recipe."),
    "sweep": ("clear_bench.cli.sweep:sweep", "Compare training losses on identical batches."),
    "merge": ("clear_bench.cli.merge:merge", "Interpolate two checkpoints and show the English trade-off."),
    "fetch": ("clear_bench.cli.fetch:fetch", "Download, check and convert benchmarks ahead of a run."),
    "list": ("clear_bench.cli.listing:list_", "Show tasks, languages, pairs, metrics, models, losses or recipes."),
    "export": ("clear_bench.cli.export:export", "Write a stored run for other tools."),
    "import": ("clear_bench.cli.import_:import_", "Turn results of mteb and TREC runs into results to compare with."),
    "verify": ("clear_bench.cli.verify:verify", "Check a result's files and recompute its metrics."),
    "doctor": ("clear_bench.cli.doctor:doctor", "Show what this machine can run and what is missing."),
    "cache": ("clear_bench.cli.cache:cache", "List, verify or prune cached embeddings."),
    "schema": ("clear_bench.cli.schema:schema", "Print the JSON Schema of an output."),
}
"""Name -> (where the command is, one line of help). The order is the order of `--help`."""


class LazyGroup(click.Group):
    """Lists commands from the table, so that `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = load(COMMANDS[cmd_name][0])
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(unknown("command", args[0], COMMANDS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from clear_bench import __version__

        console.say(f"clear-bench {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Version.")
@click.option("-v", "--verbose", is_flag=True, help="Log what is done, not only warnings.")
@click.option("-q", "--quiet", is_flag=True, help="Log errors only.")
def cli(verbose: bool, quiet: bool) -> None:
    """Evaluate multilingual embedding models across language pairs, with error bars."""
    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    console.open_log()
    logging.getLogger("clear_bench").setLevel(level)
    _refuse_unknown_variables()


def _refuse_unknown_variables() -> None:
    """Refuse a mistyped `CLEAR_BENCH_*`; only where there is another one than the usual one are all commands loaded."""
    given = [name for name in os.environ if name.startswith("CLEAR_BENCH_") and name != "CLEAR_BENCH_CACHE"]
    if given:
        from clear_bench.cli.options import refuse_unknown_variables

        commands = (load(where) for where, _ in COMMANDS.values())
        refuse_unknown_variables(given, [one for one in commands if isinstance(one, click.Command)])


def main(args: list[str] | None = None) -> None:
    """Run the command line and end the process with DESIGN's exit codes: the entry point of `clear-bench`."""
    sys.exit(invoke(args, is_whole_process=True))


def invoke(args: list[str] | None = None, *, is_whole_process: bool = False) -> int:
    """Run one command line in this process and return its exit code.

    Where nothing else runs in this process, a command may go on in a child of it.
    """
    # A job scheduler ends work with SIGTERM: treat it like Ctrl-C, with its own code.
    terminated: list[int] = []
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:

        def on_term(number: int, _frame: object) -> None:
            terminated.append(number)
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, on_term)
    try:
        console.open_streams()
        code = _run(sys.argv[1:] if args is None else args, is_whole_process)
    except BaseException as error:  # every end has its exit code
        code, sentence = ending(error)
        console.note(sentence) if sentence else None
        code = 143 if code == 130 and terminated else code
    return console.close_streams(code)


def _run(args: list[str], is_whole_process: bool) -> int:
    """Run a command line as click's `main` does, which takes a closed pipe for 1 and the end of a file for Ctrl-C."""
    if strange := [text for text in args if not is_text(text)]:
        raise UsageError(f"{strange[0]!r} is not text in UTF-8, and would stand in results; rename what it names")
    if "_CLEAR_BENCH_COMPLETE" in os.environ:  # a shell asks what could stand next
        cli.main(args, prog_name="clear-bench")
    with cli.make_context("clear-bench", list(args), obj=is_whole_process) as ctx:
        done = cli.invoke(ctx)
    return done if isinstance(done, int) else 0


def ending(error: BaseException) -> tuple[int, str]:
    """Return the exit code of what ended a command, and what to say about it."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code, ""
    if isinstance(error, click.ClickException):
        message = io.StringIO()
        error.show(message)
        return error.exit_code, message.getvalue().rstrip("\n")
    return console.ending(error)
