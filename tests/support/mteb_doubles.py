"""Stand-ins for mteb's tests: an encoder of exact vectors, for mteb and for us, and a task that has everything hard."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.model_meta import ModelMeta

WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen")


def vectors(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Count words in a few buckets: small whole numbers, so that inner products are exact and ties are many."""
    counts = np.zeros((len(texts), 16), dtype=np.float32)
    for row, text in zip(counts, texts, strict=True):
        row[0] = 1
        for word in text.lower().split():
            row[zlib.crc32(word.encode()) % 16] += 1
    return counts


class OurEncoder:
    """What `clear-bench` takes as a model in memory."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.texts += texts
        return vectors(texts)


class MtebEncoder:
    """The same vectors for mteb's own search."""

    mteb_model_meta = ModelMeta.create_empty({"name": "test/encoder", "revision": "1"})

    def __init__(self, query_prompt: str = "", passage_prompt: str = "") -> None:
        self.prompts = {"query": query_prompt, "document": passage_prompt}
        self.texts: list[str] = []

    def encode(self, inputs: Any, *, prompt_type: Any = None, **settings: Any) -> Any:
        texts = [text for batch in inputs for text in batch["text"]]
        self.texts += texts
        return vectors([self.prompts[prompt_type.value] + text for text in texts])

    def similarity(self, one: Any, other: Any) -> Any:
        import torch

        return torch.as_tensor(one) @ torch.as_tensor(other).T

    similarity_pairwise = similarity


class HardTask(AbsTaskRetrieval):  # type: ignore[misc]
    """Graded judgements, several relevant passages, ties, titles, queries without judgements and with 0 only."""

    metadata = TaskMetadata(
        name="HardTask",
        description="Made up.",
        type="Retrieval",
        dataset={"path": "none", "revision": "1"},
        eval_langs={"eng": ["eng-Latn"], "deu": ["deu-Latn"]},
        main_score="ndcg_at_10",
    )
    candidates = 0
    """Candidates of each query; 0: the whole corpus is searched."""

    def load_data(self, **settings: Any) -> None:
        self.dataset = {code: {"test": self._split(seed)} for seed, code in enumerate(self.metadata.eval_langs)}
        self.data_loaded = True

    def _split(self, seed: int) -> dict[str, Any]:
        draw = random.Random(seed)
        passages = [{"id": f"d{i:02}", "title": draw.choice(["", "ant bee"]), "text": words(draw)} for i in range(40)]
        queries = [{"id": f"q{i:02}", "text": words(draw)} for i in range(25)]
        names = [passage["id"] for passage in passages]
        relevant: Mapping[str, dict[str, int]] = {
            query["id"]: {name: draw.choice([0, 1, 2, 3]) for name in draw.sample(names, draw.randint(1, 6))}
            | {draw.choice(names): 1}
            for query in queries[1:]
        } | {queries[1]["id"]: dict.fromkeys(names[:3], 0)}
        ranked = {query["id"]: draw.sample(names, self.candidates) for query in queries} if self.candidates else None
        return {
            "corpus": Dataset.from_list(passages),
            "queries": Dataset.from_list(queries),
            "relevant_docs": relevant,
            "top_ranked": ranked,
        }


class HardReranking(HardTask):
    """The same with candidates."""

    metadata = HardTask.metadata.model_copy(update={"name": "HardReranking", "type": "Reranking"})
    candidates = 12


class HardOwnIds(HardTask):
    """The same with queries that stand in the corpus under their own ids."""

    metadata = HardTask.metadata.model_copy(update={"name": "HardOwnIds"})
    ignore_identical_ids = True

    def _split(self, seed: int) -> dict[str, Any]:
        split = super()._split(seed)
        queries = split["queries"].add_column("title", [""] * len(split["queries"]))
        return split | {"corpus": concatenate_datasets([split["corpus"], queries])}


class HardOwnTexts(HardTask):
    """The same with a corpus and queries for every subset, under ids that mean other texts elsewhere."""

    metadata = HardTask.metadata.model_copy(
        update={
            "name": "HardOwnTexts",
            "eval_langs": {
                f"{passage}-{query}": [f"{passage}-Latn", f"{query}-Latn"]
                for passage in ("eng", "deu")
                for query in ("eng", "deu", "fra")
            },
        }
    )


class HardShrunkTexts(HardOwnTexts):
    """The same with a part of one corpus and of one set of queries in every subset."""

    metadata = HardOwnTexts.metadata.model_copy(update={"name": "HardShrunkTexts"})

    def _split(self, seed: int) -> dict[str, Any]:
        whole, draw = super()._split(0), random.Random(seed)
        names = set(draw.sample([f"d{i:02}" for i in range(40)], 30))
        asked = set(draw.sample([f"q{i:02}" for i in range(25)], 20))
        relevant = {
            query: {name: grade for name, grade in judged.items() if name in names}
            for query, judged in whole["relevant_docs"].items()
            if query in asked
        }
        return whole | {
            "corpus": whole["corpus"].filter(lambda row: row["id"] in names),
            "queries": whole["queries"].filter(lambda row: row["id"] in asked),
            "relevant_docs": {query: judged for query, judged in relevant.items() if judged},
        }


def words(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(1, 7)))
