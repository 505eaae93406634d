"""Metrics that judge a hit by its text: whether it holds a gold answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clear_bench.metrics.tokenize import simple, treebank

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AnswerHits:
    """Ranked hits with their texts, and the gold answers of each query."""

    texts: Sequence[str]
    """Distinct passages, [t]."""
    hits: NDArray[np.integer]
    """Rows of `texts` in rank order, [q, depth]; -1 where there is no hit."""
    answers: Sequence[Sequence[str]]
    """Gold answers of each query, [q]; a blank one judges nothing and is ignored."""
    joined: dict[tuple[Callable[[str], list[str]], int], str] = field(default_factory=dict, repr=False)
    """Cache of tokenised passages, for those that several queries or metrics meet."""

    def ranked(self, query: int, k: int | None) -> list[int]:
        """Return the rows of the first k hits of a query."""
        return [row for row in self.hits[query, :k].tolist() if row >= 0]

    def words(self, row: int, tokenise: Callable[[str], list[str]]) -> str:
        """Return a passage as its tokens joined by blanks."""
        key = (tokenise, row)
        if key not in self.joined:
            self.joined[key] = " ".join(tokenise(self.texts[row]))
        return self.joined[key]


def recall_in_tokens(hits: AnswerHits, k: int) -> Values:
    """Return whether a gold answer is a substring of the first k * 1000 tokens of the ranked passages.

    XOR-Retrieve's R@kt (Asai et al. 2021, arXiv 2010.11856, `eval_xor_retrieve.py`): the passages' words are joined by
    blanks, case counts, and the gold answers "yes" and "no" are dropped. A query with no answer left is NaN.

    >>> hits = AnswerHits(["It is in Oslo."], np.array([[0], [0], [-1]]), [["yes", "Oslo"], ["no"], ["Oslo"]])
    >>> recall_in_tokens(hits, 2)
    array([ 1., nan,  0.])
    """
    values = np.full(len(hits.answers), np.nan)
    for query, answers in enumerate(hits.answers):
        spans = [answer for answer in answers if answer.strip() and answer not in ("yes", "no")]
        if spans:
            text = " ".join(_first_tokens(hits, query, k * 1000))
            values[query] = any(span in text for span in spans)
    return values


def short_of_tokens(hits: AnswerHits, k: int) -> int:
    """Count the queries whose ranking is full but holds fewer than k * 1000 tokens."""
    full = np.flatnonzero((hits.hits >= 0).all(axis=1))
    return sum(len(_first_tokens(hits, query, k * 1000)) < k * 1000 for query in full.tolist())


def answer_recall(hits: AnswerHits, k: int) -> Values:
    """Return whether one of the first k passages holds a gold answer as a sequence of tokens.

    `has_answer` of DPR (Karpukhin et al. 2020, arXiv 2004.04906) and Contriever, by which MKQA is judged: NFD, lower
    case, tokens compared whole. A query without answers is NaN.

    >>> answer_recall(AnswerHits(["Born in São Paulo."], np.array([[0], [0]]), [["são paulo"], ["Paul"]]), 20)
    array([1., 0.])
    """
    values = np.full(len(hits.answers), np.nan)
    for query, answers in enumerate(hits.answers):
        phrases = [tokens for tokens in map(simple, answers) if tokens]
        if phrases:
            values[query] = any(_holds(hits, row, phrases) for row in hits.ranked(query, k))
    return values


def _holds(hits: AnswerHits, row: int, phrases: list[list[str]]) -> bool:
    # Most passages lack the longest token of every answer; looking for it costs a fraction of tokenising the passage.
    text = unicodedata.normalize("NFD", hits.texts[row]).casefold()
    likely = [phrase for phrase in phrases if max(phrase, key=len).casefold() in text]
    return bool(likely) and any(f" {' '.join(phrase)} " in f" {hits.words(row, simple)} " for phrase in likely)


def _first_tokens(hits: AnswerHits, query: int, budget: int) -> list[str]:
    tokens: list[str] = []
    for row in hits.ranked(query, None):
        tokens += hits.words(row, treebank).split()
        if len(tokens) >= budget:
            break
    return tokens[:budget]
