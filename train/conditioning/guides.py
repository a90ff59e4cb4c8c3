"""Guidance on the command line: `--guide language:"a red circle"`, and what it looks through."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from sg_models.adapters.adapter import Adapter, read_adapter
from sg_models.adapters.noised_clip import build_noised_encoder, build_picture_tower
from sg_models.adapters.variants import NOISED_CLIP, noised_clip_name
from sg_models.bases import sg_mini
from sg_models.graph.scene_graph import SceneGraph
from sg_models.guidance.eyes import CleanEye, Eye, NoisedEye, PredictedEye, ShapesTower
from sg_models.guidance.graph_guidance import GraphObjective, Weights
from sg_models.guidance.guidance import Guidance
from sg_models.guidance.scales import AUTO, CLEAN, EYES, GRAPH, LANGUAGE, LIMITS, NOISED, SCALES, parts
from sg_models.guidance.semantic_guidance import LIKENESSES, language, likeness
from sg_models.guidance.view import View
from train.bases.base_model import BaseModel
from train.bases.clip_towers import SGMiniText, TextTower, TransformersClip
from train.bases.model_folders import ADAPTERS
from train.conditioning.sampling import Guide
from train.running.command_line import UsageError

FORM = (
    'write KIND[=SCALE][:WHAT]: language:"a red circle", content=2:photo.png, style:photo.png, spatial:photo.png, graph'
)


@dataclass(kw_only=True)
class GuideOptions:
    """Guidance while sampling, which needs no training of the base."""

    guide: list[str] = field(default_factory=list)
    """KIND[=SCALE][:WHAT], as many as you like: language:"a red circle", content:photo.png (what is in it),
    spatial:photo.png (where), style:photo.png, graph (boxes, phrases and relations of the graph itself)"""
    guide_start: float = 0.0
    """the part of sampling, from 0 to 1, after which guidance sets in"""
    guide_end: float = 1.0
    """the part of sampling after which it is let go"""
    eye: str = AUTO
    """noised: an encoder trained on noisy latents; predicted: the same on the clean latents that the model predicts;
    clean: CLIP, on the picture that these decode to; auto: the first two as serves
    each kind best, and clean where --clip is all there is"""
    noised_clip: Path | None = None
    """the file of the eye for noise, models/scene_graph/noised-clip-<base>.safetensors if left out"""
    clip: str | None = None
    """a folder or hub id with both towers of CLIP, for a base other than SG-Mini, whose own ships; for Stable Diffusion
    2.x laion/CLIP-ViT-H-14-laion2B-s32B-b79K"""


@dataclass(frozen=True)
class GuideSpec:
    """One `--guide`."""

    kind: str
    scale: float | None
    what: str


def read_guide(text: str) -> GuideSpec:
    """A `--guide`; raises `UsageError` for anything else."""
    head, _, what = text.partition(":")
    kind, _, number = head.partition("=")
    if kind not in (LANGUAGE, GRAPH, *LIKENESSES):
        raise UsageError(f"--guide {text!r}: there is no guidance {kind!r}; {FORM}")
    if (kind == GRAPH) == bool(what):
        wrong = "graph takes nothing after it" if what else "what to guide by is missing"
        raise UsageError(f"--guide {text!r}: {wrong}; {FORM}")
    try:
        scale = float(number) if number else None
    except ValueError:
        scale = math.nan
    if scale is not None and not math.isfinite(scale):
        raise UsageError(f"--guide {text!r}: {number!r} is no number; {FORM}")
    return GuideSpec(kind, scale, what)


@dataclass
class Guides:
    """All guidance of a run, ready for any batch of graphs; `eyes` are those that it looks through, by their kind."""

    base: BaseModel
    choice: str
    eyes: dict[str, Eye]
    encoder: bool
    text: TextTower
    specs: list[GuideSpec]
    start: float
    end: float

    def of(self, graphs: Sequence[SceneGraph]) -> Guide:
        """What guides the pictures of these graphs, one each."""
        guidances = [
            (self._guidance(spec, graphs, eye), max(first, self.start), min(last, self.end))
            for spec in self.specs
            for eye, (first, last) in parts(spec.kind, self.choice, self.encoder).items()
        ]

        def guide(view: View, over: float) -> Tensor:
            clean = view.clean
            for guidance, first, last in guidances:
                if first <= over <= last:
                    clean = guidance(View(view.noisy, clean, view.timesteps, view.alpha))
            return clean

        return guide

    def _guidance(self, spec: GuideSpec, graphs: Sequence[SceneGraph], kind: str) -> Guidance:
        scale, eye = SCALES[kind][spec.kind] if spec.scale is None else spec.scale, self.eyes[kind]
        if spec.kind == LANGUAGE:
            objective = language(self.text.embed([spec.what])[0])
        elif spec.kind == GRAPH:
            objective = GraphObjective(graphs, self.text.embed, Weights())
        else:
            objective = likeness(spec.kind, eye, self._latents(Path(spec.what)))
        return Guidance(eye, objective, scale, LIMITS[spec.kind])

    def _latents(self, path: Path) -> Tensor:
        """Clean latents [1, C, h, w] of a picture, cut to a square of the base's own size."""
        try:
            with Image.open(path) as picture:
                pixels = np.array(ImageOps.fit(picture.convert("RGB"), (self.base.side,) * 2, Image.Resampling.LANCZOS))
        except (OSError, UnidentifiedImageError) as error:
            raise UsageError(f"--guide: {path} is no picture that can be read ({error})") from error
        return self.base.encode_pictures(pixels[None])


def open_guides(config: GuideOptions, base: BaseModel, base_source: str) -> Guides | None:
    """The guidance that the options name, None where they name none; raises `UsageError` for what cannot be."""
    if not config.guide:
        return None
    if not 0 <= config.guide_start <= config.guide_end <= 1:
        raise UsageError("--guide-start and --guide-end are parts of sampling: 0 ≤ start ≤ end ≤ 1")
    if config.eye not in (AUTO, *EYES):
        raise UsageError(f"--eye {config.eye}: write {', '.join((AUTO, *EYES))}")
    specs = [read_guide(text) for text in config.guide]
    text = text_tower(config, base, base_source)
    encoder = not config.clip or config.noised_clip is not None
    kinds = {kind for spec in specs for kind in parts(spec.kind, config.eye, encoder)}
    eyes = {kind: open_eye(kind, config, base, text) for kind in kinds}
    return Guides(base, config.eye, eyes, encoder, text, specs, config.guide_start, config.guide_end)


def open_eye(kind: str, config: GuideOptions, base: BaseModel, text: TextTower) -> Eye:
    """One of `EYES`; raises `UsageError` where the options name no file for it."""
    if kind == CLEAN and isinstance(text, TransformersClip):  # whose picture tower sees what its text tower reads
        return CleanEye(base.decode, text.picture)
    file = read_noised_clip(config, base)
    if kind == CLEAN:
        return CleanEye(base.decode, ShapesTower(build_picture_tower(file).to(base.device)))
    encoder = build_noised_encoder(file).to(base.device)
    return NoisedEye(encoder) if kind == NOISED else PredictedEye(encoder)


def read_noised_clip(config: GuideOptions, base: BaseModel) -> Adapter:
    """The file of the eye; raises `UsageError` where there is none, `AdapterError` for another base's."""
    path = config.noised_clip or ADAPTERS / noised_clip_name(base.name)
    if not path.exists():
        raise UsageError(
            f"there is no {path}; train it with train/train_noised_clip.py --base {base.name}, or write --eye {CLEAN}"
        )
    file = read_adapter(path)
    file.check_kind(NOISED_CLIP)
    file.check_base(base.name, base.prediction_type)
    return file


def text_tower(config: GuideOptions, base: BaseModel, source: str) -> TextTower:
    """What reads the texts; raises `UsageError` where a base other than SG-Mini has no `--clip`."""
    if config.clip:
        return TransformersClip(config.clip).to(base.device)
    if base.name != sg_mini.NAME:
        raise UsageError(f"guidance on {base.name} needs --clip: a folder or hub id with both towers of its CLIP")
    return SGMiniText(source).to(base.device)
