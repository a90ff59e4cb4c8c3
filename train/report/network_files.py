"""Networks that measure pictures: where their weights come from, and what a protocol says of them.

Weights come from a path that the user names. Nothing is downloaded unless that is asked for.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from torch import Tensor

from train.running.command_line import UsageError

CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Source:
    """Where a network comes from, by what it is called: a path, a hub id, or the place of a download."""

    name: str
    download: bool = False

    @property
    def path(self) -> Path | None:
        """None for a hub id."""
        return Path(self.name) if Path(self.name).exists() else None

    def loadable(self) -> str:
        """What transformers' `from_pretrained` is to load; raises OSError or ValueError where there is none.

        A path, or a hub id if downloads are asked for. If not, it is the folder that an earlier download of the hub id
        has left: transformers asks the hub for adapters even where it is told to keep to local files.
        """
        return self.name if self.path or self.download else snapshot_download(self.name, local_files_only=True)

    def words(self) -> str:
        """The name with the SHA-256 of its weights, for a protocol."""
        return f"{self.name}, {fingerprint(self.path)}" if self.path else f"{self.name} of the Hugging Face hub"


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of all weights in a folder, in words."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return f"SHA-256 {digest.hexdigest()}"


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file, or of a PyTorch file that holds nothing but tensors.

    Raises `UsageError` for a file that is not there and for one that holds anything else: no pickle is executed.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}; name the network's weights, or write --download-networks")
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling of whatever a file may hold fails in any way
        raise UsageError(f"{path} is no file of weights: it holds more than tensors, or is broken") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError(f"{path} is no state dict (names with tensors); save it with torch.save(model.state_dict())")
    return state


def device() -> str:
    """Where networks run."""
    return "cuda" if torch.cuda.is_available() else "cpu"
