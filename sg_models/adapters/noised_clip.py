"""Eyes of a base, as one file: an encoder for noisy latents, and the picture tower that it learned from."""

from typing import Any

from ..layers.noised_encoder import NoisedEncoder
from ..layers.picture_tower import PictureTower
from .adapter import Adapter, build_module

NOISED, CLEAN = "noised.", "clean."  # the prefixes of their tensors in adapter files


def build_noised_encoder(file: Adapter, **host: Any) -> NoisedEncoder:
    """The encoder of a file, frozen; raises `AdapterError` where configuration or tensors do not make one."""
    return _build(file, NoisedEncoder, "noised", NOISED, host)


def build_picture_tower(file: Adapter, **host: Any) -> PictureTower:
    """The picture tower of a file, frozen; raises `AdapterError` as above."""
    return _build(file, PictureTower, "clean", CLEAN, host)


def _build(file: Adapter, kind: type, part: str, prefix: str, host: dict[str, Any]) -> Any:
    sizes = file.config.get(part, {})
    tensors = {k.removeprefix(prefix): v for k, v in file.state_dict.items() if k.startswith(prefix)}
    return build_module(file, lambda **made: kind(**sizes, **made), tensors, **host).requires_grad_(False).eval()
