"""What a gate leaves behind for a CI system: JUnit XML, a badge, GitHub's step summary, outputs and annotations.

Names of tasks and metrics come from files of strangers; each writer escapes them for its format.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clear_bench.console import command
from clear_bench.disk import disk_faults, write_text
from clear_bench.gate import Check, overall
from clear_bench.render import escape

COLOURS = {"PASS": "#2e7d32", "FAIL": "#c62828", "INCONCLUSIVE": "#b26a00"}
"""Dark enough for white text (contrast 4.5 and more)."""


def write_files(checks: Sequence[Check], junit_path: Path | None, badge_path: Path | None) -> None:
    """Write the files that were asked for."""
    if junit_path:
        write_text(junit_path, junit(checks))
    if badge_path:
        write_text(badge_path, badge(checks))


def announce(checks: Sequence[Check]) -> None:
    """Tell GitHub Actions, where this runs there: the summary and outputs to its files, annotations to stderr.

    Raises `EnvironmentFault` where one of the files cannot be written.
    """
    for variable, text in (("GITHUB_STEP_SUMMARY", summary(checks)), ("GITHUB_OUTPUT", outputs(checks))):
        if path := os.environ.get(variable):
            with disk_faults(Path(path)), open(path, "a", encoding="utf-8") as file:
                file.write(text)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in workflow_commands(checks):
            command(line)


def junit(checks: Sequence[Check]) -> str:
    """Write JUnit XML: a test case for each check, failed unless it passed."""
    failures = sum(one.verdict != "PASS" for one in checks)
    cases = "".join(_case(one) for one in checks)
    suite = f'<testsuite name="clear-bench gate" tests="{len(checks)}" failures="{failures}" errors="0" skipped="0">'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{suite}\n{cases}</testsuite>\n</testsuites>\n'


def badge(checks: Sequence[Check]) -> str:
    """Draw the verdict as a flat badge."""
    verdict, label = overall(checks), "English gate" if _is_english(checks) else "gate"
    texts = (label, verdict.lower())
    # Verdana at 11 px is about 6.8 px a letter; textLength makes every font fit.
    left, right = (10 + round(6.8 * len(text)) for text in texts)
    spans = zip(texts, (left / 2, left + right / 2), (left, right), strict=True)
    words = "".join(
        f'<text x="{middle:g}" y="14" textLength="{width - 10}">{escape.xml(text)}</text>'
        for text, middle, width in spans
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{escape.xml(": ".join(texts))}"><title>{escape.xml(checks[0].reason)}</title>'
        f'<rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{COLOURS[verdict]}"/>'
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{words}</g>'
        "</svg>\n"
    )


def summary(checks: Sequence[Check]) -> str:
    """Write GitHub's step summary in Markdown: the sentences, then the numbers."""
    from clear_bench.render.numbers import bounds, count, signed
    from clear_bench.render.tables import Table
    from clear_bench.render.writers import markdown

    table = Table(
        title="",
        columns=("check", "metric", "change", "one-sided 95 % bounds", "margin", "queries", "clusters", "verdict"),
        rows=tuple(
            (
                f"{one.task} {one.query_language}:{one.passage_language}",
                one.metric,
                signed(one.delta),
                bounds(one.lower, one.upper, sign=True),
                f"{100 * one.margin:g}",
                count(one.n_queries),
                count(one.n_clusters),
                one.verdict,
            )
            for one in checks
        ),
        left=frozenset({0, 1, 7}),
    )
    reasons = "\n".join(f"- {escape.markdown(one.reason)}" for one in checks)
    return f"### Gate: {overall(checks)}\n\n{reasons}\n\n{markdown(table, level=0)}\n"


def outputs(checks: Sequence[Check]) -> str:
    """Write the outputs of a GitHub step: the verdict, the first check's numbers, all reasons on one line."""
    first = checks[0]
    values = {
        "verdict": overall(checks),
        "delta": repr(first.delta),
        "lower": "" if first.lower is None else repr(first.lower),
        "upper": "" if first.upper is None else repr(first.upper),
        "reason": escape.printable(" | ".join(one.reason for one in checks)),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def workflow_commands(checks: Sequence[Check]) -> list[str]:
    """Write one workflow command for each check that did not pass."""
    return [
        f"::error title={escape.workflow_property(f'Gate {one.task}: {one.verdict}')}::{escape.workflow(one.reason)}"
        for one in checks
        if one.verdict != "PASS"
    ]


def _case(one: Check) -> str:
    name = escape.xml(f"{one.query_language}:{one.passage_language} {one.metric}")
    head = f'<testcase classname="{escape.xml(one.task)}" name="{name}"'
    if one.verdict == "PASS":
        return f"{head}><system-out>{escape.xml(one.reason)}</system-out></testcase>\n"
    reason = escape.xml(one.reason)
    return f'{head}><failure type="{one.verdict}" message="{reason}">{reason}</failure></testcase>\n'


def _is_english(checks: Sequence[Check]) -> bool:
    return all(one.query_language == one.passage_language == "eng-Latn" for one in checks)
