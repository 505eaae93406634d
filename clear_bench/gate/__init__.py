"""Judge a comparison against a margin: non-inferiority by one-sided bounds, with the reason of each verdict."""

from __future__ import annotations

from clear_bench.gate.plan import Resolution, margin_plan, margin_plan_document
from clear_bench.gate.rules import ENGLISH_PAIR, MARGIN, Rule, choose_pairs, read_rules, refuse_unusable
from clear_bench.gate.verdict import Check, Verdict, check, document, judge, overall

__all__ = [
    "ENGLISH_PAIR",
    "MARGIN",
    "Check",
    "Resolution",
    "Rule",
    "Verdict",
    "check",
    "choose_pairs",
    "document",
    "judge",
    "margin_plan",
    "margin_plan_document",
    "overall",
    "read_rules",
    "refuse_unusable",
]
