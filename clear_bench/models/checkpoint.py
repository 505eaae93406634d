"""Find a checkpoint, check it, and name it by a fingerprint of its weights. Nothing here imports torch."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from clear_bench.disk import sha256_file
from clear_bench.documents import digest_of
from clear_bench.errors import CheckpointError, UsageError
from clear_bench.models import prompts
from clear_bench.models.layout import PARTS, read_json, read_modules, read_optional, strings_in
from clear_bench.models.scan import is_pickle, scan
from clear_bench.settings import ModelSettings, Precision
from clear_bench.types import Checkpoint, Similarity

log = logging.getLogger(__name__)

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
NO_PART = re.compile(
    r"manifest\.json|trainer_state\.json|data_config\.json|\w+_results\.json|(requirements|log)\w*\.txt"
)
"""Files with such endings that change no vector."""
OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer", "xmod", "roberta-prelayernorm"}
)
"""Model types whose first two positions stand for padding."""
TABLED_POSITIONS = OFFSET_POSITIONS | {"bert", "distilbert", "electra", "albert", "mobilebert", "big_bird", "ernie"}
"""Model types that look each position up in a table: a text that is longer ends in an error."""
SAVED = "config_sentence_transformers.json"
MANIFEST = "manifest.json"
"""What `clear-bench train` leaves beside the weights."""


def open_checkpoint(
    spec: str,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
) -> Checkpoint:
    """Find a folder, a hub id (`organisation/name@revision`) or `embedded:NAME`, check it and fingerprint it.

    Raises `UsageError` for a name that stands for nothing, `CheckpointError` for a checkpoint that cannot be loaded
    safely, and `EnvironmentFault` when the hub does not answer.
    """
    if settings.precision not in get_args(Precision):
        msg = f"unknown precision {settings.precision!r}; known: {', '.join(get_args(Precision))}"
        raise UsageError(msg)
    folder, revision, hub_id = _locate(spec, settings)
    code = settings.trust_remote_code
    files = scan(folder, twins=hub_id is not None, allow_pickle=settings.allow_pickle, trust_remote_code=code)
    saved, config, card = read_optional(folder / SAVED), read_optional(folder / "config.json"), read_card(folder)
    if not read_modules(folder):
        log.warning("%s has no modules.json: it runs with mean pooling, as sentence-transformers would", spec)
    weights, everything = _digests(folder, files, code)
    draft = Checkpoint(
        name=spec,
        path=folder,
        fingerprint="",
        weights_digest=weights,
        prompts=prompts.settle(
            hub_id or spec,
            [*strings_in(config.get("_name_or_path")), *strings_in(card.get("base_model"))],
            prompts.carried(saved.get("prompts"), str(folder / SAVED)),
            settings.query_prompt,
            settings.passage_prompt,
            is_hub_id=hub_id is not None,
        ),
        similarity=settings.similarity or _similarity(saved, folder),
        max_seq_length=sequence_length(folder, settings.max_seq_length),
        precision=settings.precision,
        revision=revision,
        licence=licence_of(card),
        trained_on=_trained_on(folder, card),
        truncate_dim=settings.truncate_dim,
    )
    return fingerprinted(draft, {"files": everything})


def fingerprinted(draft: Checkpoint, content: Mapping[str, object]) -> Checkpoint:
    """Return a checkpoint named by the digest of its content and of its settings that decide a vector."""
    names = ("prompts", "similarity", "max_seq_length", "precision")
    digest = digest_of({**content, **{name: getattr(draft, name) for name in names}})
    return replace(draft, cache_digest=digest, fingerprint=truncated(digest, draft.truncate_dim))


def truncated(cache_digest: str, truncate_dim: int | None) -> str:
    """Return the fingerprint of a checkpoint whose vectors are truncated, from the digest of its full vectors."""
    return cache_digest if truncate_dim is None else digest_of({"vectors": cache_digest, "truncate_dim": truncate_dim})


def sequence_length(folder: Path, wanted: int | None = None) -> int | None:
    """Return how many tokens a text may have, specials included, by sentence-transformers' rules; None if unknown.

    Raises `UsageError` when `wanted` is more than the model has positions for.
    """
    modules = read_modules(folder)
    root = folder / modules[0].path if modules else folder
    config = read_optional(root / "config.json")
    usable = _usable_positions(config, root)
    if wanted is not None:
        if usable and wanted > usable:
            msg = f"max_seq_length {wanted} is more than the {usable} positions that {folder.name} has"
            raise UsageError(msg)
        return wanted
    own = next((length for path in sorted(root.glob("sentence_*_config.json")) if (length := _own_length(path))), None)
    if own is not None:
        return min(own, usable) if usable and _has_table(config) else own
    limit = read_optional(root / "tokenizer_config.json").get("model_max_length")
    # Tokenizers without a limit of their own save 1e30.
    limits = [int(value) for value in (limit, usable) if isinstance(value, int | float) and 1 <= value < 1e9]
    return min(limits, default=None)


def _usable_positions(config: Mapping[str, object], root: Path) -> int | None:
    """Return the number of positions for tokens, or None if the configuration does not say."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:
        return None
    usable = positions - 2 if config.get("model_type") in [*OFFSET_POSITIONS] else positions
    if usable < 1:
        msg = f"{root / 'config.json'}: max_position_embeddings {positions} leaves no position for a token"
        raise CheckpointError(msg)
    return usable


def _has_table(config: Mapping[str, object]) -> bool:
    own_code = "auto_map" in config or config.get("position_embedding_type", "absolute") != "absolute"
    return config.get("model_type") in [*TABLED_POSITIONS] and not own_code


def _own_length(path: Path) -> int | None:
    """Read the length that sentence-transformers has saved; None if there is none."""
    length = read_optional(path).get("max_seq_length")
    if length is None:
        return None
    if isinstance(length, bool) or not isinstance(length, int | float) or not 1 <= length < math.inf:
        msg = f"{path}: max_seq_length is {length!r:.100}; expected a number of tokens, 1 or more"
        raise CheckpointError(msg)
    return int(length)


def read_card(folder: Path) -> dict[str, object]:
    """Read the YAML head of a model card. Return an empty dict when there is none that can be read."""
    path = folder / "README.md"
    if not path.is_file():
        return {}
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:  # it comes with everything that could load the model
        return {}
    match = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", path.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        card = yaml.safe_load(match[1]) if match else {}
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # PyYAML lets through what Python says of impossible dates, empty numbers and the like.
        log.info("%s: the head of the model card is not YAML (%s)", path, error)
        return {}
    return card if isinstance(card, dict) else {}


def _locate(spec: str, settings: ModelSettings) -> tuple[Path, str | None, str | None]:
    """Return the local folder that a name stands for, and the revision and hub id of a hub model."""
    kind, _, name = spec.partition(":")
    if kind == "embedded":
        from clear_bench.models.embedded import build

        return build(name), None, None
    if Path(spec).expanduser().is_dir():
        return Path(spec).expanduser().resolve(), None, None
    if Path(spec).is_file():
        msg = f"{spec} is a file; give the folder of the checkpoint, with modules.json or config.json in it"
        raise CheckpointError(msg)
    if not HUB_ID.fullmatch(spec) or spec.startswith((".", "~")):
        msg = (
            f"unknown model {spec!r}: there is no such folder; "
            "give a folder, a hub id (organisation/name or organisation/name@revision), or embedded:NAME"
        )
        raise UsageError(msg)
    from clear_bench.models.hub import fetch

    repository, _, revision = spec.partition("@")
    folder, commit = fetch(
        repository,
        revision or None,
        offline=settings.offline,
        allow_pickle=settings.allow_pickle,
        code=settings.trust_remote_code,
    )
    return folder, commit, repository


def _digests(folder: Path, files: Sequence[Path], code: bool) -> tuple[str, str]:
    """Hash the weights, and everything that can change a vector, each as (relative name, SHA-256) in order of name."""
    lines: dict[str, str] = {}
    weights: dict[str, str] = {}
    for path in files:
        if _is_part(path, code):
            digest = sha256_file(path)
            name = path.relative_to(folder).as_posix()
            lines[name] = digest
            if path.suffix == ".safetensors" or is_pickle(path):
                weights[name] = digest
    return digest_of(weights), digest_of(lines)


def _is_part(path: Path, code: bool) -> bool:
    if path.suffix == ".py":
        return code  # counts where it was allowed to run
    return is_pickle(path) or (path.suffix in PARTS and not NO_PART.fullmatch(path.name))


def _similarity(saved: Mapping[str, object], folder: Path) -> Similarity:
    found = saved.get("similarity_fn_name") or "cosine"
    if known := known_similarity(found):
        return known
    msg = f"{folder} compares vectors by {found!r}; clear-bench searches by cosine or dot: choose with --similarity"
    raise CheckpointError(msg)


def known_similarity(name: object) -> Similarity | None:
    """Return the similarity of that name; None where we do not search by it."""
    return next((known for known in get_args(Similarity) if known == name), None)


def licence_of(card: Mapping[str, object]) -> str | None:
    """Return the licence that a model card names."""
    licence = card.get("license_name") or card.get("license")
    return ", ".join(strings_in(licence)) or None


def _trained_on(folder: Path, card: Mapping[str, object]) -> tuple[str, ...]:
    """List training sets by name: those of our own training manifest, else of the model card."""
    path = folder / MANIFEST
    manifest = read_json(path) if path.is_file() else None
    ours = None
    if isinstance(manifest, dict) and str(manifest.get("schema", "")).startswith("clear-bench/train/"):
        ours = manifest.get("trained_on")
    return tuple(strings_in(ours if ours is not None else card.get("datasets")))
