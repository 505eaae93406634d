"""Use vectors that were computed elsewhere instead of a model.

    DIR/queries/<language>.npy      [queries, d], rows in the order of the collection's ids
    DIR/passages/<language>.npy     [passages, d]
    DIR/queries/<language>.ids.txt  optional, likewise for passages: one id a line, checked against the collection
    DIR/vectors.json                optional: name, similarity ("cosine", "dot"), licence, trained_on (list of names)

Languages in any spelling (`de`, `deu`, `deu-Latn`, `deu_Latn`); float32 or float16.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_bench import languages
from clear_bench.disk import sha256_file
from clear_bench.documents import digest_of
from clear_bench.errors import CheckpointError, UsageError
from clear_bench.json_schema import violation
from clear_bench.models.checkpoint import known_similarity, truncated
from clear_bench.models.layout import read_optional, strings_in
from clear_bench.models.rows import Advance, EncodedRows
from clear_bench.registry import refuse_unknown_keys
from clear_bench.store.npy import open_npy
from clear_bench.types import Checkpoint, Side, Texts

FOLDERS: Mapping[Side, str] = {"query": "queries", "passage": "passages"}
ABOUT = "vectors.json"
_ABOUT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "licence": {"type": ["string", "null"]},
        "trained_on": {"type": ["array", "null"], "items": {"type": "string"}},
    },
}


def open_vectors(folder: Path, *, name: str | None = None, truncate_dim: int | None = None) -> Checkpoint:
    """Fingerprint a folder of vectors. Raise `CheckpointError` when it does not have the layout above."""
    about = read_optional(folder / ABOUT)
    refuse_unknown_keys(about, ("name", "similarity", "licence", "trained_on"), str(folder / ABOUT), CheckpointError)
    if problem := violation(about, _ABOUT, str(folder / ABOUT)):
        raise CheckpointError(problem)
    similarity = known_similarity(about.get("similarity", "cosine"))
    if similarity is None:
        msg = f"{folder / ABOUT}: similarity {about['similarity']!r} is neither 'cosine' nor 'dot'"
        raise CheckpointError(msg)
    lines = {}
    for side in FOLDERS:
        for language, path in find_vectors(folder, side).items():
            lines[f"{side} {language}"] = sha256_file(path)
    content = digest_of(lines)
    digest = digest_of({"content": content, "similarity": similarity})
    return Checkpoint(
        name=name or str(about.get("name") or folder.resolve().name),
        path=None,
        fingerprint=truncated(digest, truncate_dim),
        weights_digest=content,
        prompts={"query": "", "passage": ""},
        similarity=similarity,
        licence=", ".join(strings_in(about.get("licence"))) or None,
        trained_on=tuple(strings_in(about.get("trained_on"))),
        truncate_dim=truncate_dim,
        cache_digest=digest,
        is_by_row=True,
    )


def find_vectors(folder: Path, side: Side) -> dict[str, Path]:
    """Find the files of one side by canonical language."""
    inner = folder / FOLDERS[side]
    paths = sorted(inner.glob("*.npy"))
    if not paths:
        msg = f"{inner} holds no vectors; expected one <language>.npy for each language, as in {inner / 'en.npy'}"
        raise CheckpointError(msg)
    found: dict[str, Path] = {}
    for path in paths:
        try:
            language = languages.canonical(path.stem)
        except UsageError as error:
            msg = f"{path} is not named after a language: {error}"
            raise CheckpointError(msg) from error
        if language in found:
            msg = f"{found[language]} and {path} are both of {language}; keep one of them"
            raise CheckpointError(msg)
        found[language] = path
    return found


class VectorReader:
    """Returns the rows of precomputed vectors as an encoder would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: dict[tuple[Side, str, str], NDArray[np.floating]] = {}

    def encode(self, texts: Texts, rows: range, side: Side, prompt: str, advance: Advance) -> EncodedRows:
        """Read some rows. Raise `CheckpointError` when the file does not fit the texts."""
        key = (side, texts.language, texts.digest)
        if key not in self._checked:
            self._checked[key] = self._matrix(texts, side)
        vectors = self._checked[key]
        advance(len(rows))
        return EncodedRows(np.asarray(vectors[rows.start : rows.stop], dtype=np.float32))

    def _matrix(self, texts: Texts, side: Side) -> NDArray[np.floating]:
        path = find_vectors(self.folder, side).get(texts.language)
        if path is None:
            msg = f"{self.folder / FOLDERS[side]} has no vectors for {texts.language}; add <language>.npy for it"
            raise CheckpointError(msg)
        try:
            vectors = open_npy(path)
        except (ValueError, OSError) as error:
            msg = f"{path} cannot be read: {error}"
            raise CheckpointError(msg) from error
        if vectors.ndim != 2 or vectors.dtype not in (np.float32, np.float16, np.float64) or len(vectors) != len(texts):
            msg = (
                f"{path} holds {vectors.dtype} {list(vectors.shape)}; expected floats with one row for each of the "
                f"{len(texts):,} {FOLDERS[side]} in {texts.language}, in the order of their ids"
            )
            raise CheckpointError(msg)
        self._check_ids(path.with_suffix(".ids.txt"), texts)
        return vectors

    def _check_ids(self, path: Path, texts: Texts) -> None:
        if not path.is_file():
            return
        with path.open(encoding="utf-8-sig", errors="replace") as lines:  # what is replaced equals no id
            given = (line.rstrip("\r\n") for line in lines)
            for row, (found, expected) in enumerate(zip_longest(given, map(str, texts.ids))):
                if found != expected:
                    msg = f"{path} line {row + 1} is {found!r}; the collection's id there is {expected!r}"
                    raise CheckpointError(msg)
