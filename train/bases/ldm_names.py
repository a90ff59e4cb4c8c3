"""Names of a Stable Diffusion UNet's and its ControlNets' parts: from diffusers' to LDM's.

Checkpoints, block addresses and ComfyUI's ControlNet loader use the latter.
"""

import re

from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock

UNET_PREFIX = "model.diffusion_model."  # in checkpoints
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTER = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def ldm_names(unet: UNet2DConditionModel) -> dict[str, str]:
    """The LDM name of each of a UNet's parameters, by diffusers' name."""
    return {name: ldm_name(unet, name) for name in unet.state_dict()}


def controlnet_ldm_names(controlnet: ControlNetModel) -> dict[str, str]:
    """The LDM name of each of a ControlNet's parameters, by diffusers' name."""
    return {name: _controlnet_name(controlnet, name) for name in controlnet.state_dict()}


def _controlnet_name(controlnet: ControlNetModel, name: str) -> str:
    part, _, rest = name.partition(".")
    if part == "controlnet_down_blocks":
        index, _, kind = rest.partition(".")
        return f"zero_convs.{index}.0.{kind}"
    if part == "controlnet_mid_block":
        return f"middle_block_out.0.{rest}"
    if part == "controlnet_cond_embedding":
        layer, _, kind = rest.rpartition(".")
        inner = len(controlnet.controlnet_cond_embedding.blocks)
        places = {"conv_in": 0, "conv_out": inner + 1} | {f"blocks.{i}": i + 1 for i in range(inner)}
        return f"input_hint_block.{2 * places[layer]}.{kind}"  # with an activation after each but the last
    return ldm_name(controlnet, name)


def ldm_name(unet: UNet2DConditionModel | ControlNetModel, name: str) -> str:
    """The LDM name of a parameter or module of a diffusers UNet: `down_blocks.0.attentions.0` → `input_blocks.1.1`."""
    for outer, ldm in _OUTER.items():
        if name == outer or name.startswith(outer + "."):
            return ldm + name[len(outer) :]
    match = re.fullmatch(r"(down_blocks|up_blocks)\.(\d+)\.(\w+)\.(\d+)(?:\.(.+))?", name)
    if match:
        side, level, part, index, rest = match.groups()
        return _block(side, int(level), part, int(index), rest, unet)
    match = re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)(?:\.(.+))?", name)
    if not match:
        raise ValueError(f"{name} is not a part of a Stable Diffusion UNet")
    part, index, rest = match.groups()
    place = "middle_block.1" if part == "attentions" else f"middle_block.{2 * int(index)}"
    return place + _inside(part, rest)


def block_addresses(unet: UNet2DConditionModel) -> dict[str, BasicTransformerBlock]:
    """The UNet's transformer blocks by block address, in the order of its forward pass."""
    found = {}
    for name, module in unet.named_modules():
        if isinstance(module, BasicTransformerBlock):
            found[ldm_name(unet, name.removesuffix(".transformer_blocks.0"))] = module
    order = {"input_blocks": 0, "middle_block": 1, "output_blocks": 2}
    return dict(sorted(found.items(), key=lambda item: (order[item[0].split(".")[0]], int(item[0].split(".")[1]))))


def _block(
    side: str, level: int, part: str, index: int, rest: str | None, unet: UNet2DConditionModel | ControlNetModel
) -> str:
    layers = unet.config["layers_per_block"]
    if side == "down_blocks":
        if part == "downsamplers":
            return f"input_blocks.{(level + 1) * (layers + 1)}.0.op" + (rest or "").removeprefix("conv")
        place = f"input_blocks.{1 + level * (layers + 1) + index}"
    elif part == "upsamplers":
        # at the end of a level's last block: after its resnet and, if the level has them, its transformer
        place = 2 if "CrossAttn" in unet.config["up_block_types"][level] else 1
        return f"output_blocks.{level * (layers + 1) + layers}.{place}" + (f".{rest}" if rest else "")
    else:
        place = f"output_blocks.{level * (layers + 1) + index}"
    return f"{place}.{1 if part == 'attentions' else 0}" + _inside(part, rest)


def _inside(part: str, rest: str | None) -> str:
    if not rest:
        return ""
    if part == "attentions":
        return f".{rest}"
    head, _, tail = rest.partition(".")
    return f".{_RESNET[head]}" + (f".{tail}" if tail else "")
