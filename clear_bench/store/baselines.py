"""Committed baselines: `DIR/moving/<task>` follows accepted models, `DIR/release/<task>` stays as released."""

from __future__ import annotations

import shutil
from pathlib import Path

from clear_bench.disk import disk_faults, sync
from clear_bench.store.folders import atomic_folder
from clear_bench.store.results import MANIFEST, RUN, Result

MOVING, RELEASE = "moving", "release"


def place_baseline(result: Result, folder: Path) -> Path:
    """Copy a result to `folder/<task>` as a whole, without its run: megabytes that no gate reads.

    The manifest stays as it is, byte for byte, so its digests still hold.
    """
    target = folder / result.task
    names = [MANIFEST, *(name for name in result.manifest.files if name != RUN)]
    with disk_faults(target), atomic_folder(target) as temporary:
        for name in names:
            shutil.copyfile(result.path / name, temporary / name)
            sync(temporary / name)
    return target
