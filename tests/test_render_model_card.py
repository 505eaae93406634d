from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from made_results import HOSTILE, entry

from clear_bench.errors import InputError
from clear_bench.render import escape
from clear_bench.render.model_card import model_index
from clear_bench.render.records import Summary

REVISION = "5503434ddd753f426f4b38109466949a1217c2bb"


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    return entry(tmp_path, HOSTILE, base=False).summary


def on_hub(summary: Summary) -> Summary:
    task = replace(summary.manifest.task, source={"hub": "google/xquad", "revision": REVISION})
    return replace(summary, manifests=(replace(summary.manifest, task=task),))


def test_model_index_is_what_the_hub_reads(summary: Summary) -> None:
    cards = pytest.importorskip("huggingface_hub.repocard_data")
    block = yaml.safe_load(model_index([on_hub(summary)]))
    name, results = cards.model_index_to_eval_results(block["model-index"])
    assert name == escape.printable(HOSTILE)
    assert [result.dataset_revision for result in results] == [REVISION] * len(summary.groups)
    overall = next(result for result in results if result.metric_type == "ndcg_at_10")
    assert overall.metric_value == round(100 * summary.overall.value, 2)


def test_a_model_card_of_two_models_is_refused(summary: Summary) -> None:
    with pytest.raises(InputError, match="belongs to one model"):
        model_index([summary, replace(summary, fingerprint="0" * 64)])
