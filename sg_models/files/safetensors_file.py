"""Writing and reading .safetensors so that a file is whole or absent, and a bad one is refused in words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .whole_file import whole_file

BEGINNING = 200  # bytes: enough to tell what a file is
_PAGE = "it is a web page, saved in the place of the file that it links to; download that file itself"
IN_ITS_PLACE = {
    b"version https://git-lfs.github.com": "it is a Git LFS pointer, which stands for the weights in a repository; "
    "run git lfs pull there, or download the file itself",
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"pk\x03\x04": "it is a zip archive or a PyTorch checkpoint (.ckpt, .pt) under another name; get the weights as "
    ".safetensors",
}


class WeightsFileError(ValueError):
    """A file of weights is missing, damaged, or not what it is used as."""


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors and header metadata to a file that is then whole, or absent."""
    with whole_file(path) as beside:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, beside, dict(metadata))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header metadata of a file; raises `WeightsFileError` if it is missing or damaged."""
    with _opened(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}


def tensor_names(path: Path) -> list[str]:
    """The names of a file's tensors, from its header alone; raises `WeightsFileError` as `read_weights` does."""
    with _opened(path) as file:
        return list(file.keys())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise WeightsFileError(f"there is no file {path}")
    try:
        with safe_open(path, "pt") as file:
            yield file
    except SafetensorError as error:
        raise WeightsFileError(f"{path} is not a readable .safetensors file: {_what_it_is(path, error)}") from error


def _what_it_is(path: Path, error: SafetensorError) -> str:
    """What a file holds that is no .safetensors, by how it begins, and what to do."""
    with path.open("rb") as file:
        start = file.read(BEGINNING).lstrip().lower()
    for first, what in IN_ITS_PLACE.items():
        if start.startswith(first):
            return what
    return f"{error}; it may be cut short: download or copy it again"
