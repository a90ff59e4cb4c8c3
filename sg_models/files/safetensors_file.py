"""Writing and reading .safetensors so that a file is whole or absent, and a bad one is refused in words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .whole_file import whole_file


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
        raise WeightsFileError(
            f"{path} is not a readable .safetensors file ({error}); it may be cut short: download or copy it again"
        ) from error
