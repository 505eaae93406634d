"""Turns rows into model input: the columns that the loss takes, in its order, each with its prompt and length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from sentence_transformers import SentenceTransformer

from clear_bench.losses.by_length import Features
from clear_bench.losses.objectives import QUERY_SIDE, Role
from clear_bench.losses.roles import Roles


@dataclass(frozen=True, slots=True)
class Side:
    """The prompt and the length in tokens of queries or of passages."""

    prompt: str
    length: int | None


@dataclass(frozen=True, eq=False)
class RoleCollator:
    """Tokenises the columns of a loss. Positions replace the column names, so that no name is a prefix of another."""

    model: SentenceTransformer
    roles: Roles
    needed: tuple[Role, ...]
    query: Side
    passage: Side
    ids: Mapping[str, int] | None = None
    """Passage text -> number, where the loss masks false negatives."""
    teacher: Mapping[str, torch.Tensor] | None = None
    """Anchor text -> vector of the frozen base, where the loss distils."""
    preserve: Mapping[str, torch.Tensor] | None = None
    """English text -> vector of the frozen base, where it is to be preserved."""
    valid_label_columns: Sequence[str] = field(default=())
    """Empty, since labels are made here; sentence-transformers reads this attribute."""

    def __call__(self, rows: Sequence[Mapping[str, str]]) -> Features:
        """Return one batch with the keys by which the trainer of sentence-transformers splits it into columns."""
        batch: Features = {}
        for position, (role, column) in enumerate(self.columns()):
            side = self.query if role in QUERY_SIDE else self.passage
            texts = [row[column] for row in rows]
            for key, value in self.model.preprocess(texts, prompt=side.prompt, max_length=side.length).items():
                batch[f"c{position:03d}_{key}"] = value
        if self.ids is not None:
            names = self.roles.order(("positive", "negative"))
            batch["label"] = torch.tensor([[self.ids[row[name]] for name in names] for row in rows])
        if self.teacher is not None:
            (anchor,) = self.roles.order(("anchor",))
            batch["label"] = torch.stack([self.teacher[row[anchor]] for row in rows])
        if self.preserve:
            batch["preserve"] = [
                self._preserved([row[column] for row in rows], side, self.preserve)
                for role, side in self.english()
                for column in self.roles.order((role,))
            ]
        return batch

    def english(self) -> tuple[tuple[Role, Side], ...]:
        """Return the roles whose vectors English retrieval compares, with their sides."""
        return ("anchor", self.query), ("positive", self.passage)

    def _preserved(self, texts: Sequence[str], side: Side, vectors: Mapping[str, torch.Tensor]) -> Features:
        features: Features = dict(self.model.preprocess(list(texts), prompt=side.prompt, max_length=side.length))
        return features | {"teacher": torch.stack([vectors[text] for text in texts])}

    def columns(self) -> list[tuple[Role, str]]:
        """Return role and column, in the order of the loss."""
        return [(role, column) for role in self.needed for column in self.roles.columns.get(role, ())]
