"""Trains gated self-attention on a scene graph's grounding tokens: variant (vi), CLIP phrases.

    python train/train_gsa.py

The base is frozen, the prompt is "an image", the graph encoder learns along, and one graph in ten is the null graph.
What shows early whether it works is not the loss but the gap: how much worse the noise is predicted with another
picture's graph than with the right one. The gates |tanh α| start half open, before layers that give nothing yet; one
that closes says that its block has no use for the graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch_geometric.data import Batch
from tqdm import tqdm

from sg_models import sg_mini
from sg_models.adapter import Adapter, write_adapter
from sg_models.gsa_adapter import KIND, GSAAdapter, graph_data, graph_phrases
from sg_models.scene_graph import SceneGraph
from train.base_model import ADAPTERS, BaseModel, diffusion_loss, load_base, train_attention
from train.command_line import run
from train.graph_variation import all_boxes_rate, told, without_boxes
from train.grounded_unet import attach, block_sizes, grounding
from train.loop import LoopConfig, train
from train.picture_grid import save_grid
from train.sampling import GROUNDED_PROMPT, draw_graphs, starting_noise
from train.shapes import scene, seeds
from train.shapes_latents import shapes_latents

NULL_RATE = 0.10
GATE_SPEED = 10  # gates learn this much faster than the rest
OPEN_GATE = 0.5  # α at the start of training
LAYOUT_WEIGHT = 1.0
OBJECT_WEIGHT = 2.0  # of a large object's place in the loss, beside 1 for the background
LARGE = 0.129  # the part of the picture that a large object's box covers
PLACED, UNPLACED = 300, 450  # timesteps: up to the first one sees where objects are, from the second one hardly


@dataclass
class Config(LoopConfig):
    base: str = sg_mini.NAME
    """sg-mini, or a diffusers folder or hub id of Stable Diffusion 2.x"""
    steps: int = 7000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 100
    run_dir: Path = Path("runs/vi")
    pictures: int = 20000
    """training pictures, encoded before the start"""
    latents_dir: Path = Path("runs/shapes")
    timestep_power: float = 0.8
    """below 1, noisy timesteps are drawn more often: that is where the layout is decided"""
    graph_dim: int = 128
    graph_hidden: int = 256
    graph_layers: int = 4
    token_hidden: int = 256
    tokens: int = 24
    """grounding tokens per graph: objects and relations together"""
    position_frequencies: int = 8
    """Fourier frequencies of the visual positions; 0 is GLIGEN's own layer"""
    out: Path = ADAPTERS / "vi-gsa-clip-sg-mini.safetensors"


class GroundedDenoiser(nn.Module):
    """The frozen UNet with an adapter in it, which is trained, and a head that is needed in training alone.

    The head reads each object's box off its graph feature, as sg2im does (Johnson et al. 2018, section 3): so the graph
    encoder is told directly what relations mean for where things are, and not only through the UNet.
    """

    def __init__(self, unet: UNet2DConditionModel, adapter: GSAAdapter) -> None:
        super().__init__()
        attach(unet, adapter)
        self.adapter = adapter
        self.layout = nn.Linear(adapter.config["graph_dim"], 4)
        self._unet = (unet,)  # in a tuple, where nn.Module does not look

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor, graphs: Batch, is_null: Tensor
    ) -> tuple[Tensor, Tensor]:
        """noisy [B, 4, H, W], context [B, 77, D], is_null [B] → the UNet's prediction, and boxes [O, 4]."""
        objects, relations = self.adapter.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)
        tokens = self.adapter.grounding(objects, relations, graphs)
        tokens = torch.where(is_null[:, None, None], self.adapter.null_tokens(len(noisy)).to(tokens), tokens)
        predicted = self._unet[0](noisy, timesteps, context, cross_attention_kwargs=grounding(tokens, noisy)).sample
        return predicted, self.layout(objects).sigmoid()


def object_places(boxes: Tensor, graph_of: Tensor, timesteps: Tensor, size: tuple[int, int]) -> Tensor:
    """Weights [B, h, w] of mean 1 that give each object the same say in the loss, however few cells it covers.

    boxes [O, 4], graph_of [O] in [0, B), timesteps [B]. Only where the noise lets see where the objects are: elsewhere
    such weights would not only hurry learning but teach that things are everywhere.
    """
    x0, y0, x1, y1 = boxes.unbind(-1)
    height, width = size
    rows, columns = _covered(y0, y1, height), _covered(x0, x1, width)  # [O, h], [O, w]
    say = (LARGE / ((x1 - x0) * (y1 - y0)))[:, None, None] * rows[:, :, None] * columns[:, None]  # [O, h, w]
    emphasis = boxes.new_zeros(len(timesteps), height, width).index_add(0, graph_of, say)
    certain = ((UNPLACED - timesteps) / (UNPLACED - PLACED)).clamp(0, 1)
    places = 1 + OBJECT_WEIGHT * certain[:, None, None] * emphasis
    return places / places.mean()


def _covered(start: Tensor, end: Tensor, count: int) -> Tensor:
    """How much of each of `count` equal parts of [0, 1] lies between start [O] and end [O]: [O, count]."""
    edges = torch.arange(count + 1, device=start.device) / count
    return count * (torch.minimum(end[:, None], edges[1:]) - torch.maximum(start[:, None], edges[:-1])).clamp(min=0)


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


class Samples:
    """Latents and graphs by sample index; what a graph leaves unsaid is drawn from the index too."""

    def __init__(self, base: BaseModel, config: Config, split: str, count: int) -> None:
        self.latents = shapes_latents(base, config.latents_dir, split, count)
        self.graphs = [scene(s).graph for s in tqdm(seeds(split, count), desc=f"{split} graphs", mininterval=5)]
        self.base = base
        self.vectors: dict[str, Tensor] = {}
        self.total = config.steps * config.accumulate * PartialState().num_processes * config.batch_size

    def __call__(self, indices: Sequence[int]) -> tuple[Tensor, Batch, Tensor]:
        """Latents [B, 4, 16, 16], the PyG batch of their graphs, and which of them are to be null [B]."""
        rngs = [np.random.default_rng((i, 13)) for i in indices]
        which = [int(rng.integers(len(self.graphs))) for rng in rngs]
        whole = [self.graphs[w] for w in which]
        rates = [all_boxes_rate(i / self.total) for i in indices]
        graphs = [told(graph, rng, rate) for graph, rng, rate in zip(whole, rngs, rates, strict=True)]
        is_null = torch.tensor([rng.random() < NULL_RATE for rng in rngs])
        return self.latents[which], self.batch(graphs, whole), is_null

    def batch(self, graphs: Sequence[SceneGraph], whole: Sequence[SceneGraph]) -> Batch:
        """Graphs as one PyG batch with phrase vectors, each phrase encoded once in a run.

        `whole` are the same graphs with all their boxes, which go along as `layout` [O, 4].
        """
        new = [phrase for phrase in graph_phrases(graphs) if phrase not in self.vectors]
        if new:
            self.vectors |= {phrase: vector.cpu() for phrase, vector in self.base.encode_phrases(new).items()}
        data = [graph_data(graph, self.vectors) for graph in graphs]
        for one, graph in zip(data, whole, strict=True):
            one.layout = torch.tensor([thing.box for thing in graph.objects])
        return Batch.from_data_list(data)


def parameter_groups(model: GroundedDenoiser, learning_rate: float) -> list[dict]:
    """The gates apart from the rest."""
    gates = [p for name, p in model.named_parameters() if ".alpha_" in name]
    rest = [p for name, p in model.named_parameters() if ".alpha_" not in name]
    return [{"params": rest}, {"params": gates, "lr": GATE_SPEED * learning_rate, "weight_decay": 0.0}]


def main(config: Config) -> None:
    base = load_base(config.base).to(PartialState().device).frozen()
    samples, validation = Samples(base, config, "train", config.pictures), Samples(base, config, "val", 128)
    sizes = {k: getattr(config, k) for k in ("graph_dim", "graph_hidden", "graph_layers", "token_hidden", "tokens")}
    phrase_dim = base.text_encoder.config.hidden_size
    adapter_config = sizes | {
        "phrase_dim": phrase_dim,
        "token_dim": phrase_dim,
        "position_frequencies": config.position_frequencies,
        "blocks": block_sizes(base.unet),
    }
    torch.manual_seed(config.seed)
    adapter = GSAAdapter(adapter_config, attention=train_attention(base.unet))
    open_gates(adapter)
    model = GroundedDenoiser(base.unet, adapter)
    prompt = base.encode_prompts([GROUNDED_PROMPT])

    def loss(
        model: nn.Module, batch: tuple[Tensor, Batch, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        x, graphs, is_null = (part.to(base.device) for part in batch)
        noisy, timesteps, target = base.noised(x, generator, config.timestep_power)
        predicted, boxes = model(noisy, timesteps, prompt.expand(len(x), -1, -1), graphs, is_null)
        places = object_places(graphs.layout, graphs.batch, timesteps, (x.shape[2], x.shape[3]))
        denoising, layout = diffusion_loss(base, predicted, target, timesteps, places), F.l1_loss(boxes, graphs.layout)
        with torch.no_grad():
            plain = diffusion_loss(base, predicted, target, timesteps)
        return denoising + LAYOUT_WEIGHT * layout, {"denoising": plain.item(), "layout": layout.item()}

    whole = validation.graphs
    shown = [without_boxes(graph) for graph in whole[:8]]

    def report(model: nn.Module) -> dict[str, float]:
        """Loss with the right, another picture's, and no graph, on the same noise; and the gates."""
        losses, layout = {}, {}
        for name, graphs, null in (
            ("right", whole, False),
            ("shuffled", whole[1:] + whole[:1], False),
            ("no", whole, True),
        ):
            bare = validation.batch([without_boxes(graph) for graph in graphs], graphs)
            batch = validation.latents, bare, torch.full((len(graphs),), null)
            figures = loss(model, batch, torch.Generator(base.device).manual_seed(0))[1]
            losses[name], layout[name] = figures["denoising"], figures["layout"]
        gates = model.adapter.gated_attention.gates()
        tqdm.write(
            "loss "
            + ", ".join(f"{k} graph {v:.4f}" for k, v in losses.items())
            + f", gap {losses['shuffled'] - losses['right']:.4f}, boxes off by {layout['right']:.3f}; |tanh α| "
            + ", ".join(f"{address} {gate:.3f}" for address, gate in gates.items())
        )
        return {f"val {k} graph": v for k, v in losses.items()} | {
            "gap": losses["shuffled"] - losses["right"],
            "boxes off by": layout["right"],
            "gate": max(gates.values()),
        }

    def preview(model: nn.Module, path: Path) -> None:
        """Three rows from the same noise: the right graphs, none, and each other's."""
        noise = starting_noise(base, 0, len(shown), base.unet.config["sample_size"] * 8)
        rows = [
            draw_graphs(base, model.adapter, shown, noise),
            draw_graphs(base, model.adapter, shown, noise, guidance=0.0),
            draw_graphs(base, model.adapter, shown[1:] + shown[:1], noise),
        ]
        save_grid(torch.cat(rows), f"{path}.png")

    groups = parameter_groups(model, config.learning_rate)
    model = train(config, model, loss, samples, parameters=groups, preview=preview, report=report)
    state = {name: tensor.half() for name, tensor in model.adapter.state_dict().items()}
    write_adapter(
        config.out,
        Adapter(KIND, base.name, base.prediction_type, "clip", adapter_config, "shapes", config.steps, state),
    )


if __name__ == "__main__":
    run(main, Config)
