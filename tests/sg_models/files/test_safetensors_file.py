"""Weight files are whole or absent."""

from pathlib import Path

import pytest
import torch

from sg_models.files import safetensors_file, whole_file
from sg_models.files.safetensors_file import WeightsFileError, read_weights, write_weights

TENSORS = {"a.weight": torch.arange(6).reshape(2, 3).float(), "b": torch.tensor(0.5, dtype=torch.bfloat16)}


def test_round_trip(tmp_path: Path):
    path = tmp_path / "new" / "folder" / "w.safetensors"
    write_weights(path, TENSORS, {"k": "v"})
    tensors, metadata = read_weights(path)
    assert metadata == {"k": "v"}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_views_and_parameters_are_written_as_they_look(tmp_path: Path):
    grown = torch.nn.Parameter(torch.rand(4, 3))
    write_weights(tmp_path / "w.safetensors", {"t": grown.T, "row": grown[1], "wide": grown[:1].expand(5, 3)}, {})
    tensors, metadata = read_weights(tmp_path / "w.safetensors")
    assert torch.equal(tensors["t"], grown.T) and torch.equal(tensors["row"], grown[1])
    assert tensors["wide"].shape == (5, 3) and metadata == {}


def fail(*_, **__):
    raise OSError("no space left on device")


def fail_halfway(tensors, filename, metadata):
    Path(filename).write_bytes(b"half of it")
    raise OSError("no space left on device")


@pytest.mark.parametrize("part", ["os.replace", "save_file"])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(part: str, old, tmp_path: Path, monkeypatch):
    path = tmp_path / "w.safetensors"
    if old:
        path.write_bytes(old)
    target = whole_file.os if part == "os.replace" else safetensors_file
    monkeypatch.setattr(target, part.split(".")[-1], fail if part == "os.replace" else fail_halfway)
    with pytest.raises(OSError, match="no space"):
        write_weights(path, TENSORS, {})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({path.name: old} if old else {})


def test_the_file_is_never_seen_in_parts(tmp_path: Path, monkeypatch):
    path, seen = tmp_path / "w.safetensors", []
    whole = safetensors_file.save_file
    monkeypatch.setattr(safetensors_file, "save_file", lambda *given: (whole(*given), seen.append(path.exists())))
    write_weights(path, TENSORS, {})
    assert seen == [False] and path.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08", b"PK\x03\x04 not weights", b"\xff" * 64, (8).to_bytes(8, "little") + b"{]]]]]]]"],
    ids=["empty", "one byte", "zip", "huge header", "no JSON"],
)
def test_a_damaged_file_is_refused_by_name(content: bytes, tmp_path: Path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsFileError, match=r"w\.safetensors is not a readable \.safetensors file"):
        read_weights(path)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    write_weights(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsFileError, match="may be cut short"):
        read_weights(path)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(WeightsFileError, match="there is no file .*" + path.name):
            read_weights(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n", "Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html>\n<html><body>Sign in to download", "web page.*download that file itself"),
        (b"\n  <html lang='en'>" + b" " * 500, "web page"),
        (b"PK\x03\x04" + bytes(300), "PyTorch checkpoint.*as .safetensors"),
        (bytes(3), "cut short"),
        (b"", "cut short"),
    ],
)
def test_what_was_saved_in_the_place_of_weights_is_named(content: bytes, what: str, tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsFileError, match=f"weights.safetensors is not a readable .safetensors file: .*{what}"):
        read_weights(path)
