"""Translates training queries into languages that the data lacks, once, and records how they were made."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from clear_bench.disk import atomic_write, disk_faults, write_text
from clear_bench.documents import Document
from clear_bench.settings import ModelSettings
from clear_bench.train.files import TRANSLATIONS, provenance_file, read_provenance
from clear_bench.train.recipe import Recipe
from clear_bench.train.sources import english_queries
from clear_bench.train.translate import Finished, Outcome, Translator, open_model

log = logging.getLogger(__name__)

EMPTY = "empty"
SAME = "same as the query"
DEFAULTS = ModelSettings()


def with_translated(
    recipe: Recipe,
    folder: Path,
    settings: ModelSettings = DEFAULTS,
    *,
    dry_run: bool = False,
) -> Recipe:
    """Return a recipe whose data has the translations that its [translate] asks for; without it the recipe itself."""
    if not recipe.translate.model:
        return recipe
    path = translate(recipe, folder, settings, dry_run=dry_run)
    return replace(recipe, data=replace(recipe.data, translations_file=str(path)))


def translate(
    recipe: Recipe,
    folder: Path,
    settings: ModelSettings = DEFAULTS,
    *,
    dry_run: bool = False,
) -> Path:
    """Write translations.jsonl.gz (`language`, `query`, `translation`) with its provenance and return its path.

    An identical file is reused, and so are the translations in finished.jsonl, which an interrupted run leaves. A dry
    run translates nothing: it writes a separate file, with the English text behind the language's token as a stand-in.
    """
    from filelock import FileLock

    texts = english_queries(recipe.data, recipe.translate.languages)
    translator = Translator(
        open_model(recipe.translate.model, offline=settings.offline),
        recipe.translate,
        settings.device or recipe.training.device,
    )
    path = folder / ("dry-run.jsonl.gz" if dry_run else "translations.jsonl.gz")
    asked, made = _asked(translator, texts), provenance_file(path)
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
    with lock:  # of several processes, the first translates
        is_same = made.is_file() and asked.items() <= read_provenance(made).items()
        if path.is_file() and is_same and not dry_run:
            return path
        finished = Finished(folder / "finished.jsonl")
        for language in [] if dry_run else recipe.translate.languages:
            translator.translate(texts, language, finished)
        counts = _write(path, translator, texts, finished)
        versions = {name: version(name) for name in ("clear-bench", "transformers", "torch", "tokenizers")}
        write_text(made, json.dumps({**asked, "counts": counts, "device": translator.device, "versions": versions},
                                    indent=1, ensure_ascii=False) + "\n")  # fmt: skip
    return path


def _asked(translator: Translator, texts: Sequence[str]) -> Document:
    found, part = translator.found, translator.part
    return {
        "schema": TRANSLATIONS,
        "model": found.name,
        "fingerprint": found.fingerprint,
        "revision": found.revision,
        "licence": found.licence,
        "languages": translator.tokens,
        "queries": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        "settings": {
            "num_beams": part.num_beams,
            "max_length": part.max_length,
            "batch_size": part.batch_size,
            "do_sample": False,
            "precision": "fp32",
        },
    }


def _write(path: Path, translator: Translator, texts: Sequence[str], finished: Finished) -> dict[str, Document]:
    """Write the usable translations and return the counts of each language."""
    counts: dict[str, Document] = {}
    with atomic_write(path) as temporary, gzip.open(temporary, "wt", encoding="utf-8") as lines:
        for language, token in translator.tokens.items():
            dropped: Counter[str] = Counter()
            done = 0
            for text in texts:
                outcome = finished.outcomes.get(translator.key(text, language))
                done += outcome is not None
                outcome = outcome or Outcome(f"[{token}] {text}")
                if problem := _problem(text, outcome):
                    dropped[problem] += 1
                    continue
                row = {"language": language, "query": text, "translation": outcome.translation}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            counts[language] = {"texts": len(texts), "finished": done, "dropped": dict(dropped)}
            if dropped:
                log.warning(
                    "%d of %d translations to %s are left out: %s", dropped.total(), len(texts), language, dict(dropped)
                )
    return counts


def _problem(text: str, outcome: Outcome) -> str | None:
    if outcome.translation is None:
        return outcome.problem
    if not outcome.translation:
        return EMPTY
    return SAME if outcome.translation == text.strip() else None
