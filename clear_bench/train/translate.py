"""Translates queries with a seq2seq model such as NLLB; finished translations survive a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from clear_bench.disk import disk_faults, sha256_file
from clear_bench.documents import digest_of
from clear_bench.errors import CheckpointError, DataError, UsageError
from clear_bench.languages import canonical
from clear_bench.models.checkpoint import HUB_ID, NO_PART, licence_of, read_card
from clear_bench.models.faults import library_faults
from clear_bench.models.layout import PARTS, read_optional
from clear_bench.models.scan import scan
from clear_bench.progress import progress
from clear_bench.readers.json_lines import objects
from clear_bench.readers.rows import checked_text
from clear_bench.registry import unknown
from clear_bench.train.parts import TranslatePart
from clear_bench.types import ENGLISH

TOO_LONG = "longer than max_length"
CUT_OFF = "translation longer than max_length"


@dataclass(frozen=True, slots=True)
class TranslationModel:
    """A translation model on disk, checked but not loaded."""

    name: str
    path: Path
    revision: str | None
    fingerprint: str
    """Over weights, configuration and tokenizer."""
    licence: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The translation of a text, or the reason why there is none."""

    translation: str | None
    problem: str | None = None


def open_model(spec: str, *, offline: bool = False) -> TranslationModel:
    """Return the model of a folder or hub id, with a fingerprint of all files that can change a translation.

    Raises `CheckpointError` for a model that does not translate, and for pickled weights and code.
    """
    folder, revision, name = Path(spec).expanduser(), None, Path(spec).name
    if not folder.is_dir():
        if not HUB_ID.fullmatch(spec):
            msg = f"translate.model {spec!r} is neither a folder nor a hub id (organisation/name@revision)"
            raise UsageError(msg)
        from clear_bench.models.hub import fetch

        name, _, wanted = spec.partition("@")
        folder, revision = fetch(name, wanted or None, offline=offline, allow_pickle=False, code=False)
    if not read_optional(folder / "config.json").get("is_encoder_decoder"):
        msg = f"translate.model {spec} is not a translation model: its config.json does not set is_encoder_decoder"
        raise CheckpointError(msg)
    if not any(folder.glob("*.safetensors")):
        msg = (
            f"translate.model {spec} has no safetensors, and pickles are not read: save it once in a trusted place "
            "(AutoModelForSeq2SeqLM.from_pretrained(ID).save_pretrained(FOLDER), the tokenizer likewise) and give the "
            "folder, or a hub revision that has them"
        )
        raise CheckpointError(msg)
    files = scan(folder, allow_pickle=False, trust_remote_code=False, twins=revision is not None)
    parts = [path for path in files if path.suffix in PARTS and not NO_PART.fullmatch(path.name)]
    fingerprint = digest_of({path.name: sha256_file(path) for path in parts})
    return TranslationModel(name, folder, revision, fingerprint, licence_of(read_card(folder)))


class Finished:
    """Outcomes by key, in a JSONL file that only grows; an incomplete last line, left by a crash, is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: dict[str, Outcome] = {}
        if not path.is_file():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            path.write_bytes(whole)
        for where, row in objects(path):
            outcome = Outcome(row.get("translation"), row.get("problem"))
            if not all(one is None or isinstance(one, str) for one in (outcome.translation, outcome.problem)):
                msg = f"{where}: {row!r:.60} is not the outcome of a translation; delete the file to translate anew"
                raise DataError(msg)
            self.outcomes[checked_text(row.get("key"), "key", where)] = outcome

    def add(self, outcomes: Mapping[str, Outcome]) -> None:
        """Append the outcomes of a batch."""
        rows = [{"key": key, "translation": one.translation, "problem": one.problem} for key, one in outcomes.items()]
        with disk_faults(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        self.outcomes.update(outcomes)


class Translator:
    """Translates English texts; the weights are loaded for the first batch."""

    def __init__(self, found: TranslationModel, part: TranslatePart, device: str | None = None) -> None:
        self.found = found
        self.part = part
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        positions = read_optional(found.path / "config.json").get("max_position_embeddings")
        if isinstance(positions, int) and part.max_length > positions:
            msg = f"translate.max_length is {part.max_length}, but {found.name} has {positions} positions"
            raise UsageError(msg)
        self.tokenizer = _load_tokenizer(found)
        known = language_tokens(self.tokenizer)
        if ENGLISH not in known:
            msg = f"translate.model {found.name}: its tokenizer has no token for English, as NLLB has (eng_Latn)"
            raise CheckpointError(msg)
        self.tokens: dict[str, str] = {}
        """Language as the recipe spells it -> token of the tokenizer."""
        for language in part.languages:
            if canonical(language) not in known:
                targets = known.keys() - {ENGLISH}
                msg = f"translate.languages: {unknown(f'target of {found.name}', canonical(language), targets)}"
                raise UsageError(msg)
            self.tokens[language] = known[canonical(language)]
        self.tokenizer.src_lang = known[ENGLISH].strip("_")

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model in float32, loaded when first used."""
        with library_faults(f"translate.model {self.found.name} cannot be loaded"):
            model = AutoModelForSeq2SeqLM.from_pretrained(
                str(self.found.path), local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        return model.to(self.device).eval()

    def key(self, text: str, language: str) -> str:
        """Return a digest of all that decides a translation; the batch size changes only rounding."""
        part = self.part
        settings = {"num_beams": part.num_beams, "max_length": part.max_length}
        return digest_of({"model": self.found.fingerprint, "language": self.tokens[language], "text": text, **settings})

    def translate(self, texts: Sequence[str], language: str, finished: Finished) -> None:
        """Translate the texts that are not finished yet.

        A batch has the same texts whether or not some are finished, so a resumed run gives the same translations.
        """
        with progress(len(set(texts)), f"translating to {language}") as advance:
            for batch in self._batches(texts):
                keys = [self.key(text, language) for text in batch]
                if any(key not in finished.outcomes for key in keys):
                    outcomes = zip(keys, self.batch(batch, language), strict=True)
                    finished.add({key: outcome for key, outcome in outcomes if key not in finished.outcomes})
                advance(len(batch))

    def _batches(self, texts: Sequence[str]) -> list[list[str]]:
        """Return batches of texts of similar length, the longest first, so that too little memory shows at once."""
        ordered = sorted(set(texts), key=lambda text: (-len(text), text))
        return [ordered[i : i + self.part.batch_size] for i in range(0, len(ordered), self.part.batch_size)]

    def batch(self, texts: Sequence[str], language: str) -> list[Outcome]:
        """Return the outcomes of one batch."""
        fits = [len(ids) <= self.part.max_length for ids in self.tokenizer(list(texts))["input_ids"]]
        short = [text for text, fit in zip(texts, fits, strict=True) if fit]
        done = iter(self._generate(short, language) if short else [])
        return [next(done) if fit else Outcome(None, TOO_LONG) for fit in fits]

    def _generate(self, texts: list[str], language: str) -> Iterator[Outcome]:
        features = self.tokenizer(texts, return_tensors="pt", padding=True).to(self.device)
        with torch.inference_mode():
            found = self.model.generate(
                **features,
                forced_bos_token_id=self.tokenizer.convert_tokens_to_ids(self.tokens[language]),
                num_beams=self.part.num_beams,
                max_new_tokens=self.part.max_length,
                do_sample=False,
            )
        # The first token starts the decoder, and may be the one that ends a text.
        ended = (found[:, 1:] == self.model.config.eos_token_id).any(dim=1).tolist()
        for text, is_whole in zip(self.tokenizer.batch_decode(found, skip_special_tokens=True), ended, strict=True):
            yield Outcome(text.strip()) if is_whole else Outcome(None, CUT_OFF)


def language_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Return language -> token of a tokenizer whose added tokens name languages: `deu_Latn`, `__de__`, `de_DE`."""
    found: dict[str, str] = {}
    for token in tokenizer.get_added_vocab():
        with suppress(UsageError):
            found.setdefault(canonical(token.strip("_")), token)
    return found


def _load_tokenizer(found: TranslationModel) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(str(found.path), local_files_only=True)
    except (ImportError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        msg = f"translate.model {found.name}: its tokenizer cannot be loaded ({reason}); expected a tokenizer.json"
        raise CheckpointError(msg) from error
