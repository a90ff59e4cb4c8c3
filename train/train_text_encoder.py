"""Trains SG-Mini's text model the CLIP way: contrastively, on Shapes pictures and their captions.

    python train/train_text_encoder.py
    python train/train_text_encoder.py --base models/checkpoints/sg_mini.safetensors   # after train_base.py

Half of the pairs are whole pictures with captions as from the web, half are parts of 64 pixels around one object with
that object's phrase. Pairs with the same text are not each other's negatives.
With a base, whose lower layers have learned along with its UNet since, those stay as they are; the layer above them,
the projection and the picture tower are fitted to them, and the checkpoint gets them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import write_weights
from sg_models.layers.picture_tower import SIDE as PART
from sg_models.layers.picture_tower import PictureTower
from sg_models.verification.shapes.silhouettes import SIDE
from train.bases.clip_tokenizer import clip_tokenizer, token_ids
from train.bases.sg_mini_checkpoint import load_text_model, replace_text_model
from train.data.dataset import TRAIN, VALIDATION
from train.data.graph_samples import sample_rng
from train.data.shapes.scene import web_caption
from train.data.shapes.shapes_dataset import ShapesSplit
from train.losses.contrastive import contrastive_loss
from train.objectives.picture_tower import as_input, shrink
from train.running.command_line import run
from train.running.loop import LoopConfig, train

PAIRS = 7  # what a sample's random numbers are for, beside other scripts' uses of the same index


@dataclass
class Config(LoopConfig):
    steps: int = 450
    batch_size: int = 192
    learning_rate: float = 1e-3
    ema_decay: float = 0.99
    run_dir: Path = Path("runs/text_encoder")
    pictures: int = 8000
    """training pictures, rendered before the start"""
    base: Path | None = None
    """a checkpoint of SG-Mini whose lower text layers stay as they are; without one, a fresh text model"""
    out: Path = Path("runs/text_encoder/text_encoder.safetensors")
    picture_tower: Path = Path("runs/text_encoder/picture_tower.safetensors")
    """no part of the base; Structure-CLIP is trained and measured with it"""


class TextAndPicture(nn.Module):
    """Both towers, as they are trained."""

    def __init__(self, text: CLIPTextModelWithProjection) -> None:
        super().__init__()
        self.text = text
        self.picture = PictureTower(sg_mini.TEXT_MODEL["projection_dim"])

    def forward(self, pictures: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, D] of pictures [B, 3, 64, 64] in [-1, 1] and of token ids [B, L]."""
        return self.picture(pictures).float(), self.text(input_ids=ids).text_embeds.float()


class Pairs:
    """Pictures and texts by sample index; even indices give whole pictures, odd ones parts."""

    def __init__(self, split: ShapesSplit, seed: int = 0) -> None:
        self.scenes, self.seed = split.scenes, seed
        self.pictures = split.pictures(range(len(self.scenes)), SIDE)
        self.tokenizer = clip_tokenizer()

    def __call__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures [B, 3, 64, 64] in [-1, 1], token ids [B, L], and which texts are the same [B, B]."""
        pairs = [self._pair(i) for i in indices]
        pictures = as_input(np.stack([p for p, _ in pairs]))
        texts = np.array([t for _, t in pairs])
        ids = token_ids(self.tokenizer, list(texts))
        ids = ids[:, : int((ids == self.tokenizer.eos_token_id).nonzero()[:, 1].max()) + 1]  # causal: the rest is idle
        return pictures, ids, torch.from_numpy(texts[:, None] == texts[None])

    def _pair(self, index: int) -> tuple[np.ndarray, str]:
        rng = sample_rng(index, PAIRS, self.seed)
        which = int(rng.integers(len(self.scenes)))
        if index % 2 == 0:
            return shrink(self.pictures[which][None])[0], web_caption(self.scenes[which], rng)
        k = int(rng.integers(len(self.scenes[which].objects)))
        thing = self.scenes[which].objects[k]
        x, y = (int(np.clip(v + rng.uniform(-6, 6) - PART / 2, 0, SIDE - PART)) for v in (thing.x, thing.y))
        return self.pictures[which, y : y + PART, x : x + PART], self.scenes[which].graph.objects[k].phrase


def text_model(base: Path | None) -> CLIPTextModelWithProjection:
    """A fresh text model, or that of a checkpoint with all frozen that its UNet is conditioned on."""
    if base is None:
        return CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL))
    text = load_text_model(base).requires_grad_(False)
    text.text_projection.requires_grad_(True)
    text.text_model.encoder.layers[-1].requires_grad_(True)
    return text


def main(config: Config) -> None:
    pairs = Pairs(ShapesSplit(TRAIN, config.pictures), config.seed)
    validation = Pairs(ShapesSplit(VALIDATION, 200))

    def loss(
        model: nn.Module, batch: tuple[Tensor, Tensor, Tensor], generator: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        pictures, ids, same = (t.to(device) for t in batch)
        value, accuracy = contrastive_loss(*model(pictures, ids), same)
        return value, {"accuracy": accuracy}

    def report(model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            value, figures = loss(model, validation(range(192)), torch.Generator(), 0)
        return {"val loss": value.item(), "val accuracy": figures["accuracy"]}

    torch.manual_seed(config.seed)
    model = TextAndPicture(text_model(config.base))
    train(config, model, loss, pairs, report=report)
    write_weights(config.out, model.text.state_dict(), {})
    write_weights(config.picture_tower, model.picture.state_dict(), {})
    if config.base:
        replace_text_model(config.base, model.text)


if __name__ == "__main__":
    run(main, Config)
