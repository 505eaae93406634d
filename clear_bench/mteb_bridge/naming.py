"""Names of our tasks, models and data in mteb: names that mteb does not use, revisions that follow from the content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from clear_bench import question
from clear_bench.types import Checkpoint
from clear_bench.types.manifest import ModelPart

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta


def task_name(name: str) -> str:
    """Return the name of one of our tasks in mteb.

    >>> task_name("xquad-local"), task_name("miracl-hn")
    ('ClearXquadLocal', 'ClearMiraclHn')
    """
    return "Clear" + "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def data_revision(digests: Mapping[str, Mapping[str, str]]) -> str:
    """Return a revision for the data of a task, from the digests of all inputs that move a score."""
    content = {name: dict(sorted(found.items())) for name, found in question.asked(digests).items()}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40]


def model_name(name: str, revision: str | None) -> str:
    """Return a model's name in mteb's form `organisation/name`. Only models from the hub keep their own.

    >>> model_name("intfloat/multilingual-e5-small@abc", "abc"), model_name("runs/my model/", None)
    ('intfloat/multilingual-e5-small', 'local/my-model')
    >>> model_name("..", "abc"), model_name("../../x", "abc")
    ('local/model', 'local/x')
    """
    if revision is not None and re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name.partition("@")[0], re.ASCII):
        return name.partition("@")[0]
    kind, _, embedded = name.partition(":")
    if kind == "embedded":
        return f"embedded/{embedded}"
    return "local/" + (
        re.sub(r"[^A-Za-z0-9._-]+", "-", re.split(r"[/\\]", name.rstrip("/\\"))[-1]).strip("-.") or "model"
    )


def model_meta(model: Checkpoint | ModelPart) -> ModelMeta:
    """Return mteb's description of a model from what a manifest says of it.

    The revision is the fingerprint, which changes with weights, prompts and settings: mteb gives every local folder
    one name and one revision, and its cache then returns the scores of whatever ran first.
    """
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    kinds = {"cosine": ScoringFunction.COSINE, "dot": ScoringFunction.DOT_PRODUCT}
    return ModelMeta.create_empty(
        {
            "name": model_name(model.name, model.revision),
            "revision": model.fingerprint[:40],
            "similarity_fn_name": kinds.get(str(model.similarity)),
            "max_tokens": model.max_seq_length,
            "use_instructions": any(model.prompts.values()),
        }
    )
