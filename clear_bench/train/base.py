"""Loads the model that a run starts from, and stores what the trained one needs."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer

from clear_bench.errors import CheckpointError, MissingExtraError, UsageError
from clear_bench.models.faults import library_faults
from clear_bench.models.prompts import carried, passage_prompt, query_prompt, saved_prompts
from clear_bench.train.collate import Side
from clear_bench.train.parts import ModelPart
from clear_bench.types import Checkpoint


def open_base(part: ModelPart) -> Checkpoint:
    """Return the base checkpoint; its weights are scanned but not loaded."""
    from clear_bench.models.checkpoint import open_checkpoint

    return open_checkpoint(part.base)


def load_base(part: ModelPart, checkpoint: Checkpoint, device: str) -> SentenceTransformer:
    """Load the base in float32, with the parameters frozen that the recipe wants to keep."""
    if checkpoint.path is None:
        msg = f"{part.base!r} has no weights to train: name a folder, a hub id or embedded:NAME"
        raise CheckpointError(msg)
    with library_faults(f"{checkpoint.name} cannot be loaded"):
        model = SentenceTransformer(
            str(checkpoint.path), device=device, local_files_only=True,
            model_kwargs={"torch_dtype": torch.float32, "use_safetensors": True},
        )  # fmt: skip
    if isinstance(pooler := getattr(model[0].auto_model, "pooler", None), torch.nn.Module):
        # No vector comes from it, so it has no gradient, for which several processes would wait.
        pooler.requires_grad_(False)
    if part.freeze_embeddings:
        freeze_embeddings(model)
    if part.dropout is not None:
        set_dropout(model, part.dropout)
    if part.gradient_checkpointing:
        model[0].auto_model.gradient_checkpointing_enable({"use_reentrant": False})
    if part.lora_rank:
        add_adapters(model, part)
    return model


def load_plain(folder: Path) -> SentenceTransformer:
    """Load a checkpoint in float32 on the CPU; weights that its files lack are the same at every load."""
    settings = {"torch_dtype": torch.float32, "use_safetensors": True}
    with torch.random.fork_rng(devices=[]), library_faults(f"{folder} cannot be loaded"):
        torch.manual_seed(0)
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True, model_kwargs=settings)


def freeze_embeddings(model: SentenceTransformer) -> None:
    """Exclude the token, position and type embeddings and their norm from training."""
    embeddings = getattr(model[0].auto_model, "embeddings", None) or model[0].auto_model.get_input_embeddings()
    for parameter in embeddings.parameters():
        parameter.requires_grad_(False)


def set_dropout(model: SentenceTransformer, share: float) -> None:
    """Set the share of activations that training zeroes in every layer; the saved configuration stays as it is."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        for name in ("dropout", "attention_dropout", "hidden_dropout"):  # where an architecture keeps a bare number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def add_adapters(model: SentenceTransformer, part: ModelPart) -> None:
    """Add low-rank adapters, which are trained instead of the weights (Hu et al. 2021, "LoRA")."""
    try:
        from peft import LoraConfig, TaskType
    except ImportError:
        raise MissingExtraError("peft", "lora") from None
    alpha = part.lora_alpha if part.lora_alpha is not None else 2 * part.lora_rank
    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=part.lora_rank,
        lora_alpha=alpha,
        target_modules=list(part.lora_targets),
    )
    model.add_adapter(config)


def merge_adapters(model: SentenceTransformer) -> None:
    """Merge adapters into the weights, so that the result loads without peft."""
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    backbone = model[0].auto_model
    if isinstance(backbone, PeftModel):
        model[0].auto_model = backbone.merge_and_unload()
        return
    for name, module in list(backbone.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent = backbone.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())
    backbone._hf_peft_config_loaded = False
    if hasattr(backbone, "peft_config"):
        del backbone.peft_config


def sides(part: ModelPart, checkpoint: Checkpoint) -> tuple[Side, Side]:
    """Return the prompt and length of queries and of passages.

    Raises `UsageError` for prompts other than the model's own without `new_prompts`, and for lengths beyond its limit.
    """
    if part.instruction is not None and "{instruction}" not in checkpoint.prompts.get("query", ""):
        msg = (
            f"model.instruction is {part.instruction!r}, but the query prompt of {checkpoint.name}, "
            f"{checkpoint.prompts.get('query', '')!r}, takes none: leave it out, or set model.query_prompt"
        )
        raise UsageError(msg)
    own = {"query": query_prompt(checkpoint, part.instruction), "passage": passage_prompt(checkpoint)}
    given = {"query": part.query_prompt, "passage": part.passage_prompt}
    for side, prompt in given.items():
        if prompt is not None and prompt != own[side] and not part.new_prompts:
            msg = (
                f"model.{side}_prompt is {prompt!r}, but the model's own is {own[side]!r}, which "
                "evaluation would use; leave it out, or store it in the checkpoint by model.new_prompts = true"
            )
            raise UsageError(msg)
    limit = checkpoint.max_seq_length
    for name, length in (("query_length", part.query_length), ("passage_length", part.passage_length)):
        if length is not None and limit is not None and length > limit:
            msg = f"model.{name} is {length}, but the model reads {limit} tokens at most"
            raise UsageError(msg)
    prompts = {side: own[side] if prompt is None else prompt for side, prompt in given.items()}
    return Side(prompts["query"], part.query_length or limit), Side(prompts["passage"], part.passage_length or limit)


def store_prompts(model: SentenceTransformer, query: Side, passage: Side) -> None:
    """Write the prompts of the training into the model, where it has others or none: evaluation reads them from it.

    The prompts of a base may come from a list of known models, which does not have the models trained from it.
    """
    saved = carried(model.prompts, "the base")
    if saved_prompts(saved) != {"query": query.prompt, "passage": passage.prompt}:
        others = {name: text for name, text in saved.items() if not name.startswith("Retrieval")}  # these come first
        model.prompts = {**others, "query": query.prompt, "document": passage.prompt, "passage": passage.prompt}
