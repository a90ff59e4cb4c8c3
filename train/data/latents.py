"""Latents of a data set's pictures, by place: encoded once and kept in a file, or anew in every step."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor
from tqdm import tqdm

from sg_models.files.safetensors_file import tensor_names
from sg_models.files.whole_file import whole_file
from train.bases.base_model import DOWNSAMPLING, BaseModel
from train.data.dataset import Split
from train.running.precision import AUTO, autocast

CHUNK = 64
NAME = "latents"
DTYPES = {"F16": np.float16, "F32": np.float32}  # by safetensors' words


class Latents(Protocol):
    """Latents of a split's scenes."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: Sequence[int]) -> Tensor:
        """Those of some scenes: [B, 4, h, w], of a new float32 tensor."""
        ...


class MappedLatents:
    """The first `count` latents of a file, which is mapped and not loaded, however large it is."""

    def __init__(self, path: Path, count: int) -> None:
        header, start = read_header(path)
        dtype, shape = DTYPES[header[NAME]["dtype"]], tuple(header[NAME]["shape"])
        self.values = np.memmap(path, dtype, "r", start, shape)[:count]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, places: Sequence[int] | slice) -> Tensor:
        return torch.from_numpy(self.values[places].astype(np.float32))


class PicturesEncoded:
    """Latents that are encoded from the pictures whenever they are asked for."""

    def __init__(self, base: BaseModel, split: Split) -> None:
        self.base, self.split = base, split

    def __len__(self) -> int:
        return len(self.split.graphs)

    def __getitem__(self, places: Sequence[int]) -> Tensor:
        return encode_places(self.base, self.split, places).float()


def split_latents(base: BaseModel, split: Split, folder: Path) -> MappedLatents:
    """Latents of a split's pictures at the base's own size, under the base's autoencoder, from a file.

    A file in `folder` of the same pictures under the same autoencoder, and at least that long, is used as it is;
    otherwise it is written, by one process of a run.
    """
    count = len(split.graphs)
    cache = folder / f"{split.dataset}-{split.name}-{base.side}.safetensors"
    origin = f"{base.vae_fingerprint()} {split.fingerprint()}"
    with PartialState().main_process_first():
        if not _holds(cache, origin, count):
            _write(cache, base, split, origin)
        return MappedLatents(cache, count)


def encode_places(base: BaseModel, split: Split, places: Sequence[int]) -> Tensor:
    """Latents of some of a split's pictures as they are kept: float16 [B, 4, h, w], on the CPU."""
    # even bfloat16 is far finer than the noise the decoder is used to
    with torch.no_grad(), autocast(base.device, AUTO):
        return base.encode_pictures(split.pictures(places, base.side)).half().cpu().contiguous()


def read_header(path: Path) -> tuple[dict, int]:
    """A .safetensors file's header, and where its tensors begin; raises `WeightsFileError` where it is damaged."""
    tensor_names(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)), 8 + length


def _holds(cache: Path, origin: str, count: int) -> bool:
    if not cache.exists():
        return False
    header, _ = read_header(cache)
    return header["__metadata__"]["origin"] == origin and header[NAME]["shape"][0] >= count


def _write(cache: Path, base: BaseModel, split: Split, origin: str) -> None:
    """Writes a .safetensors file a part at a time, as pictures are encoded: together they may not fit into memory."""
    base.vae.to(memory_format=torch.channels_last)
    side = base.side // DOWNSAMPLING
    shape = [len(split.graphs), base.unet.config["in_channels"], side, side]
    about = {"dtype": "F16", "shape": shape, "data_offsets": [0, 2 * math.prod(shape)]}
    header = json.dumps({"__metadata__": {"origin": origin}, NAME: about}).encode()
    header += b" " * (-len(header) % 8)
    with whole_file(cache) as beside, beside.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for part in _encoded(base, split):
            file.write(part.numpy().tobytes())


def _encoded(base: BaseModel, split: Split) -> Iterator[Tensor]:
    count = len(split.graphs)
    for start in tqdm(range(0, count, CHUNK), desc=f"encoding {split.name} pictures", mininterval=5):
        yield encode_places(base, split, range(start, min(start + CHUNK, count)))
