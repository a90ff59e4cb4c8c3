"""The base that adapters are trained on: SG-Mini, or any Stable Diffusion 2.x.

Both go through the same classes: CLIP text model (its last layer left out, as Stable Diffusion 2 is conditioned on
the penultimate one), UNet, autoencoder, and a noise schedule whose prediction type decides what the UNet learns to say.
"""

import gzip
import hashlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from einops import rearrange
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from sg_models.gated_attention import Attention, scaled_dot_product_attention

MODELS = Path(__file__).resolve().parent.parent / "models"  # sorted like ComfyUI's own folder of that name
CHECKPOINTS, ADAPTERS, LORAS = MODELS / "checkpoints", MODELS / "scene_graph", MODELS / "loras"
UNET_PREFIX = "model.diffusion_model."  # in checkpoints
MAX_WEIGHT = 10.0  # of a timestep in the loss; the noisiest would count 200


@dataclass
class BaseModel:
    """A frozen base. `name` is what adapter files call it."""

    name: str
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderTiny | AutoencoderKL
    scheduler: DDIMScheduler

    @property
    def prediction_type(self) -> str:
        """`epsilon` or `v_prediction`, from the schedule's own configuration."""
        return self.scheduler.config["prediction_type"]

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def to(self, device: torch.device | str) -> "BaseModel":
        for part in (self.text_encoder, self.unet, self.vae):
            part.to(device)  # pyright: ignore[reportArgumentType]
        return self

    def frozen(self) -> "BaseModel":
        """This base, with no parameter that could be trained."""
        for part in (self.text_encoder, self.unet, self.vae):
            part.requires_grad_(False).eval()
        return self

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> Tensor:
        """What the UNet's cross-attention sees: [B, 77, D]."""
        return self.text_encoder(self._ids(prompts).to(self.text_encoder.device)).last_hidden_state

    @torch.no_grad()
    def encode_phrases(self, phrases: list[str]) -> Tensor:
        """CLIP phrase vectors [P, D]: each phrase's hidden state at its end-of-text position."""
        ids = self._ids(phrases)
        states = self.text_encoder(ids.to(self.text_encoder.device)).last_hidden_state  # [P, 77, D]
        ends = (ids == self.tokenizer.eos_token_id).int().argmax(dim=1)
        return states[torch.arange(len(phrases)), ends]

    @torch.no_grad()
    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [-1, 1] → scaled latents [B, 4, H/8, W/8]."""
        if pictures.min() >= 0:
            raise ValueError("pictures must be in [-1, 1]; these have no value below 0")
        encoded = self.vae.encode(pictures)
        latents = encoded.latents if isinstance(self.vae, AutoencoderTiny) else encoded.latent_dist.sample()
        return latents * self.vae.config["scaling_factor"]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents → pictures [B, 3, H, W] in [0, 1]."""
        return (self.vae.decode(latents / self.vae.config["scaling_factor"]).sample / 2 + 0.5).clamp(0, 1)

    def noised(
        self, latents: Tensor, generator: torch.Generator, timestep_power: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A training example from clean latents: noisy latents, timesteps [B], and what the UNet should say.

        Timesteps are T·u^power for uniform u: 1 treats them alike, less than 1 prefers the noisy ones.
        """
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        uniform = torch.rand(len(latents), generator=generator, device=latents.device)
        timesteps = (uniform**timestep_power * self.scheduler.config["num_train_timesteps"]).long()
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        return noisy, timesteps, training_target(self.scheduler, latents, noise, timesteps)

    def vae_fingerprint(self) -> str:
        """SHA-256 of the autoencoder's weights: latents belong to one autoencoder alone."""
        digest = hashlib.sha256()
        for tensor in self.vae.state_dict().values():
            digest.update(tensor.float().cpu().numpy().tobytes())
        return digest.hexdigest()

    def _ids(self, texts: list[str]) -> Tensor:
        return token_ids(self.tokenizer, texts)


def train_attention(unet: UNet2DConditionModel) -> Attention:
    """The attention that trains fastest where the UNet is: set in the UNet, and returned for an adapter's layers.

    On a CPU, the backward pass of PyTorch's fused attention costs more than plain matrix products: a whole step of
    SG-Mini takes 1.4 times as long with it (measured with PyTorch 2.15, bfloat16, Zen 4).
    """
    if unet.device.type != "cpu":
        return scaled_dot_product_attention
    unet.set_attn_processor(AttnProcessor())
    return _matmul_attention


def _matmul_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor) -> Tensor:
    q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=heads) for t in (q, k, v))
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + mask  # [B, H, N, M]
    return rearrange(scores.softmax(dim=-1).to(v.dtype) @ v, "b h n d -> b n (h d)")


def diffusion_loss(
    base: BaseModel,
    predicted: Tensor,
    target: Tensor,
    timesteps: Tensor,
    places: Tensor | None = None,
    max_weight: float = MAX_WEIGHT,
) -> Tensor:
    """Mean squared error of what the UNet says, each timestep weighted as its error in velocity, up to `max_weight`.

    The velocity is what an error in epsilon does to the picture, 1/ᾱ as much squared (Salimans & Ho 2022, appendix D).
    In epsilon itself, the noisy timesteps, where the layout is decided, hardly count. `places` [B, h, w] weights the
    error by where it is.
    """
    squared = (predicted.float() - target).square().mean(dim=1)  # [B, h, w]
    error = (squared if places is None else squared * places).mean(dim=(1, 2))
    if base.prediction_type == "v_prediction":
        return error.mean()
    weight = 1 / base.scheduler.alphas_cumprod.to(error.device)[timesteps]
    return (weight.clamp(max=max_weight) * error).mean()


def training_target(scheduler: DDIMScheduler, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """The target that belongs to the schedule's prediction type."""
    kind = scheduler.config["prediction_type"]
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    raise ValueError(f"the schedule predicts {kind!r}; epsilon and v_prediction are known")


@lru_cache
def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own tokenizer.

    Its merges come with the open_clip package, whose import would take seconds and is not needed for a data file.
    """
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    letters = list(_byte_letters())
    words = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    vocabulary = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges)


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids [B, 77], padded with id 0 as Stable Diffusion 2 does.

    Not by the tokenizer: it would have to call "!", whose id that is, a special token, and then read it as one.
    """
    rows = tokenizer(texts, truncation=True, max_length=77).input_ids
    return torch.tensor([row + [0] * (77 - len(row)) for row in rows])


def _byte_letters() -> Iterable[str]:
    """The printable stand-ins of the 256 bytes, in the order in which CLIP's vocabulary begins."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = 256 - len(printable)
    return map(chr, printable + [256 + i for i in range(others)])
