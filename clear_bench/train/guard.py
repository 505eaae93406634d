"""Keeps evaluation passages out of training: equal texts, and texts that share most of their word 5-grams."""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from clear_bench.errors import InputError
from clear_bench.train.files import place_texts
from clear_bench.train.parts import DataPart
from clear_bench.train.rows import Rows

WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
"""Words; scripts without spaces count by character."""
SHINGLE = 5


@dataclass(frozen=True, slots=True)
class Leak:
    """A training passage that occurs in an evaluation corpus."""

    text: str
    where: str
    share: float


def guard(rows: Rows, data: DataPart) -> Rows:
    """Return the rows whose passages do not occur in the evaluation corpora of `data.not_in`.

    Raises `InputError` where there are others, unless `data.drop_leaks` says to drop and count them.
    """
    if not data.not_in:
        return rows
    columns = [*rows.of("positive"), *rows.of("negative"), *rows.of("bridge")]
    passages = list(dict.fromkeys(text for column in columns for text in column))
    evaluation = (found for place in data.not_in for found in place_texts(place, ("corpus",), "data.not_in"))
    leaks = find_leaks(passages, evaluation, data.near_duplicate)
    if leaks and not data.drop_leaks:
        first = leaks[0]
        msg = (
            f"{len(leaks)} of {len(passages)} training passages occur in the evaluation data, as {first.where} "
            f"({first.share:.0%} of the 5-grams): {first.text[:80]!r}; set data.drop_leaks = true to train without them"
        )
        raise InputError(msg)
    leaked = {leak.text for leak in leaks}
    clean = [all(column[i] not in leaked for column in columns) for i in range(len(rows))]
    return rows.keep(clean, "passage in the evaluation data")


def find_leaks(passages: Iterable[str], evaluation: Iterable[tuple[str, str]], threshold: float) -> list[Leak]:
    """Return the training passages that occur in the evaluation passages (name, text), which are streamed.

    The share is the number of common 5-grams over that of the shorter text, so an excerpt is found, too. Texts of fewer
    than five words must be equal.
    """
    texts = list(passages)
    sizes: list[int] = []
    holders: dict[int, list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        grams = shingles(text)
        sizes.append(len(grams))
        for gram in grams:
            holders[gram].append(number)
    found: dict[int, Leak] = {}
    for name, text in evaluation:
        grams = shingles(text)
        common = Counter(number for gram in grams for number in holders.get(gram, ()))
        for number, count in common.items():
            share = count / min(sizes[number], len(grams))
            if share >= threshold and share > (found[number].share if number in found else 0):
                found[number] = Leak(texts[number], name, share)
    return [found[number] for number in sorted(found)]


def shingles(text: str) -> set[int]:
    """Return hashes of the word 5-grams of a text without case and punctuation; a shorter text is one gram."""
    words = WORDS.findall(text.lower())
    if len(words) < SHINGLE:
        return {zlib.crc32(("short " + " ".join(words)).encode())} if words else set()
    spans = range(len(words) - SHINGLE + 1)
    return {zlib.crc32(" ".join(words[i : i + SHINGLE]).encode()) for i in spans}
