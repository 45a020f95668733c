"""Exports as they come: zips of every maker, tar files, folders, single files, parts, and harmful ones."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from twin_assets.feature.crawl.formats import archives
from twin_assets.feature.crawl.formats.archives import archive_members

WANTED = r"(^|/)posts/[^/]+\.txt$"


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar, make_folder])
@pytest.mark.parametrize("around", ["", "export-2024/"])
def test_one_reader_takes_zips_tar_files_and_folders(tmp_path: Path, make, around: str) -> None:
    files = {
        "posts/a.txt": b"one",
        "posts/ä.txt": b"two",
        "photos/a.jpg": b"\xff",
        "__MACOSX/posts/._a.txt": b"x",
    }
    path = make(tmp_path / "export", {around + name: data for name, data in files.items()})
    found = dict(archive_members(path, WANTED))
    assert found == {around + "posts/a.txt": b"one", around + "posts/ä.txt": b"two"}


def test_a_single_file_of_an_export_is_enough(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    assert list(archive_members(tmp_path / "a.txt", r"\.txt$")) == [("a.txt", b"one")]
    with pytest.raises(ValueError, match="not a zip file, a tar file or a folder"):
        list(archive_members(tmp_path / "a.txt", WANTED))


@pytest.mark.parametrize("raw", ["posts/ä.txt".encode(), b"posts\\\xc3\xa4.txt"])
def test_names_in_utf_8_without_the_flag_and_backslashes_are_read(tmp_path: Path, raw: bytes) -> None:
    path = make_zip(tmp_path / "e.zip", {"posts/" + "x" * (len(raw) - 6): b"one"})
    path.write_bytes(path.read_bytes().replace(b"posts/" + b"x" * (len(raw) - 6), raw))
    assert list(archive_members(path, WANTED)) == [("posts/ä.txt", b"one")]


def test_zips_inside_are_looked_into_where_nothing_else_matches(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "i.zip", {"posts/a.txt": b"one"}).read_bytes()
    parts = make_folder(tmp_path / "parts", {"part1.zip": inner, "part2.zip": inner, "read me.pdf": b""})
    assert [name for name, _ in archive_members(parts, WANTED)] == [
        "part1.zip/posts/a.txt",
        "part2.zip/posts/a.txt",
    ]
    twice = make_zip(tmp_path / "t.zip", {"export.zip": inner})
    assert [data for _, data in archive_members(twice, WANTED)] == [b"one"]
    beside = make_zip(tmp_path / "b.zip", {"export.zip": inner, "posts/b.txt": b"two"})
    assert [data for _, data in archive_members(beside, WANTED)] == [b"two"]


def test_what_leads_out_of_a_tar_or_a_folder_is_refused(tmp_path: Path) -> None:
    out = make_tar(tmp_path / "out.tar", {"../posts/a.txt": b"one"}, "w")
    with pytest.raises(ValueError, match="leads out"):
        list(archive_members(out, WANTED))
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        info = tarfile.TarInfo("posts/a.txt")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ValueError, match="symbolic link"):
        list(archive_members(tmp_path / "link.tar", WANTED))
    folder = make_folder(tmp_path / "folder", {"posts/b.txt": b"one"})
    (folder / "posts/a.txt").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="symbolic link"):
        list(archive_members(folder, WANTED))


def test_bombs_are_refused_however_they_are_packed(tmp_path: Path) -> None:
    bomb = make_tar(tmp_path / "bomb.tar.gz", {"other.bin": bytes(30_000_000), "posts/a.txt": b"one"})
    with pytest.raises(ValueError, match="bomb"):
        list(archive_members(bomb, WANTED))
    inner = make_zip(tmp_path / "i.zip", {"posts/a.txt": bytes(30_000_000)}).read_bytes()
    with pytest.raises(ValueError, match="bomb"):
        list(archive_members(make_zip(tmp_path / "o.zip", {"i.zip": inner}), WANTED))


def test_sizes_are_bounded_over_all_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 5)
    folder = make_folder(tmp_path / "folder", {"posts/a.txt": b"one", "posts/b.txt": b"two"})
    with pytest.raises(ValueError, match="too large"):
        list(archive_members(folder, WANTED))


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_archive_that_was_cut_off_on_its_way_says_so(tmp_path: Path, make) -> None:
    path = make(tmp_path / "export", {f"posts/{n}.txt": bytes(range(256)) * 40 for n in range(20)})
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"damaged|cut off"):
        list(archive_members(path, WANTED))
