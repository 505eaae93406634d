"""Decide which language of an mteb subset is the query's. mteb's order is not uniform, so every task was reviewed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clear_bench.errors import UsageError
from clear_bench.languages import canonical
from clear_bench.types import LanguagePair

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata


@dataclass(frozen=True, slots=True)
class Review:
    """The facts about one cross-lingual task, and where they were found."""

    first: Literal["query", "passage"]
    """The side of the first language of `eval_langs`."""
    texts: Literal["shared", "by language", "by subset"]
    """Whether the subsets of a language share their texts: all, those with the same other language, or none."""
    evidence: str


_ISSUES = Review("query", "shared", "description: issue localisation, from an issue in English to source files")

REVIEWS = {
    "BelebeleRetrieval": Review("passage", "shared", "load_data: `lang_corpus, lang_question = languages`"),
    "MLQARetrieval": Review(
        "passage", "by subset", "statistics: zho-eng has the passages of zho-zho; zho-ara has 1,718 of their 4,546"
    ),
    "XPQARetrieval": Review(
        "passage", "by language", "statistics: eng-ara has the queries of ara-ara, over passages put into English"
    ),
    "CUREv1": Review("query", "shared", "load_data: queries by subset, one English corpus for all"),
    "CrossLingualSemanticDiscriminationWMT19": Review(
        "query", "shared", "load_data of mteb 1.12, before the conversion: query is `Source`, passages are `Target...`"
    ),
    "CrossLingualSemanticDiscriminationWMT21": Review("query", "shared", "as for WMT19"),
    "mFollowIRCrossLingual": Review("query", "by language", "description: English queries; a collection a language"),
    "AppsRetrieval": Review("query", "shared", "description: natural-language queries, code snippets"),
    "CosQA": Review("query", "shared", "description: natural-language queries, code snippets"),
    "DS1000Retrieval": Review("query", "shared", "description: problem descriptions, Python implementations"),
    "HumanEvalRetrieval": Review("query", "shared", "description: problem descriptions, Python implementations"),
    "MBPPRetrieval": Review("query", "shared", "description: problem descriptions, Python implementations"),
    "SWEbenchCodeRetrieval": Review("query", "shared", "description: issues in English, Python source files"),
    "SyntheticText2SQL": Review("query", "shared", "description: natural-language queries, SQL snippets"),
    "WikiSQLRetrieval": Review("query", "shared", "description: natural-language questions, SQL statements"),
    "MultiSWEbenchRR": _ISSUES,
    "SWEPolyBenchRR": _ISSUES,
    "SWEbenchLiteRR": _ISSUES,
    "SWEbenchMultilingualRR": _ISSUES,
    "SWEbenchVerifiedRR": _ISSUES,
}
"""Every text retrieval task of mteb 2.26 with two languages in a subset, where their order is known."""

NORWEGIAN = {"nor-Latn", "nob-Latn", "nno-Latn"}
MIXED = "mixed"
"""The language side of a subset that mixes three or more languages."""


def subset_pairs(metadata: TaskMetadata) -> dict[str, LanguagePair]:
    """Return the language pair of every subset of a task, query language first.

    Raise `UsageError` for two languages whose order is not in `REVIEWS`: a guess could swap the results.
    """
    languages = metadata.eval_langs
    subsets = languages if isinstance(languages, dict) else {"default": languages}
    return {subset: language_pair(metadata.name, subset, codes) for subset, codes in subsets.items()}


def language_pair(name: str, subset: str, codes: Sequence[str]) -> LanguagePair:
    """Return the pair of one subset from its languages in mteb's order; see `subset_pairs`."""
    sides = list(dict.fromkeys(map(_side, codes)))
    if set(codes) <= NORWEGIAN:
        sides = [canonical("nob-Latn")]
    if len(sides) != 2:
        side = sides[0] if len(sides) == 1 else MIXED
        return LanguagePair(side, side)
    if name not in REVIEWS:
        msg = (
            f"mteb:{name} has two languages in subset {subset!r} ({', '.join(codes)}), and nobody has settled which of "
            "them is the queries' yet; look at its loader and add a row to REVIEWS in mteb_bridge/directions.py"
        )
        raise UsageError(msg)
    return LanguagePair(*(sides if REVIEWS[name].first == "query" else sides[::-1]))


def _side(code: str) -> str:
    """Return the canonical code of a language; a programming language keeps mteb's spelling."""
    try:
        return canonical(code)
    except UsageError:
        return code
