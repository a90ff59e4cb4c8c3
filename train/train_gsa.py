"""Trains gated self-attention on a scene graph's grounding tokens: variant (vi), CLIP phrases.

    python train/train_gsa.py

The base is frozen, the prompt is "an image", the graph encoder learns along, and one graph in ten is the null graph.
What shows early whether it works is not the loss but the gates |tanh α| moving away from zero, and the gap: how much
worse the noise is predicted with another picture's graph than with the right one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
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
from train.graph_variation import told, without_boxes
from train.grounded_unet import attach, block_sizes, grounding
from train.loop import LoopConfig, train
from train.picture_grid import save_grid
from train.sampling import GROUNDED_PROMPT, draw_graphs, starting_noise
from train.shapes import scene, seeds
from train.shapes_latents import shapes_latents

NULL_RATE = 0.10
GATE_SPEED = 10  # gates learn this much faster than the rest, which stands still until they open


@dataclass
class Config(LoopConfig):
    base: str = sg_mini.NAME
    """sg-mini, or a diffusers folder or hub id of Stable Diffusion 2.x"""
    steps: int = 5000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 100
    run_dir: Path = Path("runs/vi")
    pictures: int = 24000
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
    """The frozen UNet with an adapter in it; the adapter alone is a submodule, so it alone is trained and kept."""

    def __init__(self, unet: UNet2DConditionModel, adapter: GSAAdapter) -> None:
        super().__init__()
        attach(unet, adapter)
        self.adapter = adapter
        self._unet = (unet,)  # in a tuple, where nn.Module does not look

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Tensor, graphs: Batch, is_null: Tensor) -> Tensor:
        """noisy [B, 4, H, W], context [B, 77, D], is_null [B] → the UNet's prediction."""
        tokens = self.adapter(graphs)
        tokens = torch.where(is_null[:, None, None], self.adapter.null_tokens(len(noisy)).to(tokens), tokens)
        return self._unet[0](noisy, timesteps, context, cross_attention_kwargs=grounding(tokens, noisy)).sample


class Samples:
    """Latents and graphs by sample index; what a graph leaves unsaid is drawn from the index too."""

    def __init__(self, base: BaseModel, config: Config, split: str, count: int) -> None:
        self.latents = shapes_latents(base, config.latents_dir, split, count)
        self.graphs = [scene(s).graph for s in tqdm(seeds(split, count), desc=f"{split} graphs", mininterval=5)]
        self.base = base
        self.vectors: dict[str, Tensor] = {}

    def __call__(self, indices: Sequence[int]) -> tuple[Tensor, Batch, Tensor]:
        """Latents [B, 4, 16, 16], the PyG batch of their graphs, and which of them are to be null [B]."""
        rngs = [np.random.default_rng((i, 13)) for i in indices]
        which = [int(rng.integers(len(self.graphs))) for rng in rngs]
        graphs = [told(self.graphs[w], rng) for w, rng in zip(which, rngs, strict=True)]
        is_null = torch.tensor([rng.random() < NULL_RATE for rng in rngs])
        return self.latents[which], self.batch(graphs), is_null

    def batch(self, graphs: Sequence[SceneGraph]) -> Batch:
        """Graphs as one PyG batch with phrase vectors, each phrase encoded once in a run."""
        new = [phrase for phrase in graph_phrases(graphs) if phrase not in self.vectors]
        if new:
            self.vectors |= {phrase: vector.cpu() for phrase, vector in self.base.encode_phrases(new).items()}
        return Batch.from_data_list([graph_data(graph, self.vectors) for graph in graphs])


def parameter_groups(adapter: GSAAdapter, learning_rate: float) -> list[dict]:
    """The gates apart from the rest."""
    gates = [p for name, p in adapter.named_parameters() if ".alpha_" in name]
    rest = [p for name, p in adapter.named_parameters() if ".alpha_" not in name]
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
    model = GroundedDenoiser(base.unet, GSAAdapter(adapter_config, attention=train_attention(base.unet)))
    prompt = base.encode_prompts([GROUNDED_PROMPT])

    def loss(
        model: nn.Module, batch: tuple[Tensor, Batch, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        x, graphs, is_null = (part.to(base.device) for part in batch)
        noisy, timesteps, target = base.noised(x, generator, config.timestep_power)
        predicted = model(noisy, timesteps, prompt.expand(len(x), -1, -1), graphs, is_null)
        return diffusion_loss(base, predicted, target, timesteps), {}

    fixed = [without_boxes(graph) for graph in validation.graphs]
    shown = fixed[:8]

    def report(model: nn.Module) -> dict[str, float]:
        """Loss with the right, another picture's, and no graph, on the same noise; and the gates."""
        losses = {}
        for name, graphs, null in (
            ("right", fixed, False),
            ("shuffled", fixed[1:] + fixed[:1], False),
            ("no", fixed, True),
        ):
            batch = validation.latents, validation.batch(graphs), torch.full((len(fixed),), null)
            losses[name] = loss(model, batch, torch.Generator(base.device).manual_seed(0))[0].item()
        gates = model.adapter.gated_attention.gates()
        tqdm.write(
            "loss "
            + ", ".join(f"{k} graph {v:.4f}" for k, v in losses.items())
            + f", gap {losses['shuffled'] - losses['right']:.4f}; |tanh α| "
            + ", ".join(f"{address} {gate:.3f}" for address, gate in gates.items())
        )
        return {f"val {k} graph": v for k, v in losses.items()} | {
            "gap": losses["shuffled"] - losses["right"],
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

    groups = parameter_groups(model.adapter, config.learning_rate)
    model = train(config, model, loss, samples, parameters=groups, preview=preview, report=report)
    state = {name: tensor.half() for name, tensor in model.adapter.state_dict().items()}
    write_adapter(
        config.out,
        Adapter(KIND, base.name, base.prediction_type, "clip", adapter_config, "shapes", config.steps, state),
    )


if __name__ == "__main__":
    run(main, Config)
