"""Trains a picture tower beside the text model that SG-Mini's checkpoint has, which stays as it is.

    python train/train_picture_tower.py

What `train_text_encoder.py` learned beside the text model is no part of the checkpoint. This fits another one to it
(Zhai et al. 2022, *LiT*): contrastively, on windows of Shapes pictures around objects with their phrases, around
relations with their triples, and on whole pictures with captions. Pairs with the same text are not each other's
negatives.
`train_noised_clip.py` needs it, and guidance that looks at the predicted clean picture.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import write_weights
from sg_models.layers.picture_tower import SIDE, PictureTower
from train.bases.clip_towers import SGMiniText
from train.data.dataset import TRAIN, VALIDATION
from train.data.shapes.shapes_dataset import ShapesSplit
from train.losses.contrastive import contrastive_loss
from train.objectives.region_pairs import RegionBatch, RegionPairs
from train.running.command_line import run
from train.running.loop import LoopConfig, train

VALIDATION_PICTURES = 192


@dataclass
class Config(LoopConfig):
    steps: int = 700
    batch_size: int = 48
    learning_rate: float = 2e-3
    ema_decay: float = 0.99
    mixed_precision: str = "no"
    run_dir: Path = Path("runs/picture-tower")
    pictures: int = 20000
    """training scenes"""
    regions: int = 4
    """windows of each picture of a batch"""
    base: str = sg_mini.NAME
    """sg-mini or a checkpoint of it"""
    out: Path = Path("runs/picture-tower/picture_tower.safetensors")


def main(config: Config) -> None:
    text = SGMiniText(config.base)
    pairs = RegionPairs(ShapesSplit(TRAIN, config.pictures), sg_mini.SIDE, config.regions, config.seed)
    validation = RegionPairs(ShapesSplit(VALIDATION, VALIDATION_PICTURES), sg_mini.SIDE, 1)

    def loss(
        model: nn.Module, batch: RegionBatch, generator: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        device = generator.device
        texts, picture = np.array(batch.texts), model(2 * batch.crops(batch.windows, SIDE).to(device) - 1)
        same = torch.from_numpy(texts[:, None] == texts[None]).to(device)
        value, accuracy = contrastive_loss(picture, text.embed(batch.texts).to(device), same)
        return value, {"accuracy": accuracy}

    def report(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        value, figures = loss(model, validation(range(VALIDATION_PICTURES)), torch.Generator(device), 0)
        return {"val loss": value.item(), "val accuracy": figures["accuracy"]}

    torch.manual_seed(config.seed)
    tower = PictureTower(sg_mini.TEXT_MODEL["projection_dim"]).to(memory_format=torch.channels_last)
    tower = train(config, tower, loss, pairs, report=report)
    write_weights(config.out, tower.state_dict(), {})


if __name__ == "__main__":
    run(main, Config)
