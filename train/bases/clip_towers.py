"""CLIP's two towers as guidance and its training need them: texts and pictures as vectors of one space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, CLIPModel, CLIPTokenizer

from sg_models.bases import sg_mini
from sg_models.guidance.eyes import maps_of_tokens
from train.bases.clip_tokenizer import clip_tokenizer, token_ids
from train.bases.model_folders import CHECKPOINTS
from train.bases.sg_mini_checkpoint import load_text_model
from train.running.command_line import UsageError

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's own pictures


class TextTower(Protocol):
    @property
    def dim(self) -> int:
        """Of the vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> Tensor:
        """P texts as vectors [P, D] of unit length, each distinct one read once."""
        ...


class SGMiniText(nn.Module):
    """The whole text model of an SG-Mini checkpoint, frozen: with the projection, which the UNet does not see."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.model = load_text_model(CHECKPOINTS / sg_mini.CHECKPOINT if base == sg_mini.NAME else Path(base))
        self.dim = self.model.config.projection_dim
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """See `TextTower`."""
        distinct = list(dict.fromkeys(texts))
        ids = token_ids(clip_tokenizer(), distinct)
        ends = (ids == clip_tokenizer().eos_token_id).nonzero()[:, 1]
        ids = ids[:, : int(ends.max()) + 1].to(self.model.device)  # causal: what is behind the end is idle
        vectors = F.normalize(self.model(input_ids=ids).text_embeds.float(), dim=-1)
        return vectors[[distinct.index(text) for text in texts]]


def whole_clip(source: str) -> CLIPModel:
    """A CLIP of transformers' format, a folder or a hub id, with both of its towers.

    Raises `OSError` or `ValueError` where there is none. Of half a CLIP transformers would make a whole one, and say so
    in a warning alone: with a tower of random weights.
    """
    kind = AutoConfig.from_pretrained(source).model_type
    if kind != "clip":
        raise ValueError(f"what is there is a {kind}, and not a CLIP with both of its towers")
    return CLIPModel.from_pretrained(source, use_safetensors=True)


class TransformersClip(nn.Module):
    """Both towers of a `CLIPModel` of transformers, frozen: a `TextTower`; `picture` is a `Tower`.

    `source` is a folder or a hub id, for Stable Diffusion 2.x laion/CLIP-ViT-H-14-laion2B-s32B-b79K. Raises
    `UsageError` where there is none.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        try:
            self.model, self.tokenizer = whole_clip(source), CLIPTokenizer.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise UsageError(f"{source} holds no CLIP of transformers: {error}") from error
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """See `TextTower`."""
        batch = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.model.device)
        states = self.model.text_model(**batch).pooler_output
        return F.normalize(self.model.text_projection(states).float(), dim=-1)

    @property
    def dim(self) -> int:
        """Of both towers' vectors."""
        return self.model.config.projection_dim

    @property
    def picture(self) -> "TransformersTower":
        """Its picture tower."""
        return TransformersTower(self.model)


class TransformersTower:
    """The picture tower of a `CLIPModel`, as guidance takes it."""

    def __init__(self, model: CLIPModel) -> None:
        self.model, self.side = model, model.config.vision_config.image_size
        self.mean, self.deviation = (torch.tensor(v, device=model.device)[:, None, None] for v in (MEAN, DEVIATION))

    def embed(self, pictures: Tensor) -> Tensor:
        """See `Tower`."""
        return self.model.visual_projection(self._see(pictures).pooler_output)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """See `Tower`: the states of some layers, without the token for the whole."""
        states = self._see(pictures, output_hidden_states=True).hidden_states[1:]
        return maps_of_tokens(states, self.side // self.model.config.vision_config.patch_size)

    def _see(self, pictures: Tensor, **options: bool):
        return self.model.vision_model(pixel_values=(pictures - self.mean) / self.deviation, **options)
