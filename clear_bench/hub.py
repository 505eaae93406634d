"""Repositories of a model hub: located and fetched at a revision, with one sentence for every way that this fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clear_bench.disk import FORBIDDEN, FULL
from clear_bench.errors import EnvironmentFault, MissingExtraError, UserError
from clear_bench.retry import BusyError, asked_wait, attempt, may_pass


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at a revision, and what its user is told where it cannot be had."""

    kind: Literal["model", "dataset"]
    name: str
    revision: str | None
    at: str
    """Name and revision, as messages show them."""
    remedy: str
    """How to go on without the hub."""
    invalid: type[UserError]
    """Raised for a name that is not an id, and for a revision that does not exist."""
    refused: type[UserError]
    """Raised where this user may not read the repository, or where it does not exist."""
    unlike: str
    """What is said of a name that is not an id."""
    revision_advice: str
    """What is said of a revision that does not exist."""
    elsewhere: str = ""
    """What is said first of a repository that does not exist."""

    @property
    def page(self) -> str:
        """Where a person accepts its terms."""
        return "/".join([endpoint(), *(["datasets"] if self.kind == "dataset" else []), self.name])


def snapshot(repository: Repository, patterns: Sequence[str], offline: bool, ignored: Sequence[str] = ()) -> Path:
    """Fetch what matches the patterns; return the folder of the repository at its commit, which names it.

    A busy hub is asked again. Raises the repository's errors, or `EnvironmentFault` where the hub cannot be reached,
    stays busy, or is not asked (`offline`) for something that is not in its local cache.
    """
    try:
        from huggingface_hub import errors, snapshot_download
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise MissingExtraError("huggingface_hub", "cpu") from None
    if not sys.stderr.isatty():
        disable_progress_bars()
    transport = vars(errors)["HTTPError"]  # of the HTTP library that the hub's client is built on

    def action() -> Path:
        try:
            folder = snapshot_download(
                repository.name,
                repo_type=repository.kind,
                revision=repository.revision,
                allow_patterns=list(patterns),
                ignore_patterns=list(ignored),
                local_files_only=offline,
                max_workers=4,
            )
        except errors.RevisionNotFoundError as error:
            msg = f"{repository.name} has no revision {repository.revision!r}{repository.revision_advice}"
            raise repository.invalid(msg) from error
        except errors.HFValidationError as error:
            raise repository.invalid(f"{repository.name!r} {repository.unlike}") from error
        except (errors.LocalEntryNotFoundError, transport, OSError) as error:
            raise _fault(repository, error, offline) from error
        return Path(folder)

    def give_up(reason: str) -> Exception:
        what = "cannot be reached for" if reason.startswith(_CUT) else "does not serve"
        return EnvironmentFault(f"{endpoint()} {what} {repository.at}: {reason}; {repository.remedy}")

    return attempt(repository.at, action, give_up)


def endpoint() -> str:
    """Return the address of the hub."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def is_offline() -> bool:
    """Whether the environment asks the hub's client to stay away from the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}


_CUT = "the connection failed"


def _fault(repository: Repository, error: BaseException, offline: bool) -> Exception:
    """Return the error for what went wrong, by the hub's answer; it may be the cause of the error of the client."""
    from huggingface_hub import errors

    at = repository.at
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    if isinstance(cause, OSError) and cause.errno in {*FULL, *FORBIDDEN}:
        state = "is full" if cause.errno in FULL else "cannot be written"
        return EnvironmentFault(f"{at}: the disk of the hub's cache {state}; point HF_HOME at another folder")
    response = getattr(cause, "response", None)
    status = getattr(response, "status_code", 0)
    login = "set HF_TOKEN or run `hf auth login`"
    if isinstance(cause, errors.GatedRepoError) or status == 403:
        return repository.refused(f"{at} is behind an agreement: accept it at {repository.page}, then {login}")
    if isinstance(cause, errors.RepositoryNotFoundError) or status == 401:
        known = f"{repository.elsewhere}{endpoint()} has no {repository.kind} {at} that this user may read"
        return repository.refused(f"{known}; where it is private or gated, {login}")
    if response is not None and may_pass(status):
        return BusyError(f"HTTP status {status}", asked_wait(response.headers.get("Retry-After")))
    if offline or is_offline():
        return EnvironmentFault(f"{at} is not wholly in the local cache, and this run is offline; {repository.remedy}")
    if isinstance(cause, ConnectionError) or not isinstance(cause, FileNotFoundError):
        return BusyError(f"{_CUT} ({type(cause).__name__})")
    return EnvironmentFault(f"{endpoint()} cannot be reached for {at}; {repository.remedy}")
