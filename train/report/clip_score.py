"""How well pictures fit their graph's caption, as CLIP sees it, and whether a caption finds its picture among all.

Sources: Hessel et al. 2021, "CLIPScore" (100 · max(cos, 0), as torchmetrics has it); Liu et al. 2023, "More Control for
Free!", section 4.1, retrieval. Use another CLIP than the one that the pictures were drawn with: it would judge itself.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPProcessor

from sg_models.graph.caption import caption
from train.bases.clip_towers import whole_clip
from train.report.metrics import mean_with_interval, with_interval
from train.report.network_files import Source
from train.report.picture_metric import DrawnPictures, Figures
from train.running.command_line import UsageError

SCORE, RETRIEVAL = "CLIP score", "retrieval"
TOP = (1, 5, 10, 20)
CHUNK = 32  # pictures at once


class ClipNetwork:
    """A CLIP of transformers' kind, with its own pre-processing."""

    def __init__(self, source: Source, device: str = "cpu") -> None:
        """Raises `UsageError` where there is none."""
        try:
            place = source.loadable()
            self.model = whole_clip(place).to(device).eval()
            self.processor = CLIPProcessor.from_pretrained(place)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"there is no CLIP {source.name} here; name a folder of transformers' format with safetensors, or "
                f"write --download-networks with a hub id ({error})"
            ) from error
        self.device = device

    @torch.no_grad()
    def embed_pictures(self, pictures: np.ndarray) -> np.ndarray:
        """Unit vectors [N, D] of pictures, uint8 [N, H, W, 3]."""
        parts = [list(pictures[start : start + CHUNK]) for start in range(0, len(pictures), CHUNK)]
        pixels = (self.processor.image_processor(part, return_tensors="pt")["pixel_values"] for part in parts)
        return _units([self.model.get_image_features(pixel_values=part.to(self.device)) for part in pixels])

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, D] of texts, whose words beyond CLIP's length are lost, as they are for everyone."""
        length = self.model.config.text_config.max_position_embeddings
        tokens = self.processor.tokenizer(
            list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt"
        ).to(self.device)
        return _units([self.model.get_text_features(tokens["input_ids"], tokens["attention_mask"])])


class ClipMetrics:
    """Score and retrieval, from one look at each picture."""

    def __init__(self, names: Sequence[str], network: ClipNetwork) -> None:
        """`names` of `SCORE` and `RETRIEVAL`."""
        self.names, self.network = names, network
        self.pictures: list[np.ndarray] = []  # [G, S, D] each
        self.captions: list[np.ndarray] = []  # [G, D] each

    def see(self, drawn: DrawnPictures) -> None:
        self.pictures.append(self.network.embed_pictures(drawn.flat).reshape(*drawn.pictures.shape[:2], -1))
        self.captions.append(self.network.embed_texts([caption(graph) for graph in drawn.graphs]))

    def figures(self) -> Figures:
        pictures, captions = np.concatenate(self.pictures), np.concatenate(self.captions)
        found: Figures = {}
        if SCORE in self.names:
            found[SCORE] = mean_with_interval(clip_scores(pictures, captions).mean(axis=1))
        if RETRIEVAL in self.names:
            found |= retrieval(pictures, captions)
        return found

    def notes(self) -> dict[str, str]:
        pictures = sum(len(part) for part in self.pictures)
        return {RETRIEVAL: f"each caption among {pictures} pictures"} if RETRIEVAL in self.names else {}


def clip_scores(pictures: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """100 · max(cos, 0) of each picture [G, S, D] with its graph's caption [G, D]: [G, S]."""
    return 100 * np.clip(np.einsum("gsd,gd->gs", pictures, captions), 0, None)


def retrieval(pictures: np.ndarray, captions: np.ndarray) -> Figures:
    """How often a caption [G, D] has its own picture among the k that fit it best, in each sample of [G, S, D] apart.

    A picture that fits just as well counts as a better one: a drawer of one picture for all graphs finds none.
    """
    fits = np.einsum("gd,psd->gsp", captions, pictures)  # [G, S, G]
    own = np.einsum("gsg->gs", fits)[:, :, None]
    rank = (fits >= own).sum(axis=2) - 1  # [G, S]: pictures that fit at least as well, itself apart
    samples = np.full(len(rank), rank.shape[1])
    return {f"top-{k} retrieval": with_interval((rank < k).sum(axis=1), samples) for k in TOP if k < len(captions)}


def _units(outputs: Sequence[Tensor]) -> np.ndarray:
    vectors = torch.cat([getattr(output, "pooler_output", output) for output in outputs]).float()
    return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()
