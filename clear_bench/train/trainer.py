"""Trains a model by a recipe; the result is a sentence-transformers folder with a manifest."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from transformers import PrinterCallback
from transformers.trainer_utils import set_seed

from clear_bench.disk import disk_faults
from clear_bench.errors import Interrupted
from clear_bench.losses import LOSSES, make_loss
from clear_bench.losses.objectives import REPEATED, Distillation, Role
from clear_bench.train.base import load_base, merge_adapters, open_base, sides, store_prompts
from clear_bench.train.collate import RoleCollator, Side
from clear_bench.train.loop import Drift, Journal, RoleTrainer
from clear_bench.train.manifest import make_manifest
from clear_bench.train.plan import Prepared, prepare
from clear_bench.train.record import LOG, WORK, claim, describe, finish, finished, last_state, what_is_kept
from clear_bench.train.select import Evaluate, Selection
from clear_bench.train.steps import shown_steps
from clear_bench.train.trackers import add_trackers
from clear_bench.train.vocabulary import trimmed

if TYPE_CHECKING:
    from clear_bench.losses.build import LossSettings
    from clear_bench.train.recipe import Recipe
    from clear_bench.types import Checkpoint

log = logging.getLogger(__name__)

DRIFT_SAMPLE = 32
"""Number of rows whose texts are embedded at every evaluation, to measure how far the model has moved."""


def train(recipe: Recipe, out: Path, *, resume: bool = False, evaluate: Evaluate | None = None) -> Path:
    """Train by a recipe and return the folder of the checkpoint; a finished run of the same recipe is reused.

    With `resume` an unfinished run continues from its last saved state, to the same weights bit by bit. Raises
    `Interrupted`, with what is kept, on an interrupt.
    """
    try:
        return _train(recipe, out, resume, evaluate)
    except KeyboardInterrupt:
        raise Interrupted(what_is_kept(out)) from None


def _train(recipe: Recipe, out: Path, resume: bool, evaluate: Evaluate | None) -> Path:
    prepared = prepare(recipe, processes=int(os.environ.get("WORLD_SIZE", "1")))
    checkpoint = open_base(recipe.model)
    identity = describe(prepared, checkpoint)
    work = out / WORK
    if finished(out, identity):
        log.info("%s holds this run already", out)
        shutil.rmtree(work, ignore_errors=True)  # left by a kill between the manifest and here
        return out
    log.info("%d rows in %d languages, dropped: %s; %d steps on batches %s", len(prepared.rows),
             len(set(prepared.rows.languages)), dict(prepared.rows.drops) or "none", prepared.steps,
             prepared.checksum[:12])  # fmt: skip
    with disk_faults(out), first_process(_device(recipe) == "cpu") as is_first:
        if is_first:
            claim(out, identity, resume)
        if recipe.model.trim_vocabulary:
            checkpoint = trimmed(prepared, checkpoint, work / "base")
            log.info("the vocabulary is trimmed to what the texts use")
    with disk_faults(out):
        model, trainer, selection = build(prepared, checkpoint, out, evaluate)
        state = last_state(work) if resume else None
        log.info("%s, loss %s", f"going on from {state}" if state else "starting at step 0", recipe.loss.name)
        start = time.monotonic()
        with shown_steps(trainer, prepared.steps):
            trainer.train(resume_from_checkpoint=None if state is None else str(state))
        seconds = time.monotonic() - start
        if selection is not None:
            selection.restore()
        totals = trainer.totals()
        if trainer.is_world_process_zero():
            if recipe.model.lora_rank:
                merge_adapters(model)
            manifest = make_manifest(model, prepared, checkpoint, identity, totals, seconds, selection)
            finish(out, model, manifest, recipe)
            shutil.rmtree(work)
            log.info("the checkpoint is in %s", out)
    return out


def build(
    prepared: Prepared, checkpoint: Checkpoint, out: Path, evaluate: Evaluate | None = None
) -> tuple[SentenceTransformer, RoleTrainer, Selection | None]:
    """Return model and trainer, with loss, collator and callbacks, and what selects a step; nothing is trained yet."""
    from datasets import Dataset

    recipe = prepared.recipe
    set_seed(recipe.training.seed)
    device = _device(recipe)
    model = load_base(recipe.model, checkpoint, device)
    query, passage = sides(recipe.model, checkpoint)
    store_prompts(model, query, passage)
    collator = RoleCollator(
        model, prepared.rows.roles, prepared.needed, query, passage,
        ids=prepared.rows.passage_numbers() if recipe.loss.mask_false_negatives else None,
        teacher=_teacher(model, prepared, query),
        preserve=_preserved(model, prepared, query, passage),
    )  # fmt: skip
    trainer = RoleTrainer(
        model=model,
        args=_arguments(recipe, prepared.steps, out, device),
        train_dataset=Dataset.from_dict({name: list(texts) for name, texts in prepared.rows.columns.items()}),
        loss=_loss(model, recipe, prepared),
        data_collator=collator,
        batches=prepared.batches,
        preserve=recipe.loss.preserve_english,
    )
    trainer.remove_callback(PrinterCallback)
    journal = Journal(out / LOG, lambda: trainer)
    trainer.add_callback(journal)
    trainer.add_callback(Drift(model, _sample(prepared), (query, passage), recipe.training.evaluate_every, journal))
    selection = None
    if evaluate is not None:
        selection = Selection(model, evaluate, recipe, journal, out / WORK)
        trainer.add_callback(selection)
    add_trackers(trainer, recipe.training.trackers)
    return model, trainer, selection


@contextmanager
def first_process(on_cpu: bool) -> Iterator[bool]:
    """Run a `with` block in the first of several processes, then in the others; yields whether this is the first."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    from accelerate import PartialState

    state = PartialState(cpu=on_cpu)
    with state.main_process_first():
        yield bool(state.is_main_process)


def _device(recipe: Recipe) -> str:
    return recipe.training.device or ("cuda" if torch.cuda.is_available() else "cpu")


def _loss(model: SentenceTransformer, recipe: Recipe, prepared: Prepared) -> torch.nn.Module:
    part = recipe.loss
    counts = {role: prepared.rows.roles.count(role) if role in prepared.needed else None for role in REPEATED}
    settings: LossSettings = {
        "n_negatives": counts["negative"],
        "n_query_negatives": counts["neg_query"],
        "log_components": not part.matryoshka,
    }
    if part.cached:
        settings["mini_batch_size"] = part.mini_batch_size
        settings["mini_batch_num_tokens"] = part.mini_batch_num_tokens
        settings["authors_gradient_scale"] = part.authors_gradient_scale
    else:
        settings["forward_rows"] = part.mini_batch_size
    if not isinstance(LOSSES[part.name][0], Distillation):
        settings["scale"] = part.scale
        settings["kl_over"] = part.kl_over
        settings["mask_by_id"] = part.mask_false_negatives
        settings["gather_across_devices"] = part.gather_across_devices
    loss = make_loss(part.name, model, alpha=part.alpha, beta=part.beta, cached=part.cached, **settings)
    if not part.matryoshka:
        return loss
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    wrapped: torch.nn.Module = MatryoshkaLoss(model, loss, list(part.matryoshka))
    return wrapped


def _arguments(recipe: Recipe, steps: int, out: Path, device: str) -> SentenceTransformerTrainingArguments:
    part = recipe.training
    return SentenceTransformerTrainingArguments(
        output_dir=str(out / WORK),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch.size,
        gradient_accumulation_steps=part.accumulate,
        learning_rate=part.learning_rate,
        lr_scheduler_type=part.schedule,
        warmup_steps=part.warmup if part.warmup < 1 else int(part.warmup),
        weight_decay=part.weight_decay,
        max_grad_norm=part.max_grad_norm,
        bf16=part.precision == "bf16",
        seed=part.seed,
        data_seed=part.seed,
        logging_steps=part.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="steps" if part.save_every else "no",
        save_steps=part.save_every or steps,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
        ddp_find_unused_parameters=False,
    )


def _teacher(model: SentenceTransformer, prepared: Prepared, query: Side) -> Mapping[str, torch.Tensor] | None:
    """Return the base's vectors of the anchors, for a loss that distils."""
    if not isinstance(LOSSES[prepared.recipe.loss.name][0], Distillation):
        return None
    return _vectors(model, prepared, "anchor", query)


def _preserved(
    model: SentenceTransformer, prepared: Prepared, query: Side, passage: Side
) -> Mapping[str, torch.Tensor] | None:
    """Return the base's vectors of anchors and positives, for a run that preserves English."""
    if not prepared.recipe.loss.preserve_english:
        return None
    return _vectors(model, prepared, "positive", passage) | _vectors(model, prepared, "anchor", query)


def _vectors(model: SentenceTransformer, prepared: Prepared, role: Role, side: Side) -> dict[str, torch.Tensor]:
    found = prepared.rows.of(role)
    texts = list(dict.fromkeys(found[0][i] for batch in prepared.batches for i in batch)) if found else []
    limit, model.max_seq_length = model.max_seq_length, side.length
    vectors = model.encode(texts, prompt=side.prompt, convert_to_tensor=True, show_progress_bar=False).float().cpu()
    model.max_seq_length = limit
    return dict(zip(texts, vectors, strict=True))


def _sample(prepared: Prepared) -> dict[str, list[str]]:
    """Return the texts of the first rows of the training: they show movement, not quality."""
    rows = list(dict.fromkeys(i for batch in prepared.batches for i in batch))[:DRIFT_SAMPLE]
    wanted: tuple[Role, ...] = ("anchor", "positive", "cross_anchor")
    return {role: [prepared.rows.of(role)[0][i] for i in rows] for role in wanted if prepared.rows.of(role)}
