"""Archives are read in place, whatever they hold, and nothing in them reaches the disk."""

import contextlib
import gzip
import hashlib
import io
import multiprocessing
import os
import pickle
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import CurationError, ErrorCode
from curation.storage.archive_members import UnreadableMember
from curation.storage.archives import ArchiveReader, Limits, archive_kind, close_readers, list_members, read_member
from tests.errors import fails_with
from tests.sources.builders import as_nobody, make_folder, make_tar, make_zip, patch_directory

FILES = {"Train/nevus/b.jpg": b"b" * 3000, "Train/melanoma/a.jpg": bytes(range(256)) * 9, "read me.txt": b""}
TAR_MODES = {"x.tar": "w", "x.tar.gz": "w:gz", "x.tar.bz2": "w:bz2", "x.tar.xz": "w:xz"}

parts = st.text(st.characters(codec="utf-8", exclude_characters="/\0", categories=["L", "N", "P", "Z"]), min_size=1)
names = st.lists(parts.filter(lambda part: part.strip(".") and len(part.encode()) < 80), min_size=1, max_size=3)
contents = st.dictionaries(names.map("/".join), st.binary(max_size=300), max_size=6).filter(
    lambda files: not any(other.startswith(name + "/") for name in files for other in files)
)


def read_all(path: Path) -> dict[str, bytes]:
    """Return path -> bytes of every member."""
    return {member.path: read_member(path, member) for member in list_members(path)}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_gives_back_every_file(tmp_path, method):
    """A zip of any method is listed sorted by path and gives back the bytes that went in."""
    path = make_zip(tmp_path / "x.zip", FILES, method=method)
    assert [member.path for member in list_members(path)] == sorted(FILES)
    assert read_all(path) == FILES


def test_every_way_of_writing_a_zip_is_read(tmp_path):
    """A zip written to a pipe, with 64-bit sizes, or behind a self-extractor gives back its files."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            with archive.open(name, "w", force_zip64=name.endswith(".jpg")) as member:
                member.write(content)
    (tmp_path / "x.zip").write_bytes(pipe.getvalue())
    assert read_all(tmp_path / "x.zip") == FILES
    (tmp_path / "sha").write_bytes(b"MZ" + bytes(998) + pipe.getvalue())
    members = list_members(tmp_path / "sha", name="x.ZIP")
    assert {member.path: read_member(tmp_path / "sha", member) for member in members} == FILES


@pytest.mark.parametrize(("name", "mode"), TAR_MODES.items())
def test_tar_gives_back_every_file(tmp_path, name, mode):
    """A tar, plain or compressed, gives back the bytes that went in, in any order, without its suffix too."""
    path = make_tar(tmp_path / name, FILES, mode=mode)
    path = path.rename(tmp_path / "without-suffix")
    members = list_members(path)
    assert {member.path: read_member(path, member) for member in reversed(members)} == FILES


@settings(max_examples=40)
@given(files=contents)
def test_folder_zip_and_tar_are_the_same(files, tmp_path_factory):
    """Whatever the names and bytes, a folder, its zip and its tar give the same paths and bytes."""
    root = tmp_path_factory.mktemp("same")
    folder = root / "folder"
    folder.mkdir()
    make_folder(folder, files)
    make_zip(root / "x.zip", files)
    make_tar(root / "x.tar", files)
    assert read_all(folder) == read_all(root / "x.zip") == read_all(root / "x.tar") == files


def test_folders_are_no_members(tmp_path):
    """Folders inside a zip or tar are not listed, nor is the ./ that tar puts before every name."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.mkdir("empty")
        archive.writestr("full/a.jpg", b"a")
    folder = make_folder(tmp_path / "folder", {"full/a.jpg": b"a"})
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(folder, arcname=".")
    assert read_all(tmp_path / "x.zip") == read_all(tmp_path / "x.tar") == {"full/a.jpg": b"a"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_of_one_name_are_numbered(tmp_path):
    """Files of one name inside an archive all stay, numbered in its order, around names that look numbered."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, content in [("a.b/c.jpg", b"1"), ("a.b/c.jpg", b"2"), ("a.b/c~2.jpg", b"3"), ("a.b/c.jpg", b"4")]:
            archive.writestr(name, content)
    numbered = {"a.b/c.jpg": b"1", "a.b/c~3.jpg": b"2", "a.b/c~2.jpg": b"3", "a.b/c~4.jpg": b"4"}
    assert read_all(tmp_path / "x.zip") == numbered
    make_tar(tmp_path / "x.tar", {"c": b"1"})
    with tarfile.open(tmp_path / "x.tar", "a") as archive:
        header = tarfile.TarInfo("c")
        header.size = 1
        archive.addfile(header, io.BytesIO(b"2"))
    assert read_all(tmp_path / "x.tar") == {"c": b"1", "c~2": b"2"}


HOSTILE = [
    "../../escape.jpg",
    "/etc/absolute.jpg",
    "line\nbreak.jpg",
    "tab\there.jpg",
    "..",
    "C:\\x\\y.jpg",
    "a//b.jpg",
]


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_hostile_names_stay_text(tmp_path, monkeypatch, make):
    """Names that lead elsewhere or hold control characters are kept as they are, read, and never reach the disk."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    path = make(inside / "x", {name: name.encode() for name in HOSTILE})
    assert read_all(path) == {name.replace("//", "/"): name.encode() for name in HOSTILE}
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", inside, path]


def test_backslashes_of_dos_zips_are_separators(tmp_path):
    """A zip made on DOS or Windows may separate folders by backslashes."""
    header = zipfile.ZipInfo("Train\\nevus\\a.jpg")
    header.create_system = 0
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(header, b"a")
    assert read_all(tmp_path / "x.zip") == {"Train/nevus/a.jpg": b"a"}


def test_names_that_are_no_utf8_can_be_stored(tmp_path):
    """Bytes in a name that are not UTF-8 become text that can be stored, the same in every run."""
    raw = os.fsencode(tmp_path) + b"/folder/caf\xe9.jpg"
    (tmp_path / "folder").mkdir()
    with open(raw, "wb") as stream:  # noqa: PTH123 - a Path would be longer
        stream.write(b"x")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "folder", arcname="")
    assert read_all(tmp_path / "folder") == read_all(tmp_path / "x.tar") == {"caf\\xe9.jpg": b"x"}
    make_zip(tmp_path / "x.zip", {"caf_.jpg": b"x"})
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace(b"caf_", b"caf\x82"))
    assert read_all(tmp_path / "x.zip") == {"café.jpg": b"x"}  # cp437, as the format has it
    (tmp_path / "y.zip").write_bytes(
        make_zip(tmp_path / "y", {"caf__.jpg": b"x"}).read_bytes().replace(b"__", "é".encode())
    )
    assert read_all(tmp_path / "y.zip") == {"café.jpg": b"x"}  # UTF-8 without the flag, as many tools write it


def test_a_name_that_lies_about_utf8_is_an_error(tmp_path):
    """A zip that flags an invalid name as UTF-8 is refused with a hint."""
    path = make_zip(tmp_path / "x.zip", {"caf_.jpg": b"x"})
    path.write_bytes(path.read_bytes().replace(b"caf_", b"caf\xff"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 9] |= 0x08
    path.write_bytes(content)
    with fails_with(ErrorCode.ARCHIVE_DAMAGED, "x.zip", "UTF-8"):
        list_members(path)


def test_encrypted_files_are_refused(tmp_path):
    """An encrypted file is listed with the reason and cannot be read; the others can."""
    path = patch_directory(make_zip(tmp_path / "x.zip", {"a.jpg": b"a", "b.jpg": b"b"}), "a.jpg", flags=0x1)
    secret, plain = list_members(path)
    assert secret.refused == ("encrypted", None)
    with pytest.raises(UnreadableMember, match="encrypted"):
        read_member(path, secret)
    assert read_member(path, plain) == b"b"


def test_bombs_are_refused(tmp_path):
    """A file that expands out of all proportion is refused; a blank image of ordinary size is not."""
    path = make_zip(tmp_path / "x.zip", {"bomb.tif": bytes(20 << 20), "blank.tif": bytes(4 << 20)})
    blank, bomb = list_members(path, limits=Limits(ratio_floor_bytes=16 << 20))
    assert bomb.refused == ("archive-bomb", "20.4 KB expands to 21 MB")
    assert read_member(path, blank) == bytes(4 << 20)


def test_huge_files_are_refused(tmp_path):
    """A file beyond the limit is refused in every kind of archive."""
    files = {"a.jpg": os.urandom(2000), "b.jpg": b"b"}
    folder = make_folder(tmp_path / "folder", files)
    for path in (folder, make_zip(tmp_path / "x.zip", files), make_tar(tmp_path / "x.tar", files)):
        reasons = [member.refused for member in list_members(path, limits=Limits(member_bytes=1000))]
        assert reasons == [("file-too-large", "1 KB"), None]


def test_bombs_that_lie_give_no_more_than_declared(tmp_path):
    """A file longer than it declares is unreadable, and no more of it is unpacked than was declared."""
    path = make_zip(tmp_path / "x.zip", {"bomb.tif": bytes(64 << 20)})
    patch_directory(path, "bomb.tif", size=1000)
    (member,) = list_members(path)
    tracemalloc.start()
    with pytest.raises(UnreadableMember, match="another length"):
        read_member(path, member)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_files_that_share_their_bytes_are_refused(tmp_path):
    """Many names over one stream are a bomb; all but the last are refused."""
    path = make_zip(tmp_path / "x.zip", {"a.jpg": b"a" * 50, "b.jpg": b"a" * 50})
    patch_directory(path, "b.jpg", offset=0)
    reasons = [member.refused for member in list_members(path)]
    assert reasons == [("archive-bomb", "shares its bytes with another file"), None]


def test_unknown_methods_are_refused(tmp_path):
    """A method that no reader here knows is a reason."""
    path = patch_directory(make_zip(tmp_path / "x.zip", {"a.jpg": b"a"}), "a.jpg", method=97)
    assert [member.refused for member in list_members(path)] == [("unsupported-compression", "97")]


def test_links_in_a_zip_are_refused(tmp_path):
    """A zip's symbolic link is refused, not read as an image."""
    header = zipfile.ZipInfo("a.jpg")
    header.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(header, "/etc/passwd")
    assert [member.refused for member in list_members(tmp_path / "x.zip")] == [("not-a-file", "link")]


def test_damaged_bytes_are_a_reason(tmp_path):
    """A flipped byte, a broken stream and a missing header each have their stable reason."""
    stored = make_zip(tmp_path / "x.zip", {"a.jpg": b"abcdef"}, method=zipfile.ZIP_STORED)
    stored.write_bytes(stored.read_bytes().replace(b"abcdef", b"abXdef"))
    with pytest.raises(UnreadableMember, match="zip entry fails its checksum"):
        read_member(stored, list_members(stored)[0])
    packed = make_zip(tmp_path / "y.zip", {"a.jpg": b"abcdef" * 99})
    content = bytearray(packed.read_bytes())
    content[30 + len("a.jpg")] = 0xFF
    packed.write_bytes(content)
    with pytest.raises(UnreadableMember, match="zip entry cannot be unpacked"):
        read_member(packed, list_members(packed)[0])
    patch_directory(packed, "a.jpg", offset=7)
    with pytest.raises(UnreadableMember, match="without a header"):
        read_member(packed, list_members(packed)[0])


@pytest.mark.parametrize("name", ["x.zip", *TAR_MODES])
def test_truncated_archives_are_errors_that_name_the_file(tmp_path, name):
    """An archive cut short anywhere is an error naming it, never a shorter list."""
    path = tmp_path / name
    files = {f"{index}.jpg": os.urandom(700) for index in range(3)}
    make_zip(path, files) if name == "x.zip" else make_tar(path, files, mode=TAR_MODES[name])
    content = path.read_bytes()
    end = len(content) - 1 if name != "x.tar" else 3 * 1536 - 1  # a tar is padded with zeros at its end
    for cut in range(0, end, max(1, end // 60)):
        path.write_bytes(content[:cut])
        with fails_with(ErrorCode.ARCHIVE_DAMAGED, name):
            list_members(path)


def test_a_tar_with_a_broken_header_is_an_error(tmp_path):
    """A header broken in the middle is an error; what stands behind it is not silently left out."""
    path = make_tar(tmp_path / "x.tar", {"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"})
    content = bytearray(path.read_bytes())
    content[1024 + 10] ^= 0xFF
    path.write_bytes(content)
    with fails_with(ErrorCode.ARCHIVE_DAMAGED, "x.tar"):
        list_members(path)


@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(["x.zip", "x.tar", "x.tar.gz"]))
def test_damage_is_an_error_or_a_reason(data, name, tmp_path_factory):
    """Whatever bytes are overwritten, listing and reading end well, in an error for people, or in a reason."""
    root = tmp_path_factory.mktemp("damage")
    path = make_zip(root / name, FILES) if name == "x.zip" else make_tar(root / name, FILES, mode=TAR_MODES[name])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        members = list_members(path)
    except CurationError:
        return
    for member in members:
        with contextlib.suppress(UnreadableMember):
            assert len(read_member(path, member)) == member.size_bytes


def add_header(archive: tarfile.TarFile, name: str, kind: bytes, target: str = "") -> None:
    """Append a header without bytes to a tar."""
    header = tarfile.TarInfo(name)
    header.type = kind
    header.linkname = target
    archive.addfile(header)


def test_links_in_a_tar_are_followed_inside_only(tmp_path):
    """A link to a file of the tar gives that file's bytes; every other one is refused with its reason."""
    path = make_tar(tmp_path / "x.tar", {"d/a.jpg": b"a"})
    with tarfile.open(path, "a") as archive:
        add_header(archive, "d/folder", tarfile.DIRTYPE)
        add_header(archive, "d/symbolic", tarfile.SYMTYPE, "../d/a.jpg")
        add_header(archive, "hard", tarfile.LNKTYPE, "d/a.jpg")
        add_header(archive, "chain", tarfile.SYMTYPE, "hard")
        add_header(archive, "out", tarfile.SYMTYPE, "../../etc/passwd")
        add_header(archive, "absolute", tarfile.SYMTYPE, "/etc/passwd")
        add_header(archive, "circle", tarfile.SYMTYPE, "circle")
        add_header(archive, "nothing", tarfile.SYMTYPE, "missing.jpg")
        add_header(archive, "tofolder", tarfile.SYMTYPE, "d/folder")
        add_header(archive, "device", tarfile.CHRTYPE)
        add_header(archive, "pipe", tarfile.FIFOTYPE)
    members = list_members(path)
    assert {member.path: member.refused for member in members} == {
        "d/a.jpg": None,
        "d/symbolic": None,
        "hard": None,
        "chain": None,
        "out": ("not-a-file", "link that leaves the archive"),
        "absolute": ("not-a-file", "link that leaves the archive"),
        "circle": ("not-a-file", "link that leads in a circle"),
        "nothing": ("not-a-file", "link to nothing"),
        "tofolder": ("not-a-file", "link to a folder"),
        "device": ("not-a-file", "device"),
        "pipe": ("not-a-file", "pipe"),
    }
    assert {read_member(path, member) for member in members if member.refused is None} == {b"a"}


def test_links_in_a_folder_are_followed_inside_only(tmp_path):
    """A link to a file inside the folder is read; loops end, and what leads out or nowhere is refused."""
    folder = make_folder(tmp_path / "folder", {"d/a.jpg": b"a"})
    make_folder(tmp_path / "folder-beside", {"secret": b"s"})
    (folder / "inside").symlink_to("d/a.jpg")
    (folder / "out").symlink_to("../folder-beside/secret")
    (folder / "nothing").symlink_to("missing")
    (folder / "d" / "up").symlink_to("..")
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    os.mkfifo(folder / "pipe")
    members = list_members(folder)
    assert {member.path: member.refused for member in members} == {
        "d/a.jpg": None,
        "d/up": ("not-a-file", "link to a folder"),
        "inside": None,
        "nothing": ("not-a-file", "link to nothing"),
        "one": ("not-a-file", "link that leads in a circle"),
        "out": ("not-a-file", "link that leaves the folder"),
        "pipe": ("not-a-file", "pipe"),
        "two": ("not-a-file", "link that leads in a circle"),
    }
    assert {read_member(folder, member) for member in members if member.refused is None} == {b"a"}


def test_a_linked_folder_is_a_source_like_any(tmp_path):
    """A folder that is itself reached through a link is read as if it were not."""
    make_folder(tmp_path / "folder", {"d/a.jpg": b"a"})
    (tmp_path / "link").symlink_to("folder")
    assert read_all(tmp_path / "link") == {"d/a.jpg": b"a"}


def test_unreadable_files_and_folders_are_reasons(open_folder):
    """A file or folder without permission is a reason for its path; the rest is read."""
    make_folder(open_folder, {"a.jpg": b"a", "b.jpg": b"b", "closed/c.jpg": b"c"})
    (open_folder / "b.jpg").chmod(0)
    (open_folder / "closed").chmod(0)
    with as_nobody():
        members = {member.path: member for member in list_members(open_folder)}
        assert members["closed"].refused == ("folder-unreadable", "permission denied")
        assert read_member(open_folder, members["a.jpg"]) == b"a"
        with pytest.raises(UnreadableMember, match="permission denied"):
            read_member(open_folder, members["b.jpg"])
    (open_folder / "closed").chmod(0o755)


def test_an_unreadable_archive_is_an_error(open_folder):
    """An archive or folder that may not be opened at all is an error naming it."""
    path = make_zip(open_folder / "x.zip", FILES)
    path.chmod(0)
    folder = open_folder / "closed"
    folder.mkdir(mode=0)
    with as_nobody():
        for closed in (path, folder):
            with fails_with(ErrorCode.FILE_UNREADABLE, str(closed), "permission denied"):
                list_members(closed)
    with fails_with(ErrorCode.FILE_UNREADABLE, "missing.zip"):
        list_members(open_folder / "missing.zip")


def test_files_changed_after_listing_are_reasons(tmp_path):
    """A file that grew, shrank, vanished or became a link since it was listed is a reason, and not followed."""
    reasons = {
        "grown": ("file-changed", "since it was listed"),
        "shrunk": ("file-changed", "since it was listed"),
        "gone": ("file-gone", None),
        "linked": ("file-unreadable", "Too many levels of symbolic links"),
    }
    folder = make_folder(tmp_path / "folder", dict.fromkeys(reasons, b"1234"))
    make_folder(tmp_path, {"secret": b"4321"})
    members = list_members(folder)
    (folder / "grown").write_bytes(b"12345")
    (folder / "shrunk").write_bytes(b"1")
    (folder / "gone").unlink()
    (folder / "linked").unlink()
    (folder / "linked").symlink_to("../secret")
    for member in members:
        with pytest.raises(UnreadableMember) as caught:
            read_member(folder, member)
        assert (caught.value.reason, caught.value.detail) == reasons[member.path]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_absurd_counts_are_errors(tmp_path):
    """More files than the limit are an error that names the archive and the limit."""
    files = {f"{index}": b"" for index in range(4)}
    folder = make_folder(tmp_path / "folder", files)
    for path in (folder, make_zip(tmp_path / "x.zip", files), make_tar(tmp_path / "x.tar", files)):
        assert len(list_members(path, limits=Limits(members=4))) == 4
        with fails_with(ErrorCode.ARCHIVE_REFUSED, path.name, "3"):
            list_members(path, limits=Limits(members=3))


def test_what_only_is_called_an_archive_is_an_error(tmp_path):
    """A web page saved under a zip's name is an error; an image with a zip at its end stays an image."""
    (tmp_path / "x.zip").write_bytes(b"<html>please sign in</html>")
    with fails_with(ErrorCode.ARCHIVE_DAMAGED, "x.zip"):
        list_members(tmp_path / "x.zip")
    (tmp_path / "sha").write_bytes(b"<html>please sign in</html>")
    with fails_with(ErrorCode.ARCHIVE_DAMAGED, "set.tar.gz"):
        list_members(tmp_path / "sha", name="set.tar.gz")
    tail = make_zip(tmp_path / "y.zip", FILES).read_bytes()
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0" + tail)
    assert archive_kind(tmp_path / "a.jpg") == "file"


def test_a_loose_file_is_its_own_member(tmp_path):
    """A file that is not an archive is one member with the source's name; gzip alone does not make a tar."""
    (tmp_path / "sha").write_bytes(b"picture")
    (member,) = list_members(tmp_path / "sha", name="skin.tif")
    assert (member.path, read_member(tmp_path / "sha", member)) == ("skin.tif", b"picture")
    (tmp_path / "a.svgz").write_bytes(gzip.compress(b"<svg/>"))
    assert [member.path for member in list_members(tmp_path / "a.svgz")] == ["a.svgz"]
    (tmp_path / "empty").write_bytes(b"")
    assert [member.size_bytes for member in list_members(tmp_path / "empty")] == [0]


def test_empty_archives_are_empty(tmp_path):
    """A zip, a tar or a folder with nothing in it lists nothing."""
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", make_zip(tmp_path / "x.zip", {}), make_tar(tmp_path / "x.tar", {})):
        assert list_members(path) == ()


def test_the_listing_does_not_depend_on_the_order_of_writing(tmp_path):
    """A folder written in another order lists the same."""
    one = make_folder(tmp_path / "one", FILES)
    two = make_folder(tmp_path / "two", dict(reversed(FILES.items())))
    assert [member.path for member in list_members(one)] == [member.path for member in list_members(two)]


def _hash_pickled(path: Path, pickled: bytes) -> list[str]:
    members = pickle.loads(pickled)  # noqa: S301 - pickled by this test
    return [hashlib.sha256(read_member(path, member)).hexdigest() for member in members * 3]


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_other_processes_read_pickled_members(tmp_path, start):
    """Pickled members are all another process needs, also those forked from a process with the archive open."""
    files = {f"{index:03}": os.urandom(50_000) for index in range(200)}
    path = make_tar(tmp_path / "x.tar", files)
    members = list_members(path)
    read_member(path, members[0])
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(start)) as pool:
        jobs = [pool.submit(_hash_pickled, path, pickle.dumps(members)) for _ in range(4)]
        expected = [hashlib.sha256(files[member.path]).hexdigest() for member in members * 3]
        assert all(job.result() == expected for job in jobs)


def test_many_archives_are_read_in_turns(tmp_path):
    """More archives than are kept open can be read in turns, and few stay open."""
    paths = [make_zip(tmp_path / f"{index}.zip", {"a": str(index).encode()}) for index in range(40)]
    close_readers()
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else None
    for _ in range(2):
        assert [read_all(path)["a"] for path in paths] == [str(index).encode() for index in range(40)]
    if before is not None:
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 16


def test_a_replaced_archive_is_read_again(tmp_path):
    """An archive that was exchanged under its name is not read through the handle of the old one."""
    path = make_zip(tmp_path / "x.zip", {"a": b"old"})
    assert read_all(path) == {"a": b"old"}
    make_zip(tmp_path / "new.zip", {"a": b"new!"}).replace(path)
    assert read_all(path) == {"a": b"new!"}


def test_a_reader_can_be_closed_and_used_again(tmp_path):
    """An archive reader is a context manager, and reading opens it again."""
    path = make_zip(tmp_path / "x.zip", FILES)
    member = list_members(path)[0]
    with ArchiveReader(path) as reader:
        assert reader.read(member) == FILES[member.path]
    assert reader.read(member) == FILES[member.path]
    reader.close()
    path.unlink()
    with pytest.raises(UnreadableMember, match="file is gone"):
        ArchiveReader(path).read(member)
    with pytest.raises(UnreadableMember, match="file is gone"):
        read_member(path, member)


def with_unicode_path(path: Path, stored: bytes, stated: str, *, crc: int | None = None) -> Path:
    """Write a zip of one file with a name in an old code page and its UTF-8 path in Info-ZIP's field."""
    body = stated.encode()
    field = b"\x01" + (zlib.crc32(stored) if crc is None else crc).to_bytes(4, "little") + body
    extra = struct.pack("<HH", 0x7075, len(field)) + field
    info = zipfile.ZipInfo("?" * len(stored))
    info.extra, info.create_system = extra, 0
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"content")
    path.write_bytes(path.read_bytes().replace(b"?" * len(stored), stored))
    return path


def test_the_utf8_path_field_of_a_zip_is_honored_on_every_python(tmp_path):
    """Python 3.11 ignores it, later ones do not: other labels, and other digests."""
    stored = "M\xfcller/\x81.jpg".encode("cp1252", "replace")
    (member,) = list_members(with_unicode_path(tmp_path / "a.zip", stored, "Müller/ü.jpg"))
    assert member.path == "Müller/ü.jpg"
    (member,) = list_members(with_unicode_path(tmp_path / "b.zip", stored, "Müller/ü.jpg", crc=1))
    assert member.path == stored.decode("cp437")
    assert read_all(tmp_path / "a.zip") == {"Müller/ü.jpg": b"content"}


def test_a_backslash_within_a_character_is_no_separator(tmp_path):
    """Shift-JIS writes the second byte of some characters as 0x5C; a name of Windows has folders all the same."""
    for name, expected in (("表示/ソ.jpg", "表示/ソ.jpg".encode("cp932").decode("cp437")), ("a\\b.jpg", "a/b.jpg")):
        raw = name.encode("cp932")
        info = zipfile.ZipInfo("?" * len(raw))
        info.create_system = 0
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, b"content")
        path.write_bytes(path.read_bytes().replace(b"?" * len(raw), raw))
        assert [member.path for member in list_members(path)] == [expected]


def test_a_folder_without_a_name_is_none(tmp_path):
    """`a//x.png` is in the folder a."""
    assert list(read_all(make_zip(tmp_path / "x.zip", {"a//x.png": b"1", "a///b//y.png": b"2"}))) == [
        "a/b/y.png",
        "a/x.png",
    ]


def test_a_nearly_black_image_is_no_bomb(tmp_path):
    """17 MB of zeros without compression pack to 17 KB, and are a picture of the night."""
    path = make_zip(tmp_path / "x.zip", {"night.bmp": bytes(17 << 20)})
    assert [member.refused for member in list_members(path)] == [None]


@pytest.mark.parametrize("packing", ["", "gz"])
def test_a_tar_behind_a_tar_is_read(tmp_path, packing):
    """Appending one to the other is common; the second was lost without a word. Other bytes behind the end are not."""
    parts = []
    for name in ("one", "two", "three"):
        part = make_tar(tmp_path / f"{name}.tar", {f"{name}/a.jpg": name.encode() * 400})
        parts.append(part.read_bytes())
    whole = tmp_path / "all.tar"
    whole.write_bytes(gzip.compress(b"".join(parts)) if packing else b"".join(parts) + b"text behind the end")
    assert {path: content[:3] for path, content in read_all(whole).items()} == {
        "one/a.jpg": b"one",
        "three/a.jpg": b"thr",
        "two/a.jpg": b"two",
    }
    assert len(list_members(whole)) == 3


@pytest.mark.parametrize(
    ("magic", "name"),
    [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07\x01\x00", "rar"), (b"\x28\xb5\x2f\xfd", "Zstandard")],
)
def test_archives_of_other_kinds_are_named(tmp_path, magic, name):
    """They were taken for a file without images."""
    path = tmp_path / "set.bin"
    path.write_bytes(magic + bytes(2000))
    with fails_with(ErrorCode.ARCHIVE_UNSUPPORTED, name):
        list_members(path)
