"""Tell from its files alone what kind of model a checkpoint folder holds."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from clear_bench.errors import CheckpointError
from clear_bench.models.layout import Module, read_modules, read_optional, strings_in


class Kind(StrEnum):
    """What a model gives for texts."""

    DENSE = "dense model"
    """One vector per text."""
    CROSS_ENCODER = "cross-encoder"
    """One score per pair of texts."""
    MULTI_VECTOR = "multi-vector model"
    """One vector per token, compared by MaxSim (ColBERT)."""
    SPARSE = "sparse model"
    """One weight per word of a vocabulary (SPLADE)."""


class Found(NamedTuple):
    """The kind of a checkpoint, and the sign in the folder that shows it."""

    kind: Kind
    sign: str


MODEL_TYPES = {
    "SentenceTransformer": Kind.DENSE,
    "CrossEncoder": Kind.CROSS_ENCODER,
    "SparseEncoder": Kind.SPARSE,
    "MultiVectorEncoder": Kind.MULTI_VECTOR,
    "ColBERT": Kind.MULTI_VECTOR,
}
"""The `model_type` that sentence-transformers and PyLate save."""
PACKAGES = {
    "sparse_encoder": Kind.SPARSE,
    "multi_vector_encoder": Kind.MULTI_VECTOR,
    "pylate": Kind.MULTI_VECTOR,
    "cross_encoder": Kind.CROSS_ENCODER,
}
"""Packages whose modules make a model of a kind."""
CLASSES = {
    "MLMTransformer": Kind.SPARSE,
    "SpladePooling": Kind.SPARSE,
    "SparseAutoEncoder": Kind.SPARSE,
    "CSRSparsity": Kind.SPARSE,
    "SparseStaticEmbedding": Kind.SPARSE,
    "IDF": Kind.SPARSE,
    "MultiVectorMask": Kind.MULTI_VECTOR,
    "HierarchicalTokenPooling": Kind.MULTI_VECTOR,
    "LogitScore": Kind.CROSS_ENCODER,
}
"""Class names of modules that only this kind of model has."""
TASKS = {
    "sequence-classification": Kind.CROSS_ENCODER,
    "text-generation": Kind.CROSS_ENCODER,
    "any-to-any": Kind.CROSS_ENCODER,
    "fill-mask": Kind.SPARSE,
    "retrieval": Kind.MULTI_VECTOR,
}
"""`transformer_task` of a module -> kind; dense models have `feature-extraction`."""
PYLATE = ("query_prefix", "document_prefix", "do_query_expansion", "skiplist_words")
"""Settings that only PyLate writes."""
ARCHITECTURES = {"ForSequenceClassification": Kind.CROSS_ENCODER, "ColBERT": Kind.MULTI_VECTOR}
"""Endings of the class names in a plain transformers folder."""


def kind_of(folder: Path) -> Found:
    """Tell the kind of a checkpoint folder: the first sign of another kind than a dense model decides.

    A plain masked language model is a dense model, with mean pooling: a common baseline. Raises `CheckpointError` for
    a folder that is not a checkpoint, and for an unknown `model_type`.
    """
    modules = read_modules(folder)
    signs = (*_by_settings(folder), *_by_modules(folder, modules), *_by_architecture(folder, modules))
    return next((found for found in signs if found.kind != Kind.DENSE), Found(Kind.DENSE, "no sign of another kind"))


def refuse_other_kinds(folder: Path) -> None:
    """Refuse a model that loads but does not give one vector per text: its other parts would be dropped silently."""
    found = kind_of(folder)
    if found.kind != Kind.DENSE:
        msg = (
            f"{folder} is a {found.kind} ({found.sign}); clear-bench evaluates models that give one dense "
            "vector per text, and the vectors of this one's body are not what it was trained for"
        )
        raise CheckpointError(msg)


def _by_settings(folder: Path) -> Iterable[Found]:
    path = folder / "config_sentence_transformers.json"
    saved = read_optional(path)
    family = saved.get("model_type", "SentenceTransformer")
    if not isinstance(family, str) or family not in MODEL_TYPES:
        msg = f"{path}: model_type {family!r} is not one of {', '.join(MODEL_TYPES)}"
        raise CheckpointError(msg)
    yield Found(MODEL_TYPES[family], f"model_type {family} in {path.name}")
    if own := [key for key in PYLATE if key in saved]:
        yield Found(Kind.MULTI_VECTOR, f"{own[0]} in {path.name}, as PyLate writes it")
    if (folder / "artifact.metadata").is_file():
        yield Found(Kind.MULTI_VECTOR, "artifact.metadata, as ColBERT writes it")


def _by_modules(folder: Path, modules: Iterable[Module]) -> Iterable[Found]:
    for module in modules:
        kinds = [PACKAGES[part] for part in module.type.split(".") if part in PACKAGES]
        if kind := next(iter(kinds), CLASSES.get(module.name)):
            yield Found(kind, f"module {module.type}")
        for path in sorted((folder / module.path).glob("sentence_*_config.json")):
            task = read_optional(path).get("transformer_task")
            if isinstance(task, str) and task in TASKS:
                yield Found(TASKS[task], f"transformer_task {task} in {path.relative_to(folder).as_posix()}")


def _by_architecture(folder: Path, modules: list[Module]) -> Iterable[Found]:
    """Read the class names of config.json; where modules.json says what is loaded, only ColBERT's counts."""
    config = read_optional(folder / "config.json")
    for name in strings_in(config.get("architectures")):
        for ending, kind in ARCHITECTURES.items():
            if name.endswith(ending) and (kind == Kind.MULTI_VECTOR or not modules):
                yield Found(kind, f"architecture {name} in config.json")
    if not modules and "sbert_ce_default_activation_function" in config:
        yield Found(Kind.CROSS_ENCODER, "sbert_ce_default_activation_function in config.json")
