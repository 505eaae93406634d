"""Turn the errors that libraries raise over unusable files or texts into ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from clear_bench.errors import CheckpointError, EnvironmentFault, UserError

NOT_THERE = frozenset({None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG})
"""Error numbers that concern a file of the checkpoint; others concern the machine."""


@contextmanager
def library_faults(what: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn any error that a library raises over an unusable file into one `UserError`, except those in `passing`.

    They raise nearly every class there is: `tokenizers` a bare `Exception`, or a panic that is none.
    """
    passed: tuple[type[Exception], ...] = (UserError, *passing)
    try:
        yield
    except passed:
        raise
    except BaseException as error:
        # `torch.OutOfMemoryError` by its name: what reads a tokenizer does not import torch.
        if isinstance(error, ImportError | MemoryError) or type(error).__name__ == "OutOfMemoryError":
            msg = f"{what} here: {error}"
            raise EnvironmentFault(msg) from error
        is_fault = isinstance(error, Exception) or type(error).__name__ == "PanicException"
        if not is_fault or getattr(error, "errno", None) not in NOT_THERE:
            raise
        msg = f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise CheckpointError(msg) from error
