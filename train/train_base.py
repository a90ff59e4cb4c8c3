"""Trains SG-Mini's UNet on Shapes latents and captions, and writes the whole base as one checkpoint.

    python train/train_text_encoder.py && python train/train_autoencoder.py && python train/train_base.py

Epsilon prediction on Stable Diffusion's noise schedule; one caption in ten is empty, one in twenty says "an image".
The layers of the text model that the UNet is conditioned on learn along, as in the first latent diffusion models
(Rombach et al. 2022, section 3.3). Whose colour is whose their states tell from the start; what a UNet is slow to learn
is to read it, so that each place of a picture is taught which object's words to read (`train.losses.word_grounding`).
The layer above them and the projection are left as they were; `train_text_encoder.py --base` fits them anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import write_weights
from sg_models.graph.caption import caption, mentions
from sg_models.graph.scene_graph import SceneGraph
from train.bases.attention import train_attention
from train.bases.attention_maps import AttentionMaps
from train.bases.base_model import BaseModel, predict
from train.bases.clip_tokenizer import clip_tokenizer, phrase_owners, token_ids
from train.bases.model_folders import CHECKPOINTS
from train.bases.sg_mini_checkpoint import load_sg_mini, sg_mini_tensors
from train.conditioning.conditioners import GRAPH_PROMPT, CaptionConditioner
from train.conditioning.sampling import draw_graphs, starting_noise
from train.data.dataset import TRAIN, VALIDATION
from train.data.graph_samples import sample_rng
from train.data.latents import split_latents
from train.data.shapes.scene import Scene, web_graph
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.data.spatial_relations import nests
from train.losses.denoising import diffusion_loss
from train.losses.object_weights import object_weights
from train.losses.word_grounding import grounding_loss
from train.report.metrics import judge_all, nested_relations, verdict_counts
from train.report.picture_grid import save_grid, to_pil
from train.running.command_line import run
from train.running.loop import LoopConfig, train
from train.running.processes import this_process

EMPTY_RATE = 0.10
BARE_RATE = 0.05
TEXT_SPEED = 0.6  # of the text model's learning rate, beside the UNet's: it starts from something
MEASURED, SHOWN = 64, 16  # validation graphs of a preview
CAPTIONS = 11  # what a sample's random numbers are for, beside other scripts' uses of the same index


@dataclass
class Config(LoopConfig):
    steps: int = 9000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 200
    run_dir: Path = Path("runs/base")
    preview_every: int = 1000
    pictures: int = 20000
    """training pictures, encoded before the start"""
    latents_dir: Path = Path("runs/latents")
    text_encoder: Path = Path("runs/text_encoder/text_encoder.safetensors")
    autoencoder: Path = Path("runs/autoencoder/autoencoder.safetensors")
    grounding_weight: float = 0.1
    """of how well each place of a picture reads the words of the object that is there"""
    nested_rate: float = 0.3
    """of the samples come from scenes with one object inside another alone: they are few and the hardest"""
    init_from: Path | None = None
    """a checkpoint whose UNet to start from; without one, a fresh UNet"""
    out: Path = CHECKPOINTS / sg_mini.CHECKPOINT


@dataclass(frozen=True)
class CaptionBatch:
    """B pictures with a prompt each."""

    latents: Tensor  # [B, 4, h, w]
    ids: Tensor  # [B, 77], the prompts' tokens
    boxes: Tensor  # [O, 4], of all pictures' objects
    graph_of: Tensor  # [O], each object's picture
    words: Tensor  # [B, 77], the object in [0, O) that each token is of, -1 for none


class CaptionSamples:
    """Latents of Shapes pictures with captions as from the web, by sample index."""

    def __init__(self, split: ShapesSplit, latents: Tensor, nested_rate: float, seed: int) -> None:
        self.scenes, self.latents, self.nested_rate, self.seed = split.scenes, latents, nested_rate, seed
        self.nested = [i for i, graph in enumerate(split.graphs) if nests(graph)]
        self.tokenizer = clip_tokenizer()

    def __call__(self, indices: Sequence[int]) -> CaptionBatch:
        """The samples of some indices, which count up without end."""
        rngs = [sample_rng(i, CAPTIONS, self.seed) for i in indices]
        places = [self._place(rng) for rng in rngs]
        scenes = [self.scenes[place] for place in places]
        prompts = [training_prompt(scene, rng) for scene, rng in zip(scenes, rngs, strict=True)]
        graphs = [said or scene.graph for (_, said), scene in zip(prompts, scenes, strict=True)]
        boxes = torch.tensor([thing.box for graph in graphs for thing in graph.objects])
        graph_of = torch.tensor([i for i, graph in enumerate(graphs) for _ in graph.objects])
        ids = token_ids(self.tokenizer, [text for text, _ in prompts])
        return CaptionBatch(self.latents[places], ids, boxes, graph_of, self._words(prompts, graph_of))

    def _words(self, prompts: Sequence[tuple[str, SceneGraph | None]], graph_of: Tensor) -> Tensor:
        """Which object each token of the prompts is of."""
        first = torch.searchsorted(graph_of, torch.arange(len(prompts))).tolist()
        spoken = [
            [(start + k, said.objects[k].phrase) for k in mentions(said)] if said else []
            for start, (_, said) in zip(first, prompts, strict=True)
        ]
        return phrase_owners(self.tokenizer, [text for text, _ in prompts], spoken)

    def _place(self, rng: np.random.Generator) -> int:
        if self.nested and rng.random() < self.nested_rate:
            return int(rng.choice(self.nested))
        return int(rng.integers(len(self.scenes)))


class Denoiser(nn.Module):
    """The UNet and the layers of the text model that it is conditioned on, called as everywhere."""

    def __init__(self, base: BaseModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = base.unet, base.text_encoder
        self.maps = AttentionMaps(base.unet)

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
        """noisy [B, 4, H, W], ids [B, 77] → the UNet's prediction, and its cross-attention (`AttentionMaps`)."""
        self.maps.found.clear()
        predicted = predict(self.unet, noisy, timesteps, self.text_encoder(ids).last_hidden_state)
        return predicted, list(self.maps.found)


def assemble(config: Config) -> tuple[BaseModel, CLIPTextModelWithProjection, AutoencoderTiny]:
    """A base with an untrained UNet, read back from the checkpoint this script will write; and its trained parts."""
    text_encoder = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL))
    text_encoder.load_state_dict(load_file(config.text_encoder))
    autoencoder = AutoencoderTiny(**sg_mini.AUTOENCODER)
    autoencoder.load_state_dict(load_file(config.autoencoder))
    torch.manual_seed(config.seed)
    if config.init_from:
        unet = load_sg_mini(config.init_from).unet
    else:
        unet = UNet2DConditionModel(**sg_mini.UNET)
    start = config.run_dir / "start.safetensors"
    write_weights(start, half(sg_mini_tensors(text_encoder, unet, autoencoder)), {})
    return load_sg_mini(start), text_encoder, autoencoder.eval()


def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in tensors.items()}


def training_prompt(scene: Scene, rng: np.random.Generator) -> tuple[str, SceneGraph | None]:
    """The prompt that the UNet gets for a scene in training, and what it says; None where it says nothing of it."""
    choice = rng.random()
    if choice < EMPTY_RATE:
        return "", None
    if choice < EMPTY_RATE + BARE_RATE:
        return GRAPH_PROMPT, None
    said = web_graph(scene, rng)
    return caption(said), said


def whole_text_model(text_encoder: CLIPTextModelWithProjection, base: BaseModel) -> CLIPTextModelWithProjection:
    """The text model with what the base's lower layers have learned; its last layer and projection stay as they are."""
    text_encoder.text_model.load_state_dict(base.text_encoder.state_dict(), strict=False)
    return text_encoder


def main(config: Config) -> None:
    base, text_encoder, autoencoder = assemble(config)
    base.to(this_process().device)
    split = ShapesSplit(TRAIN, config.pictures)
    samples = CaptionSamples(split, split_latents(base, split, config.latents_dir), config.nested_rate, config.seed)
    large_area = Shapes.large_area
    shown = ShapesSplit(VALIDATION, MEASURED).graphs
    base.freeze()
    train_attention(base.unet)
    model = Denoiser(base).requires_grad_(True).train()

    def loss(
        model: nn.Module, batch: CaptionBatch, generator: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        parts = (batch.latents, batch.ids, batch.boxes, batch.graph_of, batch.words)
        x, ids, boxes, graph_of, words = (t.to(base.device) for t in parts)
        noisy, timesteps, target = base.add_noise(x, generator)
        predicted, maps = model(noisy, timesteps, ids)
        places = object_weights(boxes, graph_of, len(x), x.shape[-2:], large_area)
        denoising = diffusion_loss(base, predicted, target, timesteps, places)
        grounding = grounding_loss(maps, words, boxes, graph_of)
        figures = {"denoising": denoising.item(), "grounding": grounding.item()}
        return denoising + config.grounding_weight * grounding, figures

    def preview(model: nn.Module, path: Path) -> None:
        pictures = draw_graphs(base, CaptionConditioner(base), shown, starting_noise(base, 0, len(shown)), steps=8)
        save_grid(pictures[:SHOWN], f"{path}.png")
        verdicts = judge_all(Shapes(), [np.asarray(to_pil(picture)) for picture in pictures], shown)
        pairs = verdict_counts(verdicts) | {"nested relations": nested_relations(verdicts, shown)}
        figures = {name: np.sum(counts, axis=0) for name, counts in pairs.items()}
        tqdm.write(", ".join(f"{name} {hits / max(count, 1):.3f}" for name, (hits, count) in figures.items()))

    groups = [
        {"params": list(base.unet.parameters())},
        {"params": list(base.text_encoder.parameters()), "lr": TEXT_SPEED * config.learning_rate},
    ]
    train(config, model, loss, samples, parameters=groups, preview=preview)
    tensors = sg_mini_tensors(whole_text_model(text_encoder, base), base.unet, autoencoder)
    write_weights(config.out, half(tensors), {"modelspec.title": "SG-Mini"})


if __name__ == "__main__":
    run(main, Config)
