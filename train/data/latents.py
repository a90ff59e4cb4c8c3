"""Latents of a data set's pictures, encoded once and kept: what the UNet and the adapters train on."""

from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor
from tqdm import tqdm

from sg_models.files.safetensors_file import read_weights, write_weights
from train.bases.base_model import BaseModel
from train.data.dataset import Split
from train.running.precision import AUTO, autocast

CHUNK = 64


def split_latents(base: BaseModel, split: Split, folder: Path) -> Tensor:
    """Latents [N, 4, h, w] of a split's pictures at the base's own size, under the base's autoencoder.

    A file in `folder` of the same pictures under the same autoencoder, and at least that long, is used as it is;
    otherwise it is written, by one process of a run.
    """
    count = len(split.graphs)
    cache = folder / f"{split.dataset}-{split.name}-{base.side}.safetensors"
    origin = f"{base.vae_fingerprint()} {split.fingerprint()}"
    with PartialState().main_process_first():
        if cache.exists():
            tensors, metadata = read_weights(cache)
            if metadata["origin"] == origin and len(tensors["latents"]) >= count:
                return tensors["latents"][:count].float()
        latents = _encode(base, split)
        write_weights(cache, {"latents": latents}, {"origin": origin})
        return latents.float()


def _encode(base: BaseModel, split: Split) -> Tensor:
    base.vae.to(memory_format=torch.channels_last)
    parts, count = [], len(split.graphs)
    for start in tqdm(range(0, count, CHUNK), desc=f"encoding {split.name} pictures", mininterval=5):
        pictures = split.pictures(range(start, min(start + CHUNK, count)), base.side)
        with autocast(base.device, AUTO):  # even bfloat16 is far finer than the noise the decoder is used to
            parts.append(base.encode_pictures(pictures).half().cpu())
    # in the order that a file would give them back: noise like them is drawn in the order of memory
    return torch.cat(parts).contiguous()
