"""Committed baselines: `DIR/moving/<task>` follows accepted models, `DIR/release/<task>` stays as released."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from clear_bench.disk import disk_faults, sync
from clear_bench.store.results import MANIFEST, RUN, Result

MOVING, RELEASE = "moving", "release"


def place_baseline(result: Result, folder: Path) -> Path:
    """Copy a result to `folder/<task>` as a whole, without its run: megabytes that no gate reads.

    The manifest stays as it is, byte for byte, so its digests still hold.
    """
    target = folder / result.task
    names = [MANIFEST, *(name for name in result.manifest["files"] if name != RUN)]
    with disk_faults(target):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".accepting.", dir=folder))
    try:
        with disk_faults(target):
            new, old = temporary / "new", temporary / "old"
            new.mkdir()
            for name in names:
                shutil.copyfile(result.path / name, new / name)
                sync(new / name)
            if target.exists():
                os.rename(target, old)
            os.rename(new, target)
            sync(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
