"""Pictures side by side in one file."""

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor


def to_pil(picture: Tensor) -> Image.Image:
    """A picture [3, H, W] in [0, 1] as a PIL image."""
    return Image.fromarray((picture.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().cpu().numpy())


def save_grid(pictures: Tensor, path: str, columns: int = 8) -> None:
    """Writes pictures [B, 3, H, W] in [0, 1], row by row, as one image; the last row is filled up with white."""
    missing = -len(pictures) % columns
    filled = torch.cat([pictures.float().cpu(), torch.ones(missing, *pictures.shape[1:])])
    to_pil(rearrange(filled, "(r c) k h w -> k (r h) (c w)", c=columns)).save(path)
