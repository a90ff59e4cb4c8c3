"""Guidance on the command line: `--guide language:"a red circle"`, and what it looks through."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
from sg_models.guidance.graph_guidance import GraphObjective
from sg_models.guidance.guidance import Guidance, Objective
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
    spatial:photo.png (where), style:photo.png, graph (boxes, phrases and relations of the graph itself); a scale of 1
    is what served SG-Mini best, as in the nodes"""
    guide_start: float = 0.0
    """the part of sampling, from 0 to 1, after which guidance sets in"""
    guide_end: float = 1.0
    """the part of sampling after which it is let go"""
    eye: str = AUTO
    """noised: an encoder trained on noisy latents; predicted: the same on the clean latents that the model predicts;
    clean: CLIP, on the picture that these decode to; auto: the first two as serves each kind best, and clean where
    --clip is all there is"""
    noised_clip: Path | None = None
    """the file of the eye for noise, models/scene_graph/noised-clip-<base>.safetensors if left out"""
    clip: str | None = None
    """a folder or hub id with both towers of CLIP, for a base other than SG-Mini, whose own ships; for Stable Diffusion
    2.x laion/CLIP-ViT-H-14-laion2B-s32B-b79K"""


@dataclass(frozen=True)
class GuideSpec:
    """One `--guide`."""

    kind: str
    scale: float  # over the one that serves this kind and its eye
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
        scale = float(number or 1)
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale):
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
        guidances = []
        for spec in self.specs:
            objective = self._objective(spec, graphs)
            for kind, (first, last) in parts(spec.kind, self.choice, self.encoder).items():
                eye, scale = self.eyes[kind], spec.scale * SCALES[kind][spec.kind]
                guidance = Guidance(eye, objective(eye), scale, LIMITS[spec.kind])
                guidances.append((guidance, max(first, self.start), min(last, self.end)))
        return one_after_another(guidances)

    def _objective(self, spec: GuideSpec, graphs: Sequence[SceneGraph]) -> Callable[[Eye], Objective]:
        """What a guide asks for, for any eye."""
        if spec.kind in LIKENESSES:
            latents = self._latents(Path(spec.what))
            return lambda eye: likeness(spec.kind, eye, latents)
        made = (
            GraphObjective(graphs, self.text.embed) if spec.kind == GRAPH else language(self.text.embed([spec.what])[0])
        )
        return lambda eye: made

    def _latents(self, path: Path) -> Tensor:
        """Clean latents [1, C, h, w] of a picture, cut to a square of the base's own size."""
        try:
            with Image.open(path) as picture:
                pixels = np.array(ImageOps.fit(picture.convert("RGB"), (self.base.side,) * 2, Image.Resampling.LANCZOS))
        except (OSError, UnidentifiedImageError) as error:
            raise UsageError(f"--guide: {path} is no picture that can be read ({error})") from error
        return self.base.encode_pictures(pixels[None])


def one_after_another(guidances: Sequence[tuple[Guidance, float, float]]) -> Guide:
    """Guidances in their parts of sampling, each of what those before it have made."""

    def guide(view: View, over: float) -> Tensor:
        for guidance, first, last in guidances:
            if first <= over <= last:
                view = replace(view, clean=guidance(view))
        return view.clean

    return guide


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
    encoder = has_encoder(config, base)
    kinds = {kind for spec in specs for kind in parts(spec.kind, config.eye, encoder)}
    eyes = {kind: open_eye(kind, config, base, text) for kind in kinds}
    return Guides(base, config.eye, eyes, encoder, text, specs, config.guide_start, config.guide_end)


def has_encoder(config: GuideOptions, base: BaseModel) -> bool:
    """Whether there is an encoder for noisy latents, in the file that the options name or in the base's own."""
    return config.noised_clip is not None or not config.clip or (ADAPTERS / noised_clip_name(base.name)).exists()


def open_eye(kind: str, config: GuideOptions, base: BaseModel, text: TextTower) -> Eye:
    """One of `EYES`; raises `UsageError` where the options name no file for it, or one of another CLIP."""
    if kind == CLEAN and isinstance(text, TransformersClip):  # whose picture tower sees what its text tower reads
        return CleanEye(base.decode, text.picture)
    file = read_noised_clip(config, base)
    if kind == CLEAN:
        tower = build_picture_tower(file).to(base.device)
        dim, eye = tower.project.out_features, CleanEye(base.decode, ShapesTower(tower))
    else:
        encoder = build_noised_encoder(file).to(base.device)
        dim, eye = encoder.config["dim"], NoisedEye(encoder) if kind == NOISED else PredictedEye(encoder)
    if dim != text.dim:
        raise UsageError(
            f"{file.name} sees pictures in {dim} numbers, and the texts are read in {text.dim}; name the --clip that "
            f"it was trained with, or write --eye {CLEAN}"
        )
    return eye


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
