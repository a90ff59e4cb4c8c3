"""Pictures between Pillow and ComfyUI."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image


def image_tensor(image: Image.Image) -> torch.Tensor:
    """A picture in ComfyUI's form: [1, H, W, 3] in [0, 1]."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0)[None]


def picture_arrays(images: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """All pictures of some batches [B, H, W, C] of ComfyUI's, in order: uint8 [H, W, 3] each."""
    return [
        (picture[..., :3].float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        for batch in images
        for picture in batch
    ]


def one_batch(images: Sequence[Image.Image]) -> torch.Tensor:
    """Pictures of any sizes in one batch [B, H, W, 3], each in the top left corner of the largest, on white."""
    width, height = max(image.width for image in images), max(image.height for image in images)
    sheets = [Image.new("RGB", (width, height), "white") for _ in images]
    for sheet, image in zip(sheets, images, strict=True):
        sheet.paste(image, (0, 0))
    return torch.cat([image_tensor(sheet) for sheet in sheets])
