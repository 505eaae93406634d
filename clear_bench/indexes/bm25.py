"""BM25 over positions: texts become terms, the library bm25s weighs them, a sparse product adds them up.

Terms are words, or overlapping pairs of characters where a script sets no spaces between words.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import MissingExtraError
from clear_bench.indexes.rows import Hits

if TYPE_CHECKING:
    from scipy.sparse import csr_array

K1, B = 0.9, 0.4
"""Anserini's defaults, with which the published BM25 rows of MIRACL, Mr.TyDi and CIRAL were made."""

_ENTRIES = 2**24
"""Similarities that one block of queries may give."""
UNSPACED = {
    "Thai": (0x0E00, 0x0E7F),
    "Lao": (0x0E80, 0x0EFF),
    "Myanmar": (0x1000, 0x109F),
    "Khmer": (0x1780, 0x17FF),
    "kana": (0x3040, 0x31FF),
    "Han": (0x3400, 0x9FFF),
    "Hangul": (0xAC00, 0xD7AF),
    "Han, compatibility forms": (0xF900, 0xFAFF),
    "Han, rare": (0x20000, 0x323AF),
}
"""Scripts without spaces between words, and Hangul, where particles stick to words: first and last character.

Tibetan is not here: it has a mark after every syllable, and syllables are its terms.
"""

_JOINERS = dict.fromkeys((0x200C, 0x200D))
_DOTTED_I = "i\u0307"
"""What case folding makes of the Turkish capital I with a dot."""
_LATER_MARKS = "\U000e0100-\U000e01ef"
"""Selectors of Han variants: the only marks beyond the second plane."""


class BM25:
    """An index of texts. Passages that share a term with the query are its hits; their similarities are above 0."""

    def __init__(self, texts: Iterable[str], k1: float = K1, b: float = B) -> None:
        """Count the terms of passages, in position order."""
        self._vocabulary: dict[str, int] = {}
        number = self._vocabulary.setdefault
        passages = [[number(term, len(self._vocabulary)) for term in terms(text)] for text in texts]
        # A text of punctuation alone has no term; where no passage has one, there is nothing to weigh.
        self._weights = _weigh(passages, len(self._vocabulary), k1, b) if self._vocabulary else None

    def search(self, queries: Sequence[str]) -> Iterator[Hits]:
        """Yield the hits of each query, all of them and in no order: similarities and positions.

        A similarity depends on the query and on what the corpus holds, never on its order.
        """
        if self._weights is None:
            yield from [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(queries)
            return
        passages = np.diff(self._weights.indptr)
        for block in _blocks([self._known(query) for query in queries], passages):
            yield from _add_up(block, self._weights)

    def _known(self, query: str) -> dict[int, int]:
        # In the order of the terms, so that sums do not depend on the order in which the corpus brought them.
        counts = sorted(Counter(terms(query)).items())
        return {self._vocabulary[term]: count for term, count in counts if term in self._vocabulary}


def _weigh(passages: list[list[int]], n_terms: int, k1: float, b: float) -> csr_array:
    """Compute what each term adds to a passage's similarity, [terms, passages]."""
    try:
        import bm25s
    except ModuleNotFoundError as error:
        if error.name != "bm25s":
            raise
        raise MissingExtraError("bm25s", "cpu") from None
    from scipy.sparse import csr_array

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # the library asks for its debug messages
    model = bm25s.BM25(k1=k1, b=b, method="lucene", dtype="float64", csc_backend="scipy")
    made = model.build_index_from_ids(range(n_terms), passages, show_progress=False)
    return csr_array((made["data"], made["indices"], made["indptr"]), shape=(n_terms, len(passages)))


def _blocks(queries: Sequence[dict[int, int]], passages: NDArray[np.int32]) -> Iterator[list[dict[int, int]]]:
    """Cut queries into blocks whose terms occur in a bounded number of passages."""
    block: list[dict[int, int]] = []
    size = 0
    for query in queries:
        added = int(passages[list(query)].sum())
        if block and size + added > _ENTRIES:
            yield block
            block, size = [], 0
        block.append(query)
        size += added
    if block:
        yield block


def _add_up(queries: Sequence[dict[int, int]], weights: csr_array) -> Iterator[Hits]:
    from scipy.sparse import csr_array

    counts = np.array([count for query in queries for count in query.values()], dtype=np.float64)
    columns = np.array([term for query in queries for term in query], dtype=np.int32)
    starts = np.cumsum([0, *map(len, queries)])
    sums = csr_array((counts, columns, starts), shape=(len(queries), weights.shape[0])) @ weights
    similarities, positions = sums.data.astype(np.float32), sums.indices.astype(np.int64)
    for start, end in zip(sums.indptr[:-1], sums.indptr[1:], strict=True):
        yield similarities[start:end], positions[start:end]


def terms(text: str) -> list[str]:
    """Split a text into terms, in order: compatibility forms unified, case folded, nothing stemmed or left out.

    A run of an `UNSPACED` script becomes its overlapping pairs of characters, as in Lucene's CJK analysis. A character
    keeps its vowel signs and tone marks: so Thai needs no dictionary to reach what one finds, and Chinese none either.

    >>> terms("Straße 12, 東京都")
    ['strasse', '12', '東京', '京都']
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace(_DOTTED_I, "i").translate(_JOINERS)
    spaced, unspaced, character = _patterns()
    if unspaced.search(folded) is None:
        return spaced.findall(folded)
    found: list[str] = []
    for run in unspaced.split(folded):
        found += _pairs(character.findall(run)) if unspaced.match(run) else spaced.findall(run)
    return found


def _pairs(characters: list[str]) -> list[str]:
    return ["".join(characters[i : i + 2]) for i in range(max(1, len(characters) - 1))]


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Compile what a word is, a run of unspaced characters (kept by `split`), and one such character with its marks."""
    # Python's \w has no marks, without which most words of India fall apart.
    marks = _class(code for code in range(0x300, 0x20000) if _kind(code) == "M") + _LATER_MARKS
    codes = (code for first, last in UNSPACED.values() for code in range(first, last + 1))
    letters = _class(code for code in codes if _kind(code) in "LN")
    word = rf"[^\W_{letters}]"
    return (
        re.compile(rf"{word}(?:{word}|[{marks}])*"),
        re.compile(rf"([{letters}][{letters}{marks}]*)"),
        re.compile(rf"[{letters}][{marks}]*"),
    )


def _kind(code: int) -> str:
    return unicodedata.category(chr(code))[0]


def _class(codes: Iterable[int]) -> str:
    """Write ascending characters as ranges of a regular expression's character class."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
