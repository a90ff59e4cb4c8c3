"""Pretrains the layout of variants (iii) and (iv): from a scene graph to boxes, masks and a coarse semantic layout.

    python train/train_layout.py                  # CLIP phrases, for (iv)
    python train/train_layout.py --phrases bert   # for (iii)

Nothing of the base takes part but its text model. The maps are made with the true boxes, as in sg2im; what is predicted
is used when there are none. `train_controlnet.py` goes on from the file that this writes.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from sg_models.adapters.adapter import Adapter, read_adapter, write_adapter
from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.variants import CLIP, LAYOUT, LAYOUT_CONTROLNET
from train.bases.dry_run import print_plan
from train.bases.load import TrainingOptions, default_run_dir, load_training_base
from train.conditioning.initial_weights import start_from
from train.conditioning.phrase_encoders import choose_variant, graph_features
from train.data.dataset import VALIDATION, check_boxes, count_objects, room_for, training_count, training_split
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.training_samples import ShardOptions, graph_samples
from train.objectives.layout import LEAST_OBJECTS, LayoutLosses, LayoutObjective, LayoutSizes, adapter_sizes, make_plan
from train.running.command_line import run
from train.running.loop import LoopConfig, train

VALIDATION_GRAPHS = 256
PICTURES = 24000  # of Shapes, which has no end


@dataclass
class Config(LoopConfig, TrainingOptions, DatasetOptions, ShardOptions, LayoutSizes):
    phrases: str = CLIP
    """what encodes the graph's phrases: clip or bert"""
    bert: str | None = None
    """a folder or hub id of another BERT than the packaged one"""
    init_from: Path | None = None
    """an adapter file to start from, of whichever phrases; a checkpoint in run_dir wins"""
    steps: int = 6000
    batch_size: int = 64
    learning_rate: float = 1e-3
    mixed_precision: str = "no"
    run_dir: Path | None = None
    """checkpoints and logs, runs/layout-<phrases>, or runs/layout-<phrases>-<base>, if left out"""
    pictures: int | None = None
    """training scenes; all that there are if left out, 24,000 of Shapes"""
    preview_every: int = 1000
    out: Path | None = None
    """the pretrained layout, layout.safetensors in run_dir if left out"""


def main(config: Config) -> None:
    choose_variant(LAYOUT_CONTROLNET, config.phrases)
    if config.dry_run:
        return print_plan(config, make_plan, training_count(open_dataset(config), config.pictures, PICTURES))
    base, data = load_training_base(config), open_dataset(config)
    config.run_dir = config.run_dir or default_run_dir(f"{LAYOUT}-{config.phrases}", base.name)
    encode = graph_features(config.phrases, base, config.bert)
    splits = training_split(data, config.pictures, PICTURES), data.split(VALIDATION, VALIDATION_GRAPHS)
    check_boxes(splits[0])
    config.objects = room_for(splits, config.objects, LEAST_OBJECTS, count_objects, "objects", "--objects")
    samples, validation = (
        graph_samples(split, encode, seed=config.seed, nested_rate=data.nested_rate, masks=True) for split in splits
    )
    sizes = adapter_sizes(config, encode.dim)
    torch.manual_seed(config.seed)
    adapter = LayoutAdapter(sizes)
    earlier = 0
    if config.init_from:
        earlier = start_from(adapter, read_adapter(config.init_from), config.phrases, encode.dim)
    objective = LayoutObjective(validation.without_boxes().to(base.device))
    model = LayoutLosses(adapter, (base.unet.config["sample_size"],) * 2)
    train(config, model, objective.loss, samples, report=objective.report)
    write_adapter(
        config.out or config.run_dir / "layout.safetensors",
        Adapter(
            kind=LAYOUT,
            base=base.name,
            prediction_type=base.prediction_type,
            phrase_encoder=config.phrases,
            config=sizes,
            dataset=data.name,
            steps=earlier + config.steps,
            state_dict={name: tensor.half() for name, tensor in adapter.state_dict().items()},
        ),
    )


if __name__ == "__main__":
    run(main, Config)
