"""Leaderboards rendered from checked results alone, and the files that they stand in."""

from __future__ import annotations

from clear_bench.leaderboard.board import boards
from clear_bench.leaderboard.files import leftovers, outdated, refuse_foreign
from clear_bench.leaderboard.questions import bands, refuse_unfit
from clear_bench.leaderboard.references import REFERENCES, Reference, read_references

__all__ = [
    "REFERENCES",
    "Reference",
    "bands",
    "boards",
    "leftovers",
    "outdated",
    "read_references",
    "refuse_foreign",
    "refuse_unfit",
]
