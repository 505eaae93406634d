"""Language pairs, and the column of the result table that each belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

ENGLISH = "eng-Latn"

PairKind = Literal["english", "monolingual", "x-en", "en-x", "direct", "pool"]


@dataclass(frozen=True, slots=True, order=True)
class LanguagePair:
    """A query language and a passage language (or the name of a pool), in that order.

    >>> str(LanguagePair("deu-Latn", "eng-Latn")), LanguagePair("deu-Latn", "eng-Latn").kind
    ('deu-Latn:eng-Latn', 'x-en')
    """

    query: str
    passage: str

    def __str__(self) -> str:
        return f"{self.query}:{self.passage}"

    @property
    def is_pool(self) -> bool:
        """Whether the passage side mixes languages: the name of a pool is not a language code."""
        return not re.fullmatch(r"[a-z]{3}-[A-Z][a-z]{3}", self.passage)

    @property
    def kind(self) -> PairKind:
        """The column of the result table that this pair belongs to."""
        if self.is_pool:
            return "pool"
        if self.query == self.passage:
            return "english" if self.query == ENGLISH else "monolingual"
        if self.passage == ENGLISH:
            return "x-en"
        return "en-x" if self.query == ENGLISH else "direct"
