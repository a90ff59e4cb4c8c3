"""Files fetched from a server on this machine, which breaks off, forgets parts, and refuses."""

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from train.data.prepared import download as fetching
from train.data.prepared import downloads
from train.data.prepared.download import check_sha256, download
from train.data.prepared.downloads import DOWNLOADS, RemoteFile, fetch, unpack
from train.data.prepared.preparer import PrepareOptions
from train.data.prepared.preparers import PREPARERS
from train.running.command_line import UsageError

CONTENT = bytes(range(256)) * 40


class Server(ThreadingHTTPServer):
    """Serves `files`; breaks off after `gives` bytes of an answer; answers in parts where `parts` says so."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.gives, self.parts = 10**9, True
        self.ranges: list[str | None] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        content = self.server.files.get(self.path[1:])
        start = int(asked.split("=")[1].rstrip("-")) if asked and self.server.parts else 0
        if content is None or (start and start >= len(content)):
            self.send_error(404 if content is None else 416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.gives])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def test_a_file_is_fetched_whole(server, tmp_path):
    server.files["a.txt"] = CONTENT
    download(server.url("a.txt"), tmp_path / "new" / "a.txt")
    assert (tmp_path / "new/a.txt").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_what_breaks_off_is_gone_on_with(server, tmp_path):
    server.files["a.txt"], server.gives = CONTENT, 4000
    download(server.url("a.txt"), tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=4000-", "bytes=8000-"]


def test_a_later_run_goes_on_too(server, tmp_path):
    server.files["a.txt"] = CONTENT
    (tmp_path / "a.txt.part").write_bytes(CONTENT[:100])
    download(server.url("a.txt"), tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == CONTENT and server.ranges == ["bytes=100-"]


def test_a_server_without_parts_sends_everything_again(server, tmp_path):
    server.files["a.txt"], server.parts = CONTENT, False
    (tmp_path / "a.txt.part").write_bytes(b"another beginning")
    download(server.url("a.txt"), tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == CONTENT


def test_a_part_of_a_longer_file_is_not_kept(server, tmp_path):
    server.files["a.txt"] = CONTENT
    (tmp_path / "a.txt.part").write_bytes(CONTENT * 2)
    download(server.url("a.txt"), tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == CONTENT


def test_refusals_end_in_a_sentence(server, tmp_path):
    with pytest.raises(UsageError, match="answers 404 Not Found; download it with a browser"):
        download(server.url("none.txt"), tmp_path / "none.txt")
    server.files["a.txt"], server.gives = CONTENT, 0
    with pytest.raises(UsageError, match="does not answer .*0 of 10240 bytes came.*; try again later"):
        download(server.url("a.txt"), tmp_path / "a.txt")
    assert not (tmp_path / "a.txt").exists()


def test_another_file_than_expected_is_deleted(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(CONTENT)
    check_sha256(path, hashlib.sha256(CONTENT).hexdigest())
    with pytest.raises(UsageError, match="had another SHA-256"):
        check_sha256(path, "0" * 64)
    assert not path.exists()


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_a_data_set_is_fetched_and_not_twice(server, tmp_path, monkeypatch):
    server.files = {
        "objects.json.zip": packed({"objects.json": b"[]"}),
        "images.zip": packed({"VG_100K/1.jpg": CONTENT, "VG_100K/2.jpg": CONTENT}),
        "words.txt": CONTENT,
    }
    remote = (
        RemoteFile(server.url("objects.json.zip"), "objects.json"),
        RemoteFile(server.url("images.zip"), "VG_100K/", pictures=True),
        RemoteFile(server.url("words.txt"), "words.txt", hashlib.sha256(CONTENT).hexdigest()),
    )
    monkeypatch.setitem(downloads.DOWNLOADS, "vg", remote)
    fetch(PrepareOptions("vg", tmp_path / "data", pictures=False))
    assert files(tmp_path / "data") == ["objects.json", "words.txt"]
    for _ in range(2):
        fetch(PrepareOptions("vg", tmp_path / "data"))
        assert files(tmp_path / "data") == ["VG_100K/1.jpg", "VG_100K/2.jpg", "objects.json", "words.txt"]
    assert len(server.ranges) == 3


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def pictures(server, monkeypatch) -> RemoteFile:
    """An archive of two pictures, which is all that vg lacks."""
    server.files["images.zip"] = packed({"VG_100K/1.jpg": CONTENT, "VG_100K/2.jpg": CONTENT})
    remote = RemoteFile(server.url("images.zip"), "VG_100K/", pictures=True)
    monkeypatch.setitem(downloads.DOWNLOADS, "vg", (remote,))
    return remote


def test_unpacking_goes_on_after_an_interruption(server, pictures, tmp_path):
    pictures.archive(tmp_path).write_bytes(server.files["images.zip"])
    (tmp_path / "VG_100K").mkdir()
    (tmp_path / "VG_100K/1.jpg").write_bytes(b"half")
    fetch(PrepareOptions("vg", tmp_path))
    assert (tmp_path / "VG_100K/1.jpg").read_bytes() == CONTENT
    assert files(tmp_path) == ["VG_100K/1.jpg", "VG_100K/2.jpg"]
    assert server.ranges == [], "the archive was there"


def test_an_archive_that_is_not_whole_is_fetched_anew(server, pictures, tmp_path):
    damaged = server.files["images.zip"].replace(CONTENT, CONTENT[::-1], 2)
    pictures.archive(tmp_path).write_bytes(damaged)
    with pytest.raises(UsageError, match="was not whole .*Bad CRC.*; run this again"):
        fetch(PrepareOptions("vg", tmp_path))
    fetch(PrepareOptions("vg", tmp_path))
    assert files(tmp_path) == ["VG_100K/1.jpg", "VG_100K/2.jpg"] and len(server.ranges) == 1


def test_an_archive_that_reaches_out_is_refused(tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(packed({"../out.txt": CONTENT}))
    with pytest.raises(UsageError, match="out of"):
        unpack(archive, tmp_path)
    assert not (tmp_path.parent / "out.txt").exists()


def test_what_has_no_address_is_said(tmp_path):
    assert set(DOWNLOADS) <= set(PREPARERS)
    with pytest.raises(UsageError, match="folder cannot be downloaded; docs/data.md"):
        fetch(PrepareOptions("folder", tmp_path))
