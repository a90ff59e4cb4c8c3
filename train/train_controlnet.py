"""Trains a ControlNet on scene layouts: variants (iii) and (iv).

    python train/train_layout.py && python train/train_controlnet.py                                # (iv), CLIP phrases
    python train/train_layout.py --phrases bert && python train/train_controlnet.py --phrases bert  # (iii)

The base is frozen and the prompt is "an image". The graph encoder and the layout, pretrained by `train_layout.py`,
learn along, and stay a layout: what it was pretrained on is kept as a second loss. Maps are made with the true boxes.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter, write_adapter
from sg_models.adapters.layout_adapter import CONTROLNET, LayoutAdapter, build_layout_adapter
from sg_models.adapters.variants import CLIP, LAYOUT, LAYOUT_CONTROLNET
from train.bases.attention import train_attention
from train.bases.base_model import BaseModel
from train.bases.dry_run import print_plan
from train.bases.ldm_names import controlnet_ldm_names
from train.bases.load import TrainingOptions, default_run_dir, load_training_base
from train.bases.model_folders import ADAPTERS
from train.conditioning.phrase_encoders import choose_variant, graph_features
from train.conditioning.trained_adapter import controlnet_state
from train.data.dataset import VALIDATION, check_boxes, check_room, count_objects, training_count, training_split
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.training_samples import PictureOptions, picture_samples
from train.objectives.controlnet import ControlNetDenoiser, ControlNetObjective, make_plan, parameter_groups
from train.running.command_line import run
from train.running.loop import LoopConfig, train
from train.running.precision import keep_frozen_in

VALIDATION_PICTURES = 128
PICTURES = 20000  # of Shapes, which has no end


@dataclass
class Config(LoopConfig, TrainingOptions, DatasetOptions, PictureOptions):
    phrases: str = CLIP
    """what encodes the graph's phrases: clip or bert"""
    bert: str | None = None
    """a folder or hub id of another BERT than the packaged one"""
    layout: Path | None = None
    """the pretrained layout; what train_layout.py writes for these phrases and this base if left out"""
    init_from: Path | None = None
    """an adapter file whose ControlNet to start from, and, if it saw the same phrases, whose layout, too"""
    steps: int = 7000
    batch_size: int = 32
    learning_rate: float = 1e-3
    run_dir: Path | None = None
    """checkpoints, logs and previews, runs/<variant>, or runs/<variant>-<base>, if left out"""
    pictures: int | None = None
    """training pictures; all that there are if left out, 20,000 of Shapes"""
    timestep_power: float = 0.6
    """below 1, noisy timesteps are drawn more often: that is where layout and colours are decided"""
    out: Path | None = None
    """the adapter file, models/scene_graph/<variant>-controlnet-<phrases>-<base>.safetensors if left out"""


def load_layout(config: Config, base: BaseModel, start: Adapter | None) -> LayoutAdapter:
    """The layout of the file to start from, if that saw the same phrases, else what `train_layout.py` wrote.

    Raises `AdapterError` if there is none, or another kind of file, or one for other phrases or another base.
    """
    if start is not None and start.phrase_encoder == config.phrases:
        return build_layout_adapter(start).float()
    path = config.layout or default_run_dir(f"{LAYOUT}-{config.phrases}", base.name) / "layout.safetensors"
    if not path.exists():
        raise AdapterError(
            f"there is no pretrained layout {path}; run train/train_layout.py --phrases {config.phrases} first"
        )
    file = read_adapter(path)
    file.check_kind(LAYOUT)
    file.check_base(base.name, base.prediction_type)
    if file.phrase_encoder != config.phrases:
        raise AdapterError(f"{path} was trained on {file.phrase_encoder} phrases, not on {config.phrases}")
    adapter = LayoutAdapter(file.config)
    adapter.load_state_dict({name: tensor.float() for name, tensor in file.state_dict.items()})
    return adapter


def adapter_tensors(model: ControlNetDenoiser) -> dict[str, Tensor]:
    """The tensors of the adapter file, the ControlNet's under LDM's names."""
    names, state = controlnet_ldm_names(model.controlnet), model.controlnet.state_dict()
    tensors = {f"{CONTROLNET}{names[k]}": v for k, v in state.items()} | dict(model.layout.adapter.state_dict())
    return {name: tensor.half() for name, tensor in tensors.items()}


def main(config: Config) -> None:
    variant = choose_variant(LAYOUT_CONTROLNET, config.phrases)
    if config.dry_run:
        return print_plan(config, make_plan, training_count(open_dataset(config), config.pictures, PICTURES))
    base, data = load_training_base(config), open_dataset(config)
    config.run_dir = config.run_dir or default_run_dir(variant.name, base.name)
    start = read_adapter(config.init_from) if config.init_from else None
    adapter = load_layout(config, base, start)
    encode = graph_features(config.phrases, base, config.bert)
    splits = training_split(data, config.pictures, PICTURES), data.split(VALIDATION, VALIDATION_PICTURES)
    check_boxes(splits[0])
    for split in splits:
        check_room(split, adapter.config["objects"], count_objects, "objects", "train/train_layout.py --objects")
    samples, validation = (
        picture_samples(config, base, split, encode, seed=config.seed, nested_rate=data.nested_rate, masks=True)
        for split in splits
    )
    torch.manual_seed(config.seed)
    train_attention(base.unet)
    model = ControlNetDenoiser(base, adapter)
    if config.half_unet:
        keep_frozen_in(base.unet, config.mixed_precision)
    if start is not None:
        model.controlnet.load_state_dict(controlnet_state(start, model.controlnet))
    train_attention(model.controlnet)
    objective = ControlNetObjective(
        base, validation, encode, large_area=data.large_area, timestep_power=config.timestep_power
    )
    groups = parameter_groups(model, config.learning_rate)
    train(config, model, objective.loss, samples, parameters=groups, preview=objective.preview, report=objective.report)
    write_adapter(
        config.out or ADAPTERS / variant.file_name(base.name),
        Adapter(
            kind=LAYOUT_CONTROLNET,
            base=base.name,
            prediction_type=base.prediction_type,
            phrase_encoder=config.phrases,
            config=adapter.config,
            dataset=data.name,
            steps=(start.steps if start else 0) + config.steps,
            state_dict=adapter_tensors(model),
        ),
    )


if __name__ == "__main__":
    run(main, Config)
