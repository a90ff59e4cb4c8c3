"""Trains a ControlNet on scene layouts: variants (iii) and (iv).

    python train/train_layout.py && python train/train_controlnet.py                                # (iv), CLIP phrases
    python train/train_layout.py --phrases bert && python train/train_controlnet.py --phrases bert  # (iii)

The base is frozen and the prompt is "an image". The graph encoder and the layout, pretrained by `train_layout.py`,
learn along, and stay a layout: what it was pretrained on is kept as a second loss. Maps are made with the true boxes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn
from torch_geometric.data import Batch
from tqdm import tqdm

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter, write_adapter
from sg_models.adapters.layout_adapter import CONTROLNET_KIND, LAYOUT_KIND, LayoutAdapter, build_layout_adapter
from sg_models.adapters.phrase_features import RememberedPhrases
from train import train_layout
from train.bases.attention import train_attention
from train.bases.base_model import BaseModel
from train.bases.dry_run import EmptyBase, Plan, print_plan
from train.bases.ldm_names import controlnet_ldm_names
from train.bases.load import TrainingOptions, training_base
from train.bases.model_folders import ADAPTERS
from train.conditioning.conditioners import GROUNDED_PROMPT, LayoutConditioner, controlled
from train.conditioning.phrase_encoders import phrase_encoder
from train.conditioning.sampling import draw_graphs, starting_noise
from train.conditioning.trained_adapter import controlnet_state
from train.data.graph_variation import without_boxes
from train.data.latents import shapes_latents
from train.losses.denoising import diffusion_loss
from train.losses.grounded_loss import grounded_loss
from train.report.picture_grid import save_grid
from train.running.command_line import run
from train.running.loop import LoopConfig, Loss, train
from train.running.precision import keep_frozen_in
from train.train_layout import LayoutLosses, LayoutSamples, layout_sizes
from train.train_layout import measure as measure_layout

VARIANTS = {"bert": "iii", "clip": "iv"}
LAYOUT_WEIGHT = 0.1
LAYOUT_SPEED = 0.2  # the pretrained layout learns this much slower than the new ControlNet


@dataclass
class Config(LoopConfig, TrainingOptions):
    phrases: Literal["clip", "bert"] = "clip"
    bert: str | None = None
    """a folder or hub id of another BERT than the packaged one"""
    layout: Path | None = None
    """the pretrained layout, runs/layout-<phrases>/layout.safetensors if left out"""
    init_from: Path | None = None
    """an adapter file whose ControlNet to start from, and, if it saw the same phrases, whose layout, too"""
    steps: int = 7000
    batch_size: int = 32
    learning_rate: float = 1e-3
    run_dir: Path | None = None
    """checkpoints, logs and previews, runs/<variant> if left out"""
    pictures: int = 20000
    """training pictures, encoded before the start"""
    latents_dir: Path = Path("runs/shapes")
    timestep_power: float = 0.6
    """below 1, noisy timesteps are drawn more often: that is where layout and colours are decided"""
    out: Path | None = None
    """the adapter file, models/scene_graph/<variant>-controlnet-<phrases>-<base>.safetensors if left out"""


class ControlledDenoiser(nn.Module):
    """The frozen UNet with a ControlNet that is given layouts; the UNet is no submodule, so it is not trained."""

    def __init__(self, unet: UNet2DConditionModel, adapter: LayoutAdapter) -> None:
        super().__init__()
        self.layout = LayoutLosses(adapter, (unet.config["sample_size"],) * 2)
        self.controlnet = new_controlnet(unet, adapter)
        self._unet = (unet,)  # in a tuple, where nn.Module does not look

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor, graphs: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """noisy [B, 4, H, W], context [B, 77, D] → the UNet's prediction, and the layout's losses by name."""
        losses, layout = self.layout(graphs)
        more = controlled(self.controlnet, layout.control)(noisy, timesteps, context)
        return self._unet[0](noisy, timesteps, context, **more).sample, losses


def new_controlnet(unet: UNet2DConditionModel, layout: LayoutAdapter) -> ControlNetModel:
    """A ControlNet that starts from the UNet's weights, and keeps activations or not as the UNet does."""
    controlnet = ControlNetModel.from_unet(unet, conditioning_channels=layout.config["channels"])
    if unet.is_gradient_checkpointing:
        controlnet.enable_gradient_checkpointing(unet.down_blocks[0]._gradient_checkpointing_func)
    return controlnet


def pretrained(path: Path, phrases: str) -> LayoutAdapter:
    """The layout that `train_layout.py` wrote; raises `AdapterError` if it is another kind of file."""
    if not path.exists():
        raise AdapterError(f"there is no pretrained layout {path}; run train/train_layout.py --phrases {phrases} first")
    file = read_adapter(path)
    file.check_kind(LAYOUT_KIND)
    if file.phrase_encoder != phrases:
        raise AdapterError(f"{path} was trained on {file.phrase_encoder} phrases, not on {phrases}")
    adapter = LayoutAdapter(file.config)
    adapter.load_state_dict({name: tensor.float() for name, tensor in file.state_dict.items()})
    return adapter


def controlled_training_loss(base: BaseModel, timestep_power: float) -> Loss:
    """What a `ControlledDenoiser` is trained on: denoising, and the layout itself. Batches are `LayoutSamples`'."""
    prompt = base.encode_prompts([GROUNDED_PROMPT])

    def loss(
        model: nn.Module, batch: tuple[Tensor, Batch, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        x, graphs, _ = (part.to(base.device) for part in batch)
        noisy, timesteps, target = base.noised(x, generator, timestep_power)
        predicted, losses = model(noisy, timesteps, prompt.expand(len(x), -1, -1), graphs)
        denoising = grounded_loss(base, predicted, target, timesteps, graphs)
        layout = torch.stack(list(losses.values())).sum()
        with torch.no_grad():
            plain = diffusion_loss(base, predicted, target, timesteps)
        return denoising + LAYOUT_WEIGHT * layout, {"denoising": plain.item(), "layout": layout.item()}

    return loss


def planned(config: Config, base: EmptyBase) -> Plan:
    """For `--dry-run`; of the layout, which is small beside the ControlNet, the default sizes are taken."""
    layout = LayoutAdapter(layout_sizes(train_layout.Config(), base.context_dim))
    controlnet = new_controlnet(base.unet, layout)

    def forward(count: int) -> Tensor:
        noisy, timesteps, context = base.inputs(count)
        control = torch.empty(count, layout.config["channels"], base.side, base.side)
        more = controlled(controlnet, control)(noisy, timesteps, context)
        return base.unet(noisy, timesteps, context, **more).sample

    return Plan(nn.ModuleList([layout, controlnet]), forward)


def main(config: Config) -> None:
    if config.dry_run:
        return print_plan(config, planned)
    base = training_base(config)
    variant = VARIANTS[config.phrases]
    config.run_dir = config.run_dir or Path("runs") / variant
    out = config.out or ADAPTERS / f"{variant}-controlnet-{config.phrases}-{base.name}.safetensors"
    start = read_adapter(config.init_from) if config.init_from else None
    if start is not None and start.phrase_encoder == config.phrases:
        adapter = build_layout_adapter(start).float()
    else:
        adapter = pretrained(config.layout or Path(f"runs/layout-{config.phrases}/layout.safetensors"), config.phrases)
    encode = RememberedPhrases(phrase_encoder(config.phrases, base, config.bert))
    latents = shapes_latents(base, config.latents_dir, "train", config.pictures)
    samples = LayoutSamples(latents, "train", encode)
    validation = LayoutSamples(shapes_latents(base, config.latents_dir, "val", 128), "val", encode)
    told = validation.batch([without_boxes(graph) for graph in validation.graphs], validation.graphs).to(base.device)
    torch.manual_seed(config.seed)
    train_attention(base.unet)
    model = ControlledDenoiser(base.unet, adapter)
    if config.half_unet:
        keep_frozen_in(base.unet, config.mixed_precision)
    if start is not None:
        model.controlnet.load_state_dict(controlnet_state(start, model.controlnet))
    train_attention(model.controlnet)
    loss = controlled_training_loss(base, config.timestep_power)

    def report(model: nn.Module) -> dict[str, float]:
        """Loss with the right and with another picture's graph, on the same noise; and the predicted layouts."""
        other = validation.graphs[1:] + validation.graphs[:1]
        nobody = torch.zeros(len(other), dtype=torch.bool)
        losses = [
            loss(
                model,
                (validation.latents, validation.batch(graphs, graphs), nobody),
                torch.Generator(base.device).manual_seed(0),
            )[1]["denoising"]
            for graphs in (validation.graphs, other)
        ]
        figures = {"val right graph": losses[0], "gap": losses[1] - losses[0]}
        figures |= measure_layout(model.layout.adapter, told)
        tqdm.write(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
        return figures

    def preview(model: nn.Module, path: Path) -> None:
        """Three rows from the same noise: the right graphs with their boxes, without, and each other's."""
        whole = validation.graphs[:8]
        bare = [without_boxes(graph) for graph in whole]
        noise = starting_noise(base, 0, len(whole), base.unet.config["sample_size"] * 8)
        condition = LayoutConditioner(base, model.layout.adapter, model.controlnet, encode)
        rows = [draw_graphs(base, condition, graphs, noise) for graphs in (whole, bare, bare[1:] + bare[:1])]
        save_grid(torch.cat(rows), f"{path}.png")

    groups = [
        {"params": list(model.controlnet.parameters())},
        {"params": list(model.layout.parameters()), "lr": LAYOUT_SPEED * config.learning_rate},
    ]
    model = train(config, model, loss, samples, parameters=groups, preview=preview, report=report)
    names, state = controlnet_ldm_names(model.controlnet), model.controlnet.state_dict()
    tensors = {f"controlnet.{names[k]}": v for k, v in state.items()} | dict(model.layout.adapter.state_dict())
    write_adapter(
        out,
        Adapter(
            CONTROLNET_KIND,
            base.name,
            base.prediction_type,
            config.phrases,
            adapter.config,
            "shapes",
            (start.steps if start else 0) + config.steps,
            {name: tensor.half() for name, tensor in tensors.items()},
        ),
    )


if __name__ == "__main__":
    run(main, Config)
