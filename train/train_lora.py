"""Trains a LoRA of the UNet on Structure-CLIP embeddings: variant (ii).

    python train/train_structure_clip.py && python train/train_lora.py

The prompt is the graph as a caption, read by Structure-CLIP's text model, with the knowledge embedding of its triples
added to every token. Text model and knowledge encoder are frozen; of the UNet the LoRA alone is trained. Two files come
out: the LoRA, which ComfyUI's own *Load LoRA* applies, and the encoder that *Structure-CLIP Encode* needs.
"""

from dataclasses import dataclass
from pathlib import Path

from sg_models import sg_mini
from train.loop import LoopConfig

EMPTY_RATE = 0.10
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


@dataclass
class Config(LoopConfig):
    base: str = sg_mini.NAME
    """sg-mini, or a diffusers folder or hub id of Stable Diffusion 2.x"""
    structure_clip: Path = Path("runs/structure-clip/structure_clip.safetensors")
    steps: int = 7600
    batch_size: int = 32
    learning_rate: float = 1e-3
    rank: int = 16
    run_dir: Path = Path("runs/ii")
    pictures: int = 20000
    """training pictures, encoded before the start"""
    latents_dir: Path = Path("runs/shapes")
    timestep_power: float = 0.8
    """below 1, noisy timesteps are drawn more often: that is where the layout is decided"""
    out: Path | None = None
    """the LoRA, models/loras/ii-lora-structure-clip-<base>.safetensors if left out"""
