"""The sections of a recipe: every key with its type, its default and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from clear_bench.documents import Demand

_POSITIVE, _NOT_NEGATIVE = (
    Demand(lambda number: 0 < number < 2**31, "positive (and below 2**31)"),
    Demand(lambda number: 0 <= number < 2**31, "0 or more (and below 2**31)"),
)
Count = Annotated[int, _POSITIVE]
Natural = Annotated[int, _NOT_NEGATIVE]
Amount = Annotated[float, _POSITIVE]
NotNegative = Annotated[float, _NOT_NEGATIVE]
Seed = Annotated[int, Demand(lambda seed: 0 <= seed < 2**32, "0 or more (and below 2**32)")]
Share = Annotated[float, Demand(lambda share: 0 <= share < 1, "a share of at least 0 and below 1")]


@dataclass(frozen=True, slots=True)
class ModelPart:
    """The model that is trained."""

    base: str = ""
    """A sentence-transformers folder, a hub id (`id@revision`) or `embedded:NAME`."""
    query_length: Count | None = None
    """Tokens of a query; by default the model's own limit."""
    passage_length: Count | None = None
    query_prompt: str | None = None
    """Text before each query, by default the model's own; another one needs `new_prompts`."""
    passage_prompt: str | None = None
    new_prompts: bool = False
    instruction: str | None = None
    """Instruction in the query prompt of a model that takes one, and the default of the result; by default the model's
    own."""
    freeze_embeddings: bool = False
    """Do not train the token embeddings, which hold most parameters of a multilingual model, and most of the memory."""
    trim_vocabulary: bool = False
    """Keep only the pieces that the training rows and `vocabulary_texts` use, and single characters: most of a small
    multilingual model is its vocabulary. The segmentation of these texts stays; that of others gets finer."""
    vocabulary_texts: tuple[str, ...] = ()
    """Collections or files whose texts the trimmed vocabulary must know, such as those of the evaluation."""
    dropout: Share | None = None
    """Share of activations that training zeroes; by default the model's own. 0 makes a step on a CPU about twice as
    fast, where attention with dropout has no fused kernel."""
    gradient_checkpointing: bool = False
    lora_rank: Natural = 0
    """Train low-rank adapters of this rank and merge them at the end; 0 trains the weights themselves."""
    lora_alpha: NotNegative | None = None
    lora_targets: tuple[str, ...] = ("query", "key", "value", "dense")


@dataclass(frozen=True, slots=True)
class DataPart:
    """Where the rows come from: files or a hub data set with role columns, or a collection to join."""

    files: tuple[str, ...] = ()
    """.jsonl, .jsonl.gz, .csv, .tsv or .parquet; columns are found by name."""
    hub: str | None = None
    revision: str | None = None
    subset: str | None = None
    hub_split: str = "train"
    collection: str | None = None
    """A folder with queries/CODE.jsonl.gz, corpus/CODE.jsonl.gz and negatives.jsonl.gz (`_id`, `neg`)."""
    split: str = "train"
    """Keep the items of a collection whose `split` field has this value, where they have one."""
    languages: tuple[str, ...] = ()
    """Target languages by the codes of the data; empty means all."""
    negatives: Natural = 5
    """Hard negatives a row, and query negatives where the loss takes them; rows with fewer are dropped and counted."""
    negatives_file: str | None = None
    """File of negatives (`_id`, `neg`) instead of the collection's negatives.jsonl.gz; [mine] fills it in."""
    translations_file: str | None = None
    """File of queries (`language`, `query`, `translation`) in further languages; [translate] fills it in."""
    query_negatives: bool | None = None
    """For rows with role columns whose negatives are mined or queries translated: keep only negatives with a query in
    the row's language, as is always done for a collection. By default only if the loss takes query negatives."""
    bridge: str | None = None
    """Language of the `bridge` role; a row whose passage is missing in it is dropped and counted."""
    language_column: str = "language"
    roles: Mapping[str, str] = field(default_factory=dict)
    """Role -> column, for columns whose name does not say their role."""
    not_in: tuple[str, ...] = ()
    """Evaluation collections whose passages must not occur in the training data."""
    near_duplicate: Annotated[float, Demand(lambda share: 0 < share <= 1, "a share above 0 and at most 1")] = 0.8
    """Share of common word 5-grams from which a passage counts as the same."""
    drop_leaks: bool = False
    """Drop rows whose passages occur in `not_in`, and count them; otherwise the run is refused."""
    name: str | None = None
    """Name of the training set, for the model card and the check of evaluation overlaps."""
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class MinePart:
    """Hard negatives for the English queries of the data, searched before training."""

    model: str = ""
    """`bm25`, or a checkpoint as `model.base` takes it; empty: no mining."""
    margin: Share = 0.05
    """A passage that is as similar as (1 - margin) x the positive may be relevant itself and is left out
    (Moreira et al. 2024, NV-Retriever: TopK-PercPos)."""
    depth: Count = 50
    """Number of ranks from which negatives are taken."""
    skip: Natural = 0
    """Number of first ranks that are left out."""
    keep: Count = 10
    """Negatives kept for each query: more than `data.negatives`, since some have no translated query."""


@dataclass(frozen=True, slots=True)
class TranslatePart:
    """Queries in languages that the data lacks, translated from its English ones before training."""

    model: str = ""
    """A seq2seq model such as NLLB: a folder or a hub id (`id@revision`), with safetensors; empty: no translation."""
    languages: tuple[str, ...] = ()
    """Target languages in any spelling; rows carry the spelling given here."""
    batch_size: Count = 16
    num_beams: Count = 4
    max_length: Count = 128
    """Tokens of a query and of its translation; longer ones are left out and counted."""


@dataclass(frozen=True, slots=True)
class LossPart:
    """The objective; by default with the weights of its row in `LOSSES`."""

    name: str = "clear"
    alpha: NotNegative | None = None
    beta: NotNegative | None = None
    scale: Amount = 20.0
    cached: bool = True
    mini_batch_size: Count = 32
    """Texts of one forward; a cached loss keeps the activations of one of them, an uncached loss of all."""
    mini_batch_num_tokens: Count | None = None
    kl_over: Literal["all", "common", "in_batch"] = "all"
    mask_false_negatives: bool = False
    """Leave out candidates that repeat the row's own passage: an equal text, or an equal id where the data has ids (a
    column `NAME_id` beside each passage column)."""
    preserve_english: NotNegative = 0.0
    """Weight of a term beside the loss: 1 - cosine of anchors and positives to the frozen base's vectors of them."""
    gather_across_devices: bool = False
    matryoshka: tuple[Count, ...] = ()
    authors_gradient_scale: bool = False


@dataclass(frozen=True, slots=True)
class BatchPart:
    """How rows form batches; the same for every loss, so that losses can be compared."""

    size: Count = 32
    """Rows of one process in one step."""
    languages: Literal["homogeneous", "mixed"] = "homogeneous"
    """`homogeneous`: one target language per batch, for harder query negatives; in a mixed batch the language alone
    tells many of them apart."""
    temperature: Amount = 1.0
    """Languages are drawn with p ~ rows^(1 / temperature); large values even them out."""


@dataclass(frozen=True, slots=True)
class TrainingPart:
    """The optimisation."""

    steps: Count | None = None
    epochs: Amount | None = None
    learning_rate: Amount = 5e-5
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup: NotNegative = 0.05
    """A share of the steps if below 1, else a number of steps."""
    weight_decay: NotNegative = 0.0
    max_grad_norm: NotNegative = 1.0
    accumulate: Count = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: Seed = 0
    log_every: Count = 10
    save_every: Natural = 0
    """Steps between the states that `--resume` starts from; 0 saves at the end only."""
    evaluate_every: Natural = 0
    device: str | None = None
    trackers: tuple[str, ...] = ()
    """wandb, tensorboard, mlflow, ...; a tracker that fails is dropped with a warning."""


@dataclass(frozen=True, slots=True)
class EvaluationPart:
    """The evaluation that selects a step: at step 0, every `training.evaluate_every` steps and at the end."""

    tasks: tuple[str, ...] = ()
    """Names or paths of task cards; without any the last step is kept."""
    pairs: tuple[str, ...] = ()
    """Patterns such as `en:en` and `x-en`; by default all pairs of the tasks."""
    limit: Count | None = None
    """The first N queries of each language: a small sample is enough to choose a step."""
    english_margin: NotNegative = 0.01
    """The most that the main metric may fall in English for a checkpoint to be chosen."""
