from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from toy_training import smoke

from clear_bench.errors import UsageError
from clear_bench.models import open_checkpoint, query_prompt
from clear_bench.models.prompts import DEFAULT_INSTRUCTION
from clear_bench.train import vocabulary
from clear_bench.train.base import open_base, sides
from clear_bench.train.parts import ModelPart
from clear_bench.train.preview import preview
from clear_bench.train.trainer import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def prompted(base: Path, folder: Path, prompts: dict[str, str]) -> Path:
    """The toy checkpoint with prompts of its own."""
    copy = Path(shutil.copytree(base, folder))
    file = copy / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": prompts}))
    return copy


@pytest.fixture
def instructed(base: Path, tmp_path: Path) -> Path:
    return prompted(base, tmp_path / "instructed", {"query": "Instruct: Find it\nQuery: ", "document": ""})


def test_the_template_of_an_instruction_model_is_filled(instructed: Path, collection: Path) -> None:
    assert "{instruction}" in open_checkpoint(str(instructed)).prompts["query"]
    part = ModelPart(base=str(instructed))
    assert sides(part, open_base(part))[0].prompt == "Instruct: Find it\nQuery: "
    other = ModelPart(base=str(instructed), instruction="Find help")
    assert sides(other, open_base(other))[0].prompt == "Instruct: Find help\nQuery: "
    shown = preview(smoke(instructed, collection, "model.instruction=Find help", "model.query_length=48"))
    assert shown["prompts"] == {"query": "Instruct: Find help\nQuery: ", "passage": ""}


def test_a_family_that_takes_instructions_gets_the_default_one(base: Path, tmp_path: Path) -> None:
    named = prompted(base, tmp_path / "Qwen3-Embedding-0.6B", {})
    part = ModelPart(base=str(named))
    assert sides(part, open_base(part))[0].prompt == f"Instruct: {DEFAULT_INSTRUCTION}\nQuery: "


def test_an_instruction_for_a_model_that_takes_none_is_refused(base: Path) -> None:
    part = ModelPart(base=str(base), instruction="Find help")
    with pytest.raises(UsageError, match=r"'query: ', takes none"):
        sides(part, open_base(part))


@pytest.mark.parametrize(
    ("settings", "default"),
    [((), "Find it"), (("model.instruction=Find help",), "Find help")],
)
def test_evaluation_takes_the_trained_instruction_by_default_and_that_of_a_task_instead(
    instructed: Path, collection: Path, tmp_path: Path, settings: tuple[str, ...], default: str
) -> None:
    out = train(smoke(instructed, collection, "training.steps=1", "model.query_length=48", *settings), tmp_path / "out")
    trained = open_checkpoint(str(out))
    assert query_prompt(trained) == f"Instruct: {default}\nQuery: "
    assert query_prompt(trained, "Another") == "Instruct: Another\nQuery: "


def test_prompts_that_only_a_list_of_models_knows_are_stored_in_what_is_trained(
    base: Path, collection: Path, tmp_path: Path
) -> None:
    named = prompted(base, tmp_path / "Qwen3-Embedding-0.6B", {})
    out = train(smoke(named, collection, "training.steps=1", "model.query_length=48"), tmp_path / "out")
    assert query_prompt(open_checkpoint(str(out))) == f"Instruct: {DEFAULT_INSTRUCTION}\nQuery: "


def test_a_base_keeps_the_prompts_that_it_says_itself(base: Path, collection: Path, tmp_path: Path) -> None:
    out = train(smoke(base, collection, "training.steps=1"), tmp_path / "out")
    saved = [json.loads((one / "config_sentence_transformers.json").read_text())["prompts"] for one in (base, out)]
    assert saved[0] == saved[1]


def test_a_trimmed_vocabulary_knows_the_filled_prompt(
    instructed: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    original = vocabulary.trim

    def watch(source: Path, folder: Path, texts: object) -> None:
        seen.extend(texts)  # type: ignore[call-overload]
        original(source, folder, seen)

    monkeypatch.setattr(vocabulary, "trim", watch)
    settings = [
        "model.trim_vocabulary=true",
        "model.instruction=Find help",
        "model.query_length=48",
        "training.steps=1",
    ]
    train(smoke(instructed, collection, *settings), tmp_path / "out")
    assert any(text.startswith("Instruct: Find help\nQuery: ") for text in seen)
    assert any(text.startswith("Instruct: Find it\nQuery: ") for text in seen)
    assert not any("{instruction}" in text for text in seen)
