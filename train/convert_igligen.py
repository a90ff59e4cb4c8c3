"""Turns public GLIGEN weights for Stable Diffusion 2.1 into a start for training gated self-attention.

    python train/convert_igligen.py --source longlian/igligen-sd2.1-v1.0 --revision fp16
    python train/train_gsa.py --base sd21-base --init-from runs/igligen-start-sd21-base.safetensors

IGLIGEN's gated self-attention has the shapes and names of ours, and has seen millions of boxes. Its position net has
not: it makes tokens of phrases and boxes alone, where ours come from graphs, so that part starts anew.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention import GatedSelfAttentionDense
from torch import Tensor

from sg_models.adapters.adapter import Adapter, AdapterError, write_adapter
from sg_models.adapters.variants import CLIP, GSA_START
from train.bases.ldm_names import block_addresses
from train.bases.stable_diffusion_2 import CONTEXT_DIM, release_that_predicts
from train.conditioning.grounded_unet import block_sizes
from train.running.command_line import run

DATASET = "igligen"
RUNS = Path("runs")


@dataclass
class Config:
    source: str = "longlian/igligen-sd2.1-v1.0"
    """a folder or hub id in diffusers' layout, with a UNet that has GLIGEN's layers"""
    revision: str | None = None
    """of a hub id; IGLIGEN keeps its weights in fp32 and fp16"""
    out: Path | None = None
    """runs/igligen-start-<base>.safetensors if left out: not beside the adapters, which ComfyUI lists"""


def gated_attention(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The gated self-attention of a UNet with GLIGEN's layers, under the names of adapter files.

    Raises `AdapterError` if a transformer block has none.
    """
    found: dict[str, Tensor] = {}
    for address, block in block_addresses(unet).items():
        fuser = getattr(block, "fuser", None)
        if not isinstance(fuser, GatedSelfAttentionDense):
            raise AdapterError(f"the UNet has no gated self-attention at {address}; --source must name GLIGEN weights")
        found |= {f"gated_attention.{address}.{name}": tensor for name, tensor in fuser.state_dict().items()}
    return found


def main(config: Config) -> None:
    where = {"revision": config.revision} if config.revision else {}
    unet = UNet2DConditionModel.from_pretrained(config.source, subfolder="unet", torch_dtype=torch.float16, **where)
    prediction_type = DDIMScheduler.from_pretrained(config.source, subfolder="scheduler", **where).config[
        "prediction_type"
    ]
    token_dim = unet.config["cross_attention_dim"]
    if token_dim != CONTEXT_DIM:
        raise AdapterError(
            f"{config.source} is for a UNet with a text of {token_dim} numbers, as Stable Diffusion 1.x has; "
            f"2.x has {CONTEXT_DIM}: take igligen-sd2.1"
        )
    base = release_that_predicts(prediction_type).name
    sizes = {"token_dim": token_dim, "position_frequencies": 0, "blocks": block_sizes(unet)}
    out = config.out or RUNS / f"igligen-start-{base}.safetensors"
    write_adapter(out, Adapter(GSA_START, base, prediction_type, CLIP, sizes, DATASET, 0, gated_attention(unet)))
    print(out)


if __name__ == "__main__":
    run(main, Config)
