"""Turns public GLIGEN weights into an adapter that draws scene graphs, or into a start for training.

    python train/convert_igligen.py --source longlian/igligen-sd2.1-v1.0 --revision fp16
    python train/sample.py --base sd21-base --adapter runs/gligen-sd21-base.safetensors --arrange --graph GRAPH

With `--start`, what is written is for `train_gsa.py --init-from`: gated self-attention alone. It has the shapes and
names of ours and has seen millions of boxes; the position net, which makes tokens of phrases and boxes, has no place
there, as tokens come from graphs.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention import GatedSelfAttentionDense
from torch import Tensor

from sg_models.adapters.adapter import Adapter, AdapterError, write_adapter
from sg_models.adapters.gligen_file import ATTENTION, FAMILIES, POSITION_NET, adapter_from_gligen
from sg_models.adapters.variants import CLIP, GSA_START
from sg_models.bases.known_bases import find_base
from sg_models.files.safetensors_file import read_weights
from train.bases.ldm_names import block_addresses
from train.conditioning.grounded_unet import block_sizes
from train.running.command_line import run

START_DATASET = "igligen"
RUNS = Path("runs")


@dataclass
class Config:
    source: str = "longlian/igligen-sd2.1-v1.0"
    """a folder or hub id in diffusers' layout, with a UNet that has GLIGEN's layers; or a .safetensors file under LDM's
    names, as core ComfyUI reads them"""
    revision: str | None = None
    """of a hub id; IGLIGEN keeps its weights in fp32 and fp16"""
    base: str | None = None
    """sd21-base or sd21, where a .safetensors file is for 2.x: it does not say so itself"""
    start: bool = False
    """write gated self-attention alone, from which training starts"""
    half: bool = True
    """write float16, as IGLIGEN's fp16 revision has it; else float32"""
    out: Path | None = None
    """runs/gligen-<base>.safetensors, or runs/igligen-start-<base>.safetensors, if left out; put an adapter into
    ComfyUI/models/scene_graph"""


def read_folder(config: Config) -> Adapter:
    """The adapter that a UNet with GLIGEN's layers makes; what it predicts comes from the scheduler beside it.

    Raises `AdapterError` if it has no such layers, or if it is for no base that is known.
    """
    where = {"revision": config.revision} if config.revision else {}
    weights = {"torch_dtype": torch.float16 if config.half else torch.float32} | where
    unet = UNet2DConditionModel.from_pretrained(config.source, subfolder="unet", **weights)
    scheduler = DDIMScheduler.from_pretrained(config.source, subfolder="scheduler", **where)
    width, said = unet.config["cross_attention_dim"], scheduler.config["prediction_type"]
    base = find_base(FAMILIES.get(width, ""), said)
    if base is None or config.base not in (None, base.name):
        raise AdapterError(
            f"{config.source} is for a UNet with prompts of {width} numbers that predicts {said}"
            + (f": {base.name}, so leave --base out" if base else "; Stable Diffusion 1.x and 2.x are known")
        )
    adapter = adapter_from_gligen(config.source, gligen_tensors(unet), base.name)
    return dataclasses.replace(adapter, config=adapter.config | {"blocks": block_sizes(unet)})


def gligen_tensors(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The position net and gated self-attention of a UNet under LDM's names.

    Raises `AdapterError` if a transformer block has none.
    """
    found = {name: tensor for name, tensor in unet.state_dict().items() if name.startswith(POSITION_NET)}
    for address, block in block_addresses(unet).items():
        fuser = getattr(block, "fuser", None)
        if not isinstance(fuser, GatedSelfAttentionDense):
            raise AdapterError(f"the UNet has no gated self-attention at {address}; --source must name GLIGEN weights")
        found |= {f"{address}.transformer_blocks.0.fuser.{k}": tensor for k, tensor in fuser.state_dict().items()}
    return found


def as_start(adapter: Adapter) -> Adapter:
    """Gated self-attention alone, as `train_gsa.py` starts from it."""
    kept = {name: tensor for name, tensor in adapter.state_dict.items() if name.startswith(ATTENTION)}
    sizes = {
        "token_dim": adapter.config["token_dim"],
        "position_frequencies": 0,
        "blocks": adapter.config["blocks"],
    }
    return Adapter(GSA_START, adapter.base, adapter.prediction_type, CLIP, sizes, START_DATASET, 0, kept)


def main(config: Config) -> None:
    if config.source.endswith(".safetensors"):
        adapter = adapter_from_gligen(config.source, read_weights(Path(config.source))[0], config.base)
    else:
        adapter = read_folder(config)
    if config.start:
        adapter = as_start(adapter)
    out = config.out or RUNS / f"{'igligen-start' if config.start else 'gligen'}-{adapter.base}.safetensors"
    write_adapter(out, adapter, licence=None)
    print(out)


if __name__ == "__main__":
    run(main, Config)
