"""GLIGEN's text-box weights under LDM's names, the files that ComfyUI users have, read as they are.

Such a file has no header: its tensors say what it is. GLIGEN's files for other conditions (keypoints, images, depth …)
have another position net; those without gated self-attention have other layers.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from ..bases.known_bases import BASES, STABLE_DIFFUSION_1, STABLE_DIFFUSION_2
from ..files.safetensors_file import WeightsFileError, read_weights, tensor_names
from ..layers.position_net import BOX_DIM, fourier_columns_from_gligen
from .adapter import Adapter, AdapterError, read_adapter
from .variants import CLIP, GLIGEN

POSITION_NET, ATTENTION = "position_net.", "gated_attention."
UNET_PREFIX = "model.diffusion_model."  # before LDM's names, where a file holds more than a UNet
FUSER = re.compile(r"((?:input_blocks|output_blocks)\.\d+\.1|middle_block\.1)\.transformer_blocks\.0\.fuser\.(.+)")
UNETS_OWN = re.compile(r"(?:input_blocks|middle_block|output_blocks|time_embed|out)\.(?!.*\.fuser\.)")
DIFFUSERS_OWN = ("down_blocks.", "mid_block.", "up_blocks.")
POSITION_NAMES = {
    "null_positive_feature",
    "null_position_feature",
    *(f"linears.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")),
}
FUSER_NAMES = {
    *("linear.weight", "linear.bias", "alpha_attn", "alpha_dense"),
    *(f"attn.to_{part}.weight" for part in "qkv"),
    *(f"{name}.{part}" for name in ("attn.to_out.0", "ff.net.0.proj", "ff.net.2", "norm1", "norm2")
      for part in ("weight", "bias")),
}  # fmt: skip
# of Stable Diffusion 1.x and 2.x, in the order of the UNet's forward pass
ADDRESSES = (
    *(f"input_blocks.{i}.1" for i in (1, 2, 4, 5, 7, 8)),
    "middle_block.1",
    *(f"output_blocks.{i}.1" for i in range(3, 12)),
)
FIRST_CONVOLUTION, LATENT_CHANNELS = "input_blocks.0.0.weight", 4
HEADS, HEAD_DIM = 8, 64  # of every block of 1.x; of every head of 2.x
# how wide the prompts of a family's UNet are
FAMILIES = {768: STABLE_DIFFUSION_1, 1024: STABLE_DIFFUSION_2}
DATASET = "gligen"
ANOTHER_FILE = "take the text-box weights, such as gligen_sd14_textbox_pruned_fp16.safetensors"


def read_adapter_or_gligen(path: Path) -> Adapter:
    """An adapter file, or one of GLIGEN's; raises `AdapterError` in words for anything else."""
    path = Path(path)
    try:
        names = tensor_names(path)
        if not looks_like_gligen(names):
            return read_adapter(path)
        tensors, metadata = read_weights(path)
    except WeightsFileError as error:
        raise error if isinstance(error, AdapterError) else AdapterError(str(error)) from error
    if "scene_graph.format" in metadata:
        return read_adapter(path)
    return adapter_from_gligen(path.name, tensors)


def looks_like_gligen(names: Iterable[str]) -> bool:
    """Whether tensors are of GLIGEN's weights, of whatever kind, and not of an adapter file."""
    return any(".fuser." in name for name in names)


def adapter_from_gligen(name: str, tensors: Mapping[str, Tensor], base: str | None = None) -> Adapter:
    """The adapter of kind `gligen` that a file's tensors make under our names, Fourier columns in our order.

    `base` is needed for 2.x alone, of which there are two that such files do not tell apart. Raises `AdapterError` if a
    tensor is missing, or belongs to no text-box weights.
    """
    tensors = {key.removeprefix(UNET_PREFIX): tensor for key, tensor in tensors.items()}
    _check_names(name, tensors)
    position = {key: tensor for key, tensor in tensors.items() if key.startswith(POSITION_NET)}
    fusers = {match[1] + "." + match[2]: t for key, t in tensors.items() if (match := FUSER.fullmatch(key))}
    phrase_dim, token_dim = _sizes(name, position)
    widths = {address: fusers[f"{address}.linear.bias"].shape[0] for address in ADDRESSES}
    blocks = {a: {"width": w, "heads": _heads(FAMILIES[token_dim], w)} for a, w in widths.items()}
    found = BASES[_base(name, FAMILIES[token_dim], base)]
    return Adapter(
        kind=GLIGEN,
        base=found.name,
        prediction_type=found.prediction_type,
        phrase_encoder=CLIP,
        config={"phrase_dim": phrase_dim, "token_dim": token_dim, "blocks": blocks},
        dataset=DATASET,
        steps=0,
        state_dict=_in_our_order(position) | {ATTENTION + key: tensor for key, tensor in fusers.items()},
        name=name,
    )


def _check_names(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Raises `AdapterError` unless the tensors are those of a position net and of 16 gated layers, and a UNet's own."""
    if any(key.startswith(DIFFUSERS_OWN) for key in tensors):
        raise AdapterError(
            f"{name} has diffusers' names; turn it into an adapter with python train/convert_igligen.py --source FOLDER"
        )
    position = {key.removeprefix(POSITION_NET) for key in tensors if key.startswith(POSITION_NET)}
    _check_same(name, "position net", position, POSITION_NAMES, f"GLIGEN's files for other conditions; {ANOTHER_FILE}")
    found: dict[str, set[str]] = {}
    for match in filter(None, map(FUSER.fullmatch, tensors)):
        found.setdefault(match[1], set()).add(match[2])
    for address, names in found.items():
        _check_same(name, f"layer at {address}", names, FUSER_NAMES, f"GLIGEN's other layers; {ANOTHER_FILE}")
    if set(found) != set(ADDRESSES):
        wrong = sorted(set(found) ^ set(ADDRESSES))
        raise AdapterError(
            f"{name} has not the 16 gated layers of Stable Diffusion 1.x and 2.x: {wrong[0]} is missing or unknown; it "
            "may be cut short, or for another base"
        )
    unknown = sorted(k for k in tensors if not (k.startswith(POSITION_NET) or FUSER.fullmatch(k) or UNETS_OWN.match(k)))
    if unknown:
        raise AdapterError(
            f"{name} holds {unknown[0]} and {len(unknown) - 1} more tensors that text-box weights do not have; "
            f"{ANOTHER_FILE}"
        )
    first = tensors.get(FIRST_CONVOLUTION)
    if first is not None and first.shape[1] != LATENT_CHANNELS:
        raise AdapterError(f"{name} is for a UNet of {first.shape[1]} channels, as for inpainting; {ANOTHER_FILE}")


def _check_same(file: str, part: str, found: set[str], wanted: set[str], otherwise: str) -> None:
    if found == wanted:
        return
    what = f"has {min(found - wanted)}" if found - wanted else f"lacks {min(wanted - found)}"
    raise AdapterError(f"{file} is not GLIGEN's text-box weights: its {part} {what}, as do {otherwise}")


def _sizes(name: str, position: Mapping[str, Tensor]) -> tuple[int, int]:
    """How wide a position net's phrases and tokens are."""
    phrase_dim, token_dim = (len(position[POSITION_NET + key]) for key in ("null_positive_feature", "linears.4.bias"))
    if token_dim not in FAMILIES or phrase_dim != token_dim:
        raise AdapterError(
            f"{name} is for a UNet with prompts of {token_dim} numbers; Stable Diffusion 1.x has 768, and 2.x has 1024"
        )
    columns = [position[POSITION_NET + key].shape[-1] for key in ("null_position_feature", "linears.0.weight")]
    if columns != [BOX_DIM, phrase_dim + BOX_DIM]:
        raise AdapterError(
            f"{name} is not GLIGEN's text-box weights: its position net encodes a box in {columns[0]} numbers, not "
            f"{BOX_DIM}; {ANOTHER_FILE}"
        )
    return phrase_dim, token_dim


def _heads(family: str, width: int) -> int:
    return HEADS if family == STABLE_DIFFUSION_1 else max(1, width // HEAD_DIM)


def _base(name: str, family: str, base: str | None) -> str:
    """The base that weights for a family are for, `base` if it was said."""
    of_family = [b.name for b in BASES.values() if b.family == family]
    if base is not None and base not in of_family:
        raise AdapterError(f"{name} is for {' or '.join(of_family)}, by the width of its prompts, not for {base}")
    if base is None and len(of_family) > 1:
        raise AdapterError(
            f"{name} does not say whether it is for {' or '.join(of_family)}; turn it into an adapter with "
            f"python train/convert_igligen.py --source FILE --base {of_family[0]}"
        )
    return base or of_family[0]


def _in_our_order(position: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A position net's tensors with the Fourier features' columns where `fourier_features` has them."""
    turned = dict(position)
    for key in ("null_position_feature", "linears.0.weight"):
        tensor = turned[POSITION_NET + key]
        first = tensor.shape[-1] - BOX_DIM
        columns = fourier_columns_from_gligen(tensor[..., first:])
        turned[POSITION_NET + key] = tensor.clone()
        turned[POSITION_NET + key][..., first:] = columns
    return turned
