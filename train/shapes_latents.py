"""Latents of Shapes pictures, encoded once and kept: what the UNet and the adapters train on."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sg_models.safetensors_file import read_weights, write_weights
from train.base_model import BaseModel
from train.shapes import render, scene, seeds

CHUNK = 64


def shapes_latents(base: BaseModel, folder: Path, split: str, count: int) -> Tensor:
    """Latents [count, 4, 16, 16] of the first `count` scenes of a split, under the base's autoencoder.

    A file in `folder` made with the same autoencoder and at least that long is used as it is; otherwise it is written.
    """
    cache, origin = folder / f"latents-{split}.safetensors", base.vae_fingerprint()
    if cache.exists():
        tensors, metadata = read_weights(cache)
        if metadata["origin"] == origin and len(tensors["latents"]) >= count:
            return tensors["latents"][:count].float()
    base.vae.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    parts = []
    for start in tqdm(range(0, count, CHUNK), desc=f"encoding {split} pictures", mininterval=5):
        pictures = np.stack([render(scene(s)) for s in seeds(split, min(CHUNK, count - start), start)])
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.autocast(base.device.type, torch.bfloat16):  # far finer than the noise the decoder is used to
            parts.append(base.encode_pictures(x.to(base.device)).half().cpu())
    write_weights(cache, {"latents": torch.cat(parts)}, {"origin": origin})
    return torch.cat(parts).float()
