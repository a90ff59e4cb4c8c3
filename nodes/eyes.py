"""What guidance looks through in ComfyUI: an adapter's encoder on noisy latents, or CLIP on the predicted picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import comfy.clip_vision
import comfy.sd
import torch
from comfy.ldm.modules.attention import optimized_attention_for_device
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor, nn

from ..sg_models.guidance.scales import AUTO, CLEAN, EYES, NOISED, parts
from .loaded_adapter import LoadedNoisedClip, check_kind
from .loaded_base import check_model
from .socket_types import AdapterSocket

if TYPE_CHECKING:  # torchvision, which the eyes look with, takes long to import
    from ..sg_models.guidance.eyes import Eye, Tower

NO_EYE = (
    "{node} has nothing to look through. Connect a noised-clip adapter of this base (Load Scene Graph Adapter), or, "
    "on a base that has none, its VAE and the CLIP Vision that belongs to its text encoder (for Stable Diffusion 2.x, "
    "ViT-H)."
)
NO_ADAPTER = (
    "{node}: the {eye} eye is an adapter's. Connect a noised-clip adapter of this base, or choose the clean eye."
)
NO_VAE = "{node}: the clean eye looks at decoded pictures. Connect the VAE of the base, or another eye."
NO_TOWER = (
    "{node}: the clean eye needs a picture tower. Connect the CLIP Vision that belongs to this base's text encoder "
    "(for Stable Diffusion 2.x, ViT-H), or a noised-clip adapter, which holds one."
)
NOT_CLIP = (
    "{node}: the CLIP Vision that is connected is no CLIP ({kind}), and its pictures cannot be held against texts."
)


@dataclass(frozen=True)
class HostEye:
    """An eye, what has to be loaded for it, and the part of sampling in which it looks."""

    kind: str  # of EYES
    eye: "Eye"
    part: tuple[float, float]
    patchers: list[ModelPatcher]
    dim: int  # of what it sees


def eye_inputs() -> list[io.Input]:
    """What every node of guidance takes to look through."""
    return [
        AdapterSocket.Input(
            "adapter",
            optional=True,
            tooltip="A noised-clip file, trained on this base: it sees noisy latents, at a fraction of a step's cost.",
        ),
        io.ClipVision.Input(
            "clip_vision",
            optional=True,
            tooltip="For bases without such a file: the picture tower that belongs to the base's text encoder (Stable "
            "Diffusion 2.x: ViT-H). It looks at the predicted picture.",
        ),
        io.Combo.Input(
            "eye",
            options=[AUTO, *EYES],
            default=AUTO,
            optional=True,
            advanced=True,
            tooltip="noised: the adapter, on noisy latents. predicted: the adapter, on the clean latents that the "
            "model predicts. clean: CLIP, on the picture that these decode to, in every step. auto: the first two as "
            "serves best; clean where no adapter is connected.",
        ),
    ]


@dataclass(frozen=True)
class Connected:
    """What a node of guidance is connected to."""

    node: str
    model: ModelPatcher
    adapter: LoadedNoisedClip | None
    clip_vision: comfy.clip_vision.ClipVisionModel | None
    vae: comfy.sd.VAE | None


def open_eyes(found: Connected, guidance: str, choice: str) -> list[HostEye]:
    """The eyes that a kind of guidance looks through; raises `ValueError` in words where the inputs make none."""
    if found.adapter is not None:
        check_kind(found.adapter, found.node, LoadedNoisedClip)
        check_model(found.model, found.adapter.file, found.node)
    elif found.clip_vision is None:
        raise ValueError(NO_EYE.format(node=found.node))
    chosen = parts(guidance, choice, found.adapter is not None)
    return [
        clean_eye(found, part) if kind == CLEAN else latents_eye(found, kind, part) for kind, part in chosen.items()
    ]


def latents_eye(found: Connected, kind: str, part: tuple[float, float]) -> HostEye:
    """The adapter's encoder, on noisy or predicted latents."""
    from ..sg_models.guidance.eyes import NoisedEye, PredictedEye  # late: torchvision

    if found.adapter is None:
        raise ValueError(NO_ADAPTER.format(node=found.node, eye=kind))
    encoder = found.adapter.patcher.model["noised"]
    eye = NoisedEye(encoder) if kind == NOISED else PredictedEye(encoder)
    return HostEye(kind, eye, part, [found.adapter.patcher], encoder.config["dim"])


def clean_eye(found: Connected, part: tuple[float, float]) -> HostEye:
    """CLIP's tower, or the adapter's own, on decoded pictures."""
    from ..sg_models.guidance.eyes import CleanEye, ShapesTower

    if found.vae is None:
        raise ValueError(NO_VAE.format(node=found.node))
    if found.clip_vision is not None:
        vision = check_clip_vision(found.node, found.clip_vision)
        tower: Tower = VisionTower(vision)
        patcher, dim = vision.patcher, vision.config["projection_dim"]
    elif found.adapter is not None and "clean" in found.adapter.file.config:
        tower, patcher = ShapesTower(found.adapter.patcher.model["clean"]), found.adapter.patcher
        dim = found.adapter.file.config["clean"]["dim"]
    else:
        raise ValueError(NO_TOWER.format(node=found.node))
    eye = CleanEye(Decoder(found.vae, found.model), tower)
    return HostEye(CLEAN, eye, part, [found.vae.patcher, patcher], dim)


def check_clip_vision(node: str, clip_vision: comfy.clip_vision.ClipVisionModel) -> comfy.clip_vision.ClipVisionModel:
    """Raises `ValueError` in words for a vision model that is no CLIP."""
    if clip_vision.model_type != "clip_vision_model" or "projection_dim" not in clip_vision.config:
        raise ValueError(NOT_CLIP.format(node=node, kind=clip_vision.model_type))
    return clip_vision


class Decoder:
    """The VAE's decoder with gradients: the model's latents [B, 4, h, w] → pictures [B, 3, H, W] in [0, 1]."""

    def __init__(self, vae: comfy.sd.VAE, model: ModelPatcher) -> None:
        self.vae, self.latent_format = vae, model.get_model_object("latent_format")

    def __call__(self, latents: Tensor) -> Tensor:
        unscaled = self.latent_format.process_out(latents).to(self.vae.vae_dtype)
        return self.vae.process_output(self.vae.first_stage_model.decode(unscaled).float())


class VisionTower:
    """Core's CLIP Vision as a `Tower`, with gradients."""

    def __init__(self, clip_vision: comfy.clip_vision.ClipVisionModel) -> None:
        self.clip_vision, self.side = clip_vision, clip_vision.image_size

    def embed(self, pictures: Tensor) -> Tensor:
        """See `Tower`."""
        model = self.clip_vision.model
        return model.visual_projection(model.vision_model.post_layernorm(self._states(pictures)[-1][:, 0]))

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """See `Tower`: the states of some layers, without the token for the whole."""
        from ..sg_models.guidance.eyes import maps_of_tokens  # late: torchvision

        return maps_of_tokens(self._states(pictures), self.side // self.clip_vision.config["patch_size"])

    def _states(self, pictures: Tensor) -> list[Tensor]:
        """What each layer makes of pictures: [N, 1 + cells, C].

        Core's own layers add in place, through which no gradient passes.
        """
        vision = self.clip_vision.model.vision_model
        x, states = vision.pre_layrnorm(vision.embeddings(self._normalised(pictures))), []
        attention = optimized_attention_for_device(x.device, small_input=True)
        for layer in vision.encoder.layers:
            x = x + layer.self_attn(layer.layer_norm1(x), None, attention)
            x = x + layer.mlp(layer.layer_norm2(x))
            states.append(x)
        return states

    def _normalised(self, pictures: Tensor) -> Tensor:
        mean, deviation = (
            torch.tensor(values, device=pictures.device, dtype=pictures.dtype)[:, None, None]
            for values in (self.clip_vision.image_mean, self.clip_vision.image_std)
        )
        return (pictures - mean) / deviation


def without_inference_tensors(module: nn.Module) -> None:
    """Makes ordinary parameters of a module's inference tensors, which no backward pass may go through.

    ComfyUI runs nodes in inference mode, where every weight that it loads, moves or patches becomes such a tensor.
    """
    with torch.inference_mode(False):
        for part in module.modules():
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None and tensor.is_inference():
                        copy = tensor.clone()
                        tensors[name] = nn.Parameter(copy, requires_grad=False) if tensors is part._parameters else copy
