"""Download files of official sites to a `.part` file that a later call can continue, and rename them when whole."""

from __future__ import annotations

import http.client
import logging
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from clear_bench.disk import disk_faults
from clear_bench.errors import CardError, EnvironmentFault
from clear_bench.retry import BusyError, asked_wait, attempt, may_pass

_BLOCK = 1 << 20
_TIMEOUT = 60

log = logging.getLogger(__name__)


def download(url: str, target: Path) -> None:
    """Download a file. An unfinished download is continued if the server still has the same file.

    Raises `CardError` where the site has no such file, `EnvironmentFault` where it cannot be reached, refuses, or
    stays busy.
    """
    part = target.with_name(f"{target.name}.part")
    with disk_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s", url)
    attempt(url, lambda: _receive(url, part), lambda reason: EnvironmentFault(f"{url}: {reason}; {_remedy(url)}"))
    part.replace(target)
    _tag(part).unlink(missing_ok=True)


def _receive(url: str, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "clear-bench"})
    tag = _tag(part)
    version = tag.read_text(encoding="utf-8") if tag.is_file() else ""
    if have and version:
        # With If-Range the server sends the whole file when it has changed since.
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            goes_on = response.status == 206
            total = int(response.headers.get("Content-Length") or -1)
            with disk_faults(part), part.open("ab" if goes_on else "wb") as out:
                tag.write_text(response.headers.get("ETag") or "", encoding="utf-8")
                got = _copy(response, out)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is as long as the file: start again
            part.unlink()
        raise _refusal(url, error) from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise BusyError(f"the connection failed ({type(reason).__name__})") from None
    if total >= 0 and got < total:
        raise BusyError(f"the connection was cut after {got} of {total} bytes")


def _copy(response: http.client.HTTPResponse, out: BinaryIO) -> int:
    got = 0
    try:
        while block := response.read(_BLOCK):
            got += out.write(block)
    except http.client.IncompleteRead as error:
        out.write(error.partial)
        raise
    return got


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    if error.code == 416 or may_pass(error.code):
        return BusyError(f"HTTP status {error.code}", asked_wait(error.headers.get("Retry-After")))
    if error.code in (404, 410):
        return CardError(f"{url} is not there (HTTP status {error.code}); {_remedy(url)}")
    return EnvironmentFault(f"{url}: the site refuses (HTTP status {error.code}); {_remedy(url)}")


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _remedy(url: str) -> str:
    name = os.path.basename(url)
    return f"get {name} elsewhere and give it with `clear-bench fetch TASK --source FILE`"
