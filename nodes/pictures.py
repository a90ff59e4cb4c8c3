"""Pictures between Pillow and ComfyUI."""

import numpy as np
import torch
from PIL import Image


def image_tensor(image: Image.Image) -> torch.Tensor:
    """A picture in ComfyUI's form: [1, H, W, 3] in [0, 1]."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0)[None]
