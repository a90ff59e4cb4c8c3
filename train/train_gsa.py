"""Trains gated self-attention on a scene graph's grounding tokens: variants (v), (vi) and (vii).

    python train/train_gsa.py                                                                      # (vi), CLIP phrases
    python train/train_gsa.py --phrases bert                                                       # (v)
    python train/train_structure_clip.py && python train/train_gsa.py --phrases structure-clip     # (vii)

The base is frozen, the prompt is "an image", the graph encoder learns along, and one graph in ten is the null graph.
The UNet learns with the true boxes, and a box predictor learns beside it to place what has none.

What shows early whether it works is not the loss but the gap: how much worse the noise is predicted with another
picture's graph than with the right one; and, of the predicted layouts, how many obey their graph. The gates |tanh α|
start half open, before layers that give nothing yet; one that closes says that its block has no use for the graph.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch_geometric.data import Batch
from tqdm import tqdm

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter, write_adapter
from sg_models.adapters.gsa_adapter import KIND, GSAAdapter
from sg_models.adapters.structure_clip import STRUCTURE_CLIP
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.gated_attention import TOKEN_EXTRAS
from train.bases.attention import train_attention
from train.bases.base_model import BaseModel
from train.bases.dry_run import EmptyBase, Plan, print_plan
from train.bases.load import TrainingOptions, training_base
from train.bases.model_folders import ADAPTERS
from train.conditioning.conditioners import GROUNDED_PROMPT, Conditioner, GroundedConditioner
from train.conditioning.grounded_unet import attach, block_sizes, grounding
from train.conditioning.initial_weights import start_from
from train.conditioning.phrase_encoders import graph_features
from train.conditioning.sampling import draw_graphs, starting_noise
from train.data.graph_samples import GraphSamples
from train.data.graph_variation import without_boxes
from train.data.latents import shapes_latents
from train.losses.denoising import diffusion_loss
from train.losses.grounded_loss import grounded_loss
from train.losses.layout_losses import layout_figures, layout_loss
from train.report.picture_grid import save_grid
from train.running.command_line import run
from train.running.loop import LoopConfig, Loss, train
from train.running.precision import keep_frozen_in

VARIANTS = {"bert": "v", "clip": "vi", "structure-clip": "vii"}
GATE_SPEED = 10  # gates learn this much faster than the rest
OPEN_GATE = 0.5  # α at the start of training
LAYOUT_WEIGHT = 0.2


@dataclass
class Config(LoopConfig, TrainingOptions):
    phrases: Literal["clip", "bert", "structure-clip"] = "clip"
    """what encodes the graph's phrases"""
    bert: str | None = None
    """a folder or hub id of another BERT than the packaged one"""
    structure_clip: Path = ADAPTERS / "structure-clip-sg-mini.safetensors"
    """what train_structure_clip.py wrote, for phrases structure-clip"""
    init_from: Path | None = None
    """an adapter file to start from, of whichever phrases; a checkpoint in run_dir wins"""
    steps: int = 7000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 100
    run_dir: Path | None = None
    """checkpoints, logs and previews, runs/<variant> if left out; a run that finds a checkpoint there goes on"""
    pictures: int = 20000
    """training pictures, encoded before the start"""
    latents_dir: Path = Path("runs/shapes")
    timestep_power: float = 0.8
    """below 1, noisy timesteps are drawn more often: that is where the layout is decided"""
    graph_dim: int = 128
    graph_hidden: int = 256
    graph_layers: int = 4
    box_layers: int = 3
    token_hidden: int = 256
    tokens: int = 24
    """grounding tokens per graph: objects and relations together"""
    position_frequencies: int = 8
    """Fourier frequencies of the visual positions; 0 is GLIGEN's own layer"""
    out: Path | None = None
    """the adapter file, models/scene_graph/<variant>-gsa-<phrases>-<base>.safetensors if left out"""


class GroundedDenoiser(nn.Module):
    """The frozen UNet with an adapter in it, which is trained.

    The UNet is given the true boxes, as sg2im's generator is in training (Johnson et al. 2018, section 3); predicting
    boxes is learned from the boxes themselves.
    """

    def __init__(self, unet: UNet2DConditionModel, adapter: GSAAdapter) -> None:
        super().__init__()
        attach(unet, adapter)
        self.adapter = adapter
        self._unet = (unet,)  # in a tuple, where nn.Module does not look

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor, graphs: Batch, is_null: Tensor
    ) -> tuple[Tensor, Tensor]:
        """noisy [B, 4, H, W], context [B, 77, D], is_null [B] → the UNet's prediction, and boxes [O, 4]."""
        objects, relations = self.adapter.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)
        tokens = self.adapter.grounding(objects, relations, graphs.layout, graphs)
        tokens = torch.where(is_null[:, None, None], self.adapter.null_tokens(len(noisy)).to(tokens), tokens)
        predicted = self._unet[0](noisy, timesteps, context, cross_attention_kwargs=grounding(tokens, noisy)).sample
        return predicted, self.adapter.layout(objects, relations, graphs)


def open_gates(adapter: GSAAdapter) -> None:
    """Opens the gates, and sets to zero what they let through: the base still draws as it did.

    Behind a closed gate nothing learns, and a gate in front of random weights hardly knows which way to open.
    """
    for address in adapter.gated_attention.addresses:
        layer = adapter.gated_attention.block(address)
        for gate, out in ((layer.alpha_attn, layer.attn.to_out[0]), (layer.alpha_dense, layer.ff.net[2])):
            nn.init.constant_(gate, OPEN_GATE)
            nn.init.zeros_(out.weight)
            nn.init.zeros_(out.bias)


def parameter_groups(model: GroundedDenoiser, learning_rate: float) -> list[dict]:
    """The gates apart from the rest."""
    gates = [p for name, p in model.named_parameters() if ".alpha_" in name]
    rest = [p for name, p in model.named_parameters() if ".alpha_" not in name]
    return [{"params": rest}, {"params": gates, "lr": GATE_SPEED * learning_rate, "weight_decay": 0.0}]


def adapter_sizes(config: Config, unet: UNet2DConditionModel, phrase_dim: int) -> dict[str, Any]:
    """An adapter's `config` (see `GSAAdapter`) for a base's UNet and a phrase encoder."""
    names = ("graph_dim", "graph_hidden", "graph_layers", "box_layers", "token_hidden", "tokens")
    return {name: getattr(config, name) for name in names} | {
        "phrase_dim": phrase_dim,
        "token_dim": unet.config["cross_attention_dim"],
        "position_frequencies": config.position_frequencies,
        "blocks": block_sizes(unet),
    }


def structure_clip(path: Path) -> Adapter:
    """What `train_structure_clip.py` wrote; raises `AdapterError` if there is no such file."""
    if not path.exists():
        raise AdapterError(f"there is no {path}; run train/train_structure_clip.py first")
    file = read_adapter(path)
    file.check_kind(STRUCTURE_CLIP)
    return file


def grounded_training_loss(base: BaseModel, timestep_power: float) -> Loss:
    """What a `GroundedDenoiser` is trained on: denoising, and beside it boxes; batches are those of `GraphSamples`."""
    prompt = base.encode_prompts([GROUNDED_PROMPT])

    def loss(
        model: nn.Module, batch: tuple[Tensor, Batch, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        x, graphs, is_null = (part.to(base.device) for part in batch)
        noisy, timesteps, target = base.noised(x, generator, timestep_power)
        predicted, boxes = model(noisy, timesteps, prompt.expand(len(x), -1, -1), graphs, is_null)
        denoising = grounded_loss(base, predicted, target, timesteps, graphs)
        layout = layout_loss(boxes, graphs)
        with torch.no_grad():
            plain = diffusion_loss(base, predicted, target, timesteps)
        return denoising + LAYOUT_WEIGHT * layout, {"denoising": plain.item(), "layout": layout.item()}

    return loss


def measure(model: GroundedDenoiser, loss: Loss, validation: GraphSamples, device: torch.device) -> dict[str, float]:
    """Loss with the right, another picture's, and no graph, on the same noise; predicted boxes; and the gates."""
    whole, losses = validation.graphs, {}
    for name, graphs, null in (
        ("right", whole, False),
        ("shuffled", whole[1:] + whole[:1], False),
        ("no", whole, True),
    ):
        batch = validation.latents, validation.batch(graphs, graphs), torch.full((len(graphs),), null)
        losses[name] = loss(model, batch, torch.Generator(device).manual_seed(0))[1]["denoising"]
    told = validation.batch([without_boxes(graph) for graph in whole], whole).to(device)
    features = model.adapter.graph_encoder(told.x, told.edge_attr, told.edge_index)
    gates = model.adapter.gated_attention.gates()
    figures = {f"val {name} graph": value for name, value in losses.items()}
    figures |= {"gap": losses["shuffled"] - losses["right"]}
    figures |= layout_figures(model.adapter.layout(*features, told), told)
    tqdm.write(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    tqdm.write("|tanh α| " + ", ".join(f"{address} {gate:.3f}" for address, gate in gates.items()))
    return figures | {"gate": max(gates.values())}


def draw_preview(base: BaseModel, condition: Conditioner, graphs: list[SceneGraph], path: Path) -> None:
    """Three rows from the same noise: the right graphs, none, and each other's."""
    noise = starting_noise(base, 0, len(graphs), base.unet.config["sample_size"] * 8)
    rows = [
        draw_graphs(base, condition, graphs, noise),
        draw_graphs(base, condition, graphs, noise, guidance=0.0),
        draw_graphs(base, condition, graphs[1:] + graphs[:1], noise),
    ]
    save_grid(torch.cat(rows), f"{path}.png")


def planned(config: Config, base: EmptyBase) -> Plan:
    """For `--dry-run`."""
    adapter = GSAAdapter(adapter_sizes(config, base.unet, base.context_dim))
    attach(base.unet, adapter)

    def forward(count: int) -> Tensor:
        noisy, timesteps, context = base.inputs(count)
        tokens = torch.empty(count, config.tokens, base.context_dim + TOKEN_EXTRAS)
        return base.unet(noisy, timesteps, context, cross_attention_kwargs=grounding(tokens, noisy)).sample

    return Plan(adapter, forward)


def main(config: Config) -> None:
    if config.dry_run:
        return print_plan(config, planned)
    base = training_base(config)
    variant = VARIANTS[config.phrases]
    config.run_dir = config.run_dir or Path("runs") / variant
    out = config.out or ADAPTERS / f"{variant}-gsa-{config.phrases}-{base.name}.safetensors"
    knowledge = structure_clip(config.structure_clip) if config.phrases == STRUCTURE_CLIP else None
    encode = graph_features(config.phrases, base, config.bert, knowledge)
    samples, validation = (
        GraphSamples(shapes_latents(base, config.latents_dir, split, count), split, encode)
        for split, count in (("train", config.pictures), ("val", 128))
    )
    sizes = adapter_sizes(config, base.unet, encode.dim)
    torch.manual_seed(config.seed)
    adapter = GSAAdapter(sizes, attention=train_attention(base.unet))
    open_gates(adapter)
    earlier = 0
    if config.init_from:
        earlier = start_from(adapter, read_adapter(config.init_from), config.phrases, encode.dim)
    loss = grounded_training_loss(base, config.timestep_power)
    shown = [without_boxes(graph) for graph in validation.graphs[:8]]
    model = GroundedDenoiser(base.unet, adapter)
    if config.half_unet:
        keep_frozen_in(base.unet, config.mixed_precision)
    model = train(
        config,
        model,
        loss,
        samples,
        parameters=parameter_groups(model, config.learning_rate),
        preview=lambda model, path: draw_preview(base, GroundedConditioner(base, model.adapter, encode), shown, path),
        report=lambda model: measure(model, loss, validation, base.device),
    )
    state = {name: tensor.half() for name, tensor in model.adapter.state_dict().items()}
    if knowledge is not None:  # frozen, and part of the adapter: its phrases are no one else's
        state |= knowledge.state_dict
        sizes |= {"knowledge": knowledge.config["knowledge"]}
    write_adapter(
        out,
        Adapter(KIND, base.name, base.prediction_type, config.phrases, sizes, "shapes", earlier + config.steps, state),
    )


if __name__ == "__main__":
    run(main, Config)
