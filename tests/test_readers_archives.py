"""Members come out of archives one by one, and never land outside their folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from clear_bench.errors import DataError
from clear_bench.readers.archives import extract


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_member_is_taken_out_of_every_kind(name: str, tmp_path: Path) -> None:
    archive = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("x/one.json", "[1]")
    else:
        with tarfile.open(archive, "w:gz" if name.endswith("gz") else "w") as tar:
            info = tarfile.TarInfo("./x/one.json")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"[1]"))
    path = extract(archive, "x/one.json", tmp_path / "members")
    assert path.read_text() == "[1]"
    assert path.relative_to(tmp_path / "members") == Path("x/one.json")


def test_a_member_that_was_changed_is_taken_out_again(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("one.json", "[1]")
    path = extract(archive, "one.json", tmp_path / "members")
    path.write_text("[2]")
    assert extract(archive, "one.json", tmp_path / "members").read_text() == "[1]"


def test_a_link_in_an_archive_leads_nowhere_outside(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("link.json")
        info.type, info.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(info)
    with pytest.raises(DataError, match="is not a plain file"):
        extract(archive, "link.json", tmp_path / "members")


@pytest.mark.parametrize("name", ["../outside.json", "/etc/outside.json", "a/../../b.json", "C:\\outside.json"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_with_a_member_outside_its_folder_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("good.json", "{}")
            opened.writestr(zipfile.ZipInfo(name), "evil")
    else:
        with tarfile.open(archive, "w") as tar:
            for member in ("good.json", name):
                info = tarfile.TarInfo(member)
                info.size = 4
                tar.addfile(info, io.BytesIO(b"evil"))
    with pytest.raises(DataError, match="points outside the archive's folder"):
        extract(archive, "good.json", tmp_path / "members")
    assert not (tmp_path / "members").exists()


def test_an_archive_without_the_member_names_those_it_has(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("x/one.json", "{}")
    with pytest.raises(DataError, match=r"no member 'two.json', but x/one.json"):
        extract(archive, "two.json", tmp_path)
    archive.write_bytes(archive.read_bytes()[:20])
    with pytest.raises(DataError, match="not a zip or tar archive"):
        extract(archive, "x/one.json", tmp_path)
