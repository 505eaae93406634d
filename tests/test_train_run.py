from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from toy_training import make_collection, smoke

from clear_bench.errors import InputError, UsageError
from clear_bench.losses import LOSSES
from clear_bench.train.loop import RoleTrainer
from clear_bench.train.plan import prepare
from clear_bench.train.preview import preview
from clear_bench.train.trainer import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def straight(base: Path, collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One uninterrupted smoke run."""
    return train(smoke(base, collection), tmp_path_factory.mktemp("straight") / "out")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "logs" / "train.jsonl").read_text().splitlines()]


def test_the_result_is_a_plain_sentence_transformers_folder_that_learnt(straight: Path, base: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(straight), device="cpu", local_files_only=True)
    assert model.encode(["some text"], prompt_name="query").shape == (1, 32)
    start, end = (line for line in journal(straight) if "drift_anchor" in line)
    # On one sample; the losses of single batches of four rows go up and down.
    assert end["found_anchor_positive"] > start["found_anchor_positive"] + 0.1
    assert end["found_cross_anchor_positive"] > start["found_cross_anchor_positive"]
    assert not (straight / ".training").exists()
    before, after = weights(base), weights(straight)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_manifest_says_what_was_trained_on_what(straight: Path, collection: Path) -> None:
    manifest = json.loads((straight / "manifest.json").read_text())
    assert manifest["schema"] == "clear-bench/train/1"
    assert manifest["languages"] == ["de", "fr"]
    # 10 steps of 4 rows; each row has q, d, d^1, x, x^1.
    assert (manifest["seen"]["steps"], manifest["seen"]["rows"], manifest["seen"]["texts"]) == (10, 40, 200)
    assert manifest["seen"]["tokens"] == journal(straight)[-1]["tokens"]
    assert manifest["data"]["dropped"]["no translated query"] == 5
    assert {source["path"] for source in manifest["data"]["sources"]} >= {"queries/de.jsonl.gz", "negatives.jsonl.gz"}


def test_the_model_card_names_loss_data_and_citation(straight: Path) -> None:
    card = (straight / "README.md").read_text()
    assert "name = clear" in card
    assert "@inproceedings{lee2026clear" in card
    assert "2 languages (de, fr)" in card


def test_the_journal_holds_components_that_add_up_and_the_drift(straight: Path) -> None:
    lines = journal(straight)
    logged = next(line for line in lines if "loss" in line)
    # The trainer rounds the components to four decimals.
    assert logged["loss_forward"] + logged["loss_reverse"] + logged["loss_kl"] == pytest.approx(
        logged["loss"], abs=2e-4
    )
    drift = [line for line in lines if "drift_anchor" in line]
    assert [line["step"] for line in drift] == [0, 10]
    assert drift[0]["drift_anchor"] == pytest.approx(1, abs=1e-6)
    assert drift[1]["drift_anchor"] < 1 - 1e-4


def interrupted(recipe: Any, out: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    original = RoleTrainer.training_step

    def stop(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == step:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(RoleTrainer, "training_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, out)


def test_a_resumed_run_ends_at_the_same_weights_bit_by_bit(
    straight: Path, base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = smoke(base, collection)
    interrupted(recipe, tmp_path / "out", monkeypatch, step=6)
    resumed = train(recipe, tmp_path / "out", resume=True)
    whole, again = weights(straight), weights(resumed)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    counts = [json.loads((folder / "manifest.json").read_text())["seen"] for folder in (straight, resumed)]
    assert (counts[0]["rows"], counts[0]["tokens"]) == (counts[1]["rows"], counts[1]["tokens"])
    assert [line["drift_anchor"] for line in journal(straight) if "drift_anchor" in line] == [
        line["drift_anchor"] for line in journal(resumed) if "drift_anchor" in line
    ]


def test_an_unfinished_run_is_neither_overwritten_nor_continued_as_another(
    base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(smoke(base, collection), tmp_path / "out", monkeypatch, step=5)
    with pytest.raises(UsageError, match="--resume"):
        train(smoke(base, collection), tmp_path / "out")
    with pytest.raises(UsageError, match=r"recipe.loss.name was 'clear' and is 'infonce_q'"):
        train(smoke(base, collection, "loss.name=infonce_q"), tmp_path / "out", resume=True)
    other = make_collection(tmp_path / "other", items=23)
    with pytest.raises(UsageError, match="data was"):
        train(smoke(base, other), tmp_path / "out", resume=True)


def test_there_must_be_something_to_resume(base: Path, collection: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no unfinished run"):
        train(smoke(base, collection), tmp_path / "out", resume=True)


def test_a_finished_run_is_reused_and_another_in_its_place_refused(
    straight: Path, base: Path, collection: Path
) -> None:
    stamp = (straight / "model.safetensors").stat().st_mtime_ns
    assert train(smoke(base, collection), straight) == straight
    assert (straight / "model.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match="another finished run"):
        train(smoke(base, collection, "training.seed=1"), straight)


def test_a_run_of_a_version_that_knew_fewer_settings_is_still_the_same_run(
    straight: Path, base: Path, collection: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(straight, tmp_path / "old"))
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["identity"]["recipe"]["translate"]
    del manifest["identity"]["recipe"]["model"]["instruction"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert train(smoke(base, collection), old) == old
    with pytest.raises(UsageError, match=r"recipe.model.dropout was None and is 0"):
        train(smoke(base, collection, "model.dropout=0"), old)


@pytest.mark.parametrize("key", [key for key in LOSSES if key != "clear"])
@pytest.mark.parametrize("cached", ["true", "false"])
def test_every_loss_trains_on_the_same_batches(
    key: str, cached: str, base: Path, collection: Path, tmp_path: Path
) -> None:
    settings = [
        f"loss.name={key}",
        f"loss.cached={cached}",
        "training.steps=2",
        "data.languages=['fr']",
        "data.bridge=de",
    ]
    reference = prepare(smoke(base, collection, *settings, "loss.name=clear")).checksum
    out = train(smoke(base, collection, *settings), tmp_path / "out")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["identity"]["batches"] == reference


@pytest.mark.parametrize(
    "settings",
    [
        ["loss.matryoshka=[32,16]"],
        ["loss.matryoshka=[32,16]", "loss.cached=false"],
        ["loss.mask_false_negatives=true"],
        ["training.accumulate=2"],
        ["training.precision=bf16"],
        ["model.gradient_checkpointing=true"],
        ["loss.mini_batch_num_tokens=40"],
        ["loss.preserve_english=0.5", "training.precision=bf16"],
        ["loss.preserve_english=0.5", "loss.name=infonce_x", "loss.cached=false"],
    ],
    ids=lambda settings: settings[0],
)
def test_every_setting_trains(settings: list[str], base: Path, collection: Path, tmp_path: Path) -> None:
    out = train(smoke(base, collection, "training.steps=2", *settings), tmp_path / "out")
    assert all(torch.isfinite(tensor).all() for tensor in weights(out).values())


def test_preserving_english_keeps_its_vectors_near_those_of_the_base(
    straight: Path, base: Path, collection: Path, tmp_path: Path
) -> None:
    out = train(smoke(base, collection, "loss.preserve_english=20.0"), tmp_path / "out")
    free, kept = (
        next(line for line in reversed(journal(folder)) if "drift_anchor" in line) for folder in (straight, out)
    )
    assert 1 - kept["drift_anchor"] < 0.5 * (1 - free["drift_anchor"])
    assert 1 - kept["drift_positive"] < 0.5 * (1 - free["drift_positive"])
    logged = [line for line in journal(out) if "loss_preserve" in line]
    assert logged
    for line in logged:
        # Dropout alone separates the model in training from the base at first.
        assert line["loss_preserve"] > 0
        parts = sum(value for name, value in line.items() if name.startswith("loss_"))
        assert parts == pytest.approx(line["loss"], abs=3e-4)
    tokens = [json.loads((folder / "manifest.json").read_text())["seen"]["tokens"] for folder in (straight, out)]
    assert tokens[1] > tokens[0]


def test_without_dropout_the_model_in_training_starts_as_the_base(base: Path, collection: Path, tmp_path: Path) -> None:
    settings = ["training.steps=1", "training.log_every=1", "loss.preserve_english=20.0"]
    first = {}
    for share in (0, 0.1):
        out = train(smoke(base, collection, *settings, f"model.dropout={share}"), tmp_path / str(share))
        first[share] = next(line["loss_preserve"] for line in journal(out) if "loss_preserve" in line)
        assert json.loads((out / "config.json").read_text())["hidden_dropout_prob"] == 0.1
    assert first[0] == pytest.approx(0, abs=1e-4)
    assert first[0.1] > 0.01


def test_frozen_embeddings_stay_as_they_are(base: Path, collection: Path, tmp_path: Path) -> None:
    out = train(smoke(base, collection, "training.steps=3", "model.freeze_embeddings=true"), tmp_path / "out")
    before, after = weights(base), weights(out)
    frozen = [name for name in before if name.startswith("embeddings.")]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in before if "encoder" in name)


def test_adapters_are_merged_so_that_the_result_needs_no_peft(base: Path, collection: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    out = train(smoke(base, collection, "training.steps=3", "model.lora_rank=2"), tmp_path / "out")
    before, after = weights(base), weights(out)
    assert set(before) == set(after)
    assert any(not torch.equal(before[name], after[name]) for name in before if "query" in name)
    assert torch.equal(before["embeddings.word_embeddings.weight"], after["embeddings.word_embeddings.weight"])


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_state(
    base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = RoleTrainer.collect_features

    def spoil(self: Any, inputs: Any) -> Any:
        if self.state.global_step == 5:
            with torch.no_grad():
                next(p for p in self.model.parameters() if p.requires_grad).fill_(float("nan"))
        return original(self, inputs)

    monkeypatch.setattr(RoleTrainer, "collect_features", spoil)
    with pytest.raises(InputError, match="the loss is nan in step 6"):
        train(smoke(base, collection), tmp_path / "out")
    kept = load_file(tmp_path / "out" / ".training" / "checkpoint-4" / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


class Script:
    """An evaluation that gives prepared values and notes how far the model had moved."""

    def __init__(self, values: list[tuple[float, float]]) -> None:
        self.values = values
        self.sums: list[float] = []

    def __call__(self, model: Any) -> Mapping[str, float]:
        self.sums.append(sum(float(p.sum()) for p in model.parameters()))
        english, cross = self.values[len(self.sums) - 1]
        return {"english": english, "cross": cross}


def test_the_best_checkpoint_within_the_english_margin_is_kept(base: Path, collection: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    # Steps 0, 2, 4, 6: step 6 is best across languages but pays 0.03 in English; step 4 pays 0.009.
    script = Script([(0.9, 0.5), (0.9, 0.6), (0.891, 0.7), (0.87, 0.8)])
    recipe = smoke(base, collection, "training.steps=6", "training.evaluate_every=2", "evaluation.english_margin=0.01")
    out = train(recipe, tmp_path / "out", evaluate=script)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["selected_step"] == 4
    assert [entry["step"] for entry in manifest["evaluations"]] == [0, 2, 4, 6]
    found = sum(float(p.sum()) for p in SentenceTransformer(str(out), device="cpu").parameters())
    assert found == pytest.approx(script.sums[2], abs=1e-4)
    assert "| 4 |" in (out / "README.md").read_text()


def test_a_tracker_that_fails_is_left_behind(
    base: Path, collection: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import TrainerCallback

    from clear_bench.train.trackers import Guarded

    class Broken(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            msg = "no connection"
            raise OSError(msg)

    guarded = Guarded(Broken())
    with caplog.at_level(logging.WARNING):
        guarded.on_train_begin(None, None, None)
        guarded.on_step_end(None, None, None)
        train(smoke(base, collection, "training.steps=1", "training.trackers=['no-such-tracker']"), tmp_path / "out")
    assert "no connection" in caplog.text
    assert "no-such-tracker" in caplog.text


def test_prompts_other_than_the_models_are_refused_unless_they_are_stored(
    base: Path, collection: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="the model's own is 'query: '"):
        preview(smoke(base, collection, "model.query_prompt='ask: '"))
    recipe = smoke(base, collection, "model.query_prompt='ask: '", "model.new_prompts=true", "training.steps=1")
    stored = json.loads((train(recipe, tmp_path / "out") / "config_sentence_transformers.json").read_text())
    assert stored["prompts"]["query"] == "ask: "


def test_lengths_beyond_the_models_are_refused(base: Path, collection: Path) -> None:
    with pytest.raises(UsageError, match="reads 48 tokens"):
        preview(smoke(base, collection, "model.passage_length=99"))


def test_a_preview_shows_what_would_be_trained(base: Path, collection: Path) -> None:
    report = preview(smoke(base, collection))
    assert report["roles"]["neg_query"] == ["neg_query_1"]
    # Four rows with one negative each.
    assert report["candidates_per_anchor"] == 8
    assert (report["steps"], report["texts_per_row"]) == (10, 5)
    # All but the pooler, 32 x 32 weights and 32 biases, which no vector comes from.
    assert report["parameters"]["trainable"] == report["parameters"]["all"] - 32 * 32 - 32
    assert 0 <= report["tokens"]["query"]["truncated"] <= 1
    shown = {"language", "anchor", "positive", "negative_1", "cross_anchor", "neg_query_1"}
    assert set(report["first_batch"][0]) == shown


def test_a_loss_without_its_role_is_refused(base: Path, collection: Path) -> None:
    with pytest.raises(UsageError, match=r"needs the role 'bridge'.*data.bridge"):
        prepare(smoke(base, collection, "loss.name=clear_bridge"))
