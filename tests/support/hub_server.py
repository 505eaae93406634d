"""A small hub on 127.0.0.1: repositories with commits, listings, HEAD and ranged GET, and faults on request.

It speaks as much of the hub's protocol as `huggingface_hub` needs for `snapshot_download`, and serves plain
files under /site/ for what comes from official sites. Faults are set by path prefix and counted down.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Fault:
    """What happens to requests whose path contains `part`, `times` times."""

    part: str
    kind: str
    """A status code, or `cut` for a connection that closes in the middle of the body."""
    times: int = 10**6
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Hub:
    """What is served, and what was asked for."""

    url: str = ""
    repositories: dict[str, dict[str, Files]] = field(default_factory=dict)
    """id -> commit -> files; the last commit is `main`."""
    site: Files = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and `Range` header of every request."""
    tokens: list[str] = field(default_factory=list)

    def add(self, repository: str, files: Files, commit: str | None = None) -> str:
        """Add a commit to a repository; gives its name."""
        commits = self.repositories.setdefault(repository, {})
        name = commit or hashlib.sha1(f"{repository} {len(commits)}".encode()).hexdigest()
        commits[name] = files
        return name

    def commit_of(self, repository: str, revision: str) -> str | None:
        commits = self.repositories[repository]
        return list(commits)[-1] if revision == "main" else revision if revision in commits else None

    def fault_for(self, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.part in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None


def is_large(name: str) -> bool:
    """Whether a file is stored by its SHA-256, as the hub does with data files."""
    return name.endswith((".parquet", ".gz", ".zip", ".tsv"))


def blob_name(name: str, content: bytes) -> str:
    """Give the name under which the hub keeps a file: SHA-256 of data files, git's hash of the others."""
    if is_large(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if token := self.headers.get("Authorization"):
            self.hub.tokens.append(token)
        fault = self.hub.fault_for(path)
        if fault and fault.kind.isdigit():
            self._answer(int(fault.kind), b"{}", fault.headers)
        elif path.startswith("/site/"):
            self._file(self.hub.site.get(path.removeprefix("/site/")), path, "", fault)
        elif found := re.fullmatch(
            r"/api/(?:datasets|models)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.+))?)?", path
        ):
            self._api(*found.groups())
        elif found := re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(*found.groups(), fault)
        else:
            self._answer(404, b"{}")

    def _refused(self, repository: str) -> bool:
        if repository not in self.hub.repositories:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif repository in self.hub.gated and not self.headers.get("Authorization"):
            self._answer(401, b"{}", {"X-Error-Code": "GatedRepo"})
        else:
            return False
        return True

    def _api(self, repository: str, kind: str | None, revision: str | None, folder: str | None) -> None:
        if self._refused(repository):
            return
        commit = self.hub.commit_of(repository, revision or "main")
        if commit is None:
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        files = self.hub.repositories[repository][commit]
        if kind == "tree":
            query = parse_qs(urlsplit(self.path).query)
            content: object = _listing(files, folder or "", query.get("recursive", ["false"])[0].lower() == "true")
            if not content:
                self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
        else:
            content = {"id": repository, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repository: str, revision: str, name: str, fault: Fault | None) -> None:
        if self._refused(repository):
            return
        commit = self.hub.commit_of(repository, revision)
        if commit is None:
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif name not in self.hub.repositories[repository][commit]:
            self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        else:
            self._file(self.hub.repositories[repository][commit][name], name, commit, fault)

    def _file(self, content: bytes | None, name: str, commit: str, fault: Fault | None) -> None:
        if content is None:
            self._answer(404, b"{}")
            return
        headers = {"ETag": f'"{blob_name(name, content)}"', "Accept-Ranges": "bytes"}
        if commit:
            headers["X-Repo-Commit"] = commit
        start = 0
        same = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        if same and (found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            start = int(found[1])
        status = 206 if start else 200
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._answer(status, content[start:], headers, cut=bool(fault and fault.kind == "cut"))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            self.close_connection = True


def _listing(files: Files, folder: str, recursive: bool) -> list[dict[str, object]]:
    start = f"{folder}/" if folder else ""
    inside = {name: content for name, content in files.items() if name.startswith(start)}
    here = {name: content for name, content in inside.items() if recursive or "/" not in name.removeprefix(start)}
    folders = {start + name.removeprefix(start).split("/")[0] for name in inside.keys() - here.keys()}
    listed: list[dict[str, object]] = [{"type": "directory", "path": name, "oid": "0" * 40} for name in sorted(folders)]
    return [*listed, *(_entry(name, content) for name, content in here.items())]


def _entry(name: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "file",
        "path": name,
        "size": len(content),
        "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
    }
    if is_large(name):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a hub until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
