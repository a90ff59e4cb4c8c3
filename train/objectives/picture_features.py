"""The picture towers that graphs are aligned with: SG-Mini's own, or the one of any CLIP of transformers' format.

Both give features of the same length, which the kernels of `train.losses.alignment_losses` are made for.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, CLIPImageProcessor, CLIPModel, CLIPVisionModelWithProjection

from sg_models.files.safetensors_file import read_weights
from sg_models.layers.graph_vector import of_length
from sg_models.layers.picture_tower import PictureTower
from train.data.pictured_samples import PictureFeatures
from train.objectives.picture_tower import as_input, shrink
from train.running.command_line import UsageError

OF_SG_MINI = "runs/picture-tower/picture_tower.safetensors"
ADVICE = (
    "run train/train_picture_tower.py for SG-Mini's; for Stable Diffusion 2.1, name its CLIP's with --picture-tower: a "
    "folder or hub id of transformers' format, such as laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
)


class ShapesPictures:
    """SG-Mini's picture tower, as `train_picture_tower.py` wrote it."""

    def __init__(self, path: Path, device: torch.device | str) -> None:
        """Raises `UsageError` where the file holds something else, `WeightsFileError` where it is damaged."""
        tensors, _ = read_weights(path)
        weight = tensors.get("project.weight")
        if weight is None:
            raise UsageError(f"{path} holds no picture tower; {ADVICE}")
        self.dim = len(weight)
        self.tower = PictureTower(self.dim)
        try:
            self.tower.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except RuntimeError as error:
            raise UsageError(f"{path} holds a picture tower of other sizes; {ADVICE}") from error
        self.tower.requires_grad_(False).eval().to(device)

    def __call__(self, pictures: np.ndarray) -> Tensor:
        """Pictures, uint8 [B, H, W, 3] of a side that 64 divides → [B, J], on the CPU."""
        inputs = as_input(shrink(pictures)).to(self.tower.project.weight.device)
        return of_length(self.tower(inputs)).cpu()


class ClipPictures:
    """The picture tower of a CLIP, with its own pre-processing and its projection into the space of texts."""

    def __init__(self, source: str, device: torch.device | str) -> None:
        """Raises `UsageError` where transformers finds none."""
        try:
            # a whole CLIP read as its half would lose its projection: the half's own configuration has another width
            whole = AutoConfig.from_pretrained(source).model_type == "clip"
            kind = CLIPModel if whole else CLIPVisionModelWithProjection
            clip = kind.from_pretrained(source, use_safetensors=True)
            self.processor = CLIPImageProcessor.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise UsageError(f"there is no picture tower at {source}; {ADVICE}") from error
        self.tower = nn.ModuleList([clip.vision_model, clip.visual_projection]).requires_grad_(False).eval().to(device)
        self.dim: int = clip.visual_projection.out_features

    @torch.no_grad()
    def __call__(self, pictures: np.ndarray) -> Tensor:
        """Pictures, uint8 [B, H, W, 3] → [B, J], on the CPU."""
        pixels = self.processor(list(pictures), return_tensors="pt")["pixel_values"]
        look, project = self.tower
        return of_length(project(look(pixel_values=pixels.to(project.weight.device)).pooler_output)).cpu()


def open_picture_tower(source: str, device: torch.device | str) -> PictureFeatures:
    """The picture tower at a path, `.safetensors` of SG-Mini or a folder, or of a hub id; raises `UsageError`."""
    if not source.endswith(".safetensors"):
        return ClipPictures(source, device)
    if not Path(source).exists():
        raise UsageError(f"there is no picture tower {source}; {ADVICE}")
    return ShapesPictures(Path(source), device)
