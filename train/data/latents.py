"""Latents of Shapes pictures, encoded once and kept: what the UNet and the adapters train on."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor
from tqdm import tqdm

from sg_models.files.safetensors_file import read_weights, write_weights
from train.bases.base_model import BaseModel
from train.data.shapes.scene import render, scene, seeds
from train.running.precision import AUTO, autocast

CHUNK = 64


def shapes_latents(base: BaseModel, folder: Path, split: str, count: int) -> Tensor:
    """Latents [count, 4, 16, 16] of the first `count` scenes of a split, under the base's autoencoder.

    A file in `folder` of the same pictures under the same autoencoder, and at least that long, is used as it is;
    otherwise it is written, by one process of a run.
    """
    cache, origin = folder / f"latents-{split}.safetensors", f"{base.vae_fingerprint()} {_world_fingerprint(split)}"
    with PartialState().main_process_first():
        if cache.exists():
            tensors, metadata = read_weights(cache)
            if metadata["origin"] == origin and len(tensors["latents"]) >= count:
                return tensors["latents"][:count].float()
        latents = _encoded(base, split, count)
        write_weights(cache, {"latents": latents}, {"origin": origin})
        return latents.float()


def _world_fingerprint(split: str) -> str:
    """SHA-256 of a few pictures: Shapes may change, and its latents with it."""
    return hashlib.sha256(b"".join(render(scene(s)).tobytes() for s in seeds(split, 16))).hexdigest()


def _encoded(base: BaseModel, split: str, count: int) -> Tensor:
    base.vae.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    parts = []
    for start in tqdm(range(0, count, CHUNK), desc=f"encoding {split} pictures", mininterval=5):
        pictures = np.stack([render(scene(s)) for s in seeds(split, min(CHUNK, count - start), start)])
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        with autocast(base.device, AUTO):  # even bfloat16 is far finer than the noise the decoder is used to
            parts.append(base.encode_pictures(x.to(base.device)).half().cpu())
    # in the order that a file would give them back: noise like them is drawn in the order of memory
    return torch.cat(parts).contiguous()
