"""Trains a LoRA of the UNet on Structure-CLIP embeddings: variant (ii).

    python train/train_structure_clip.py && python train/train_lora.py

The prompt is the graph as a caption, read by Structure-CLIP's text model, with the knowledge embedding of its triples
added to every token. Text model and knowledge encoder are frozen; of the UNet the LoRA alone is trained. Two files come
out: the LoRA, which ComfyUI's own *Load LoRA* applies, and the encoder that *Structure-CLIP Encode* needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from tqdm import tqdm

from sg_models import sg_mini
from sg_models.adapter import write_adapter
from sg_models.safetensors_file import write_weights
from sg_models.scene_graph import SceneGraph
from train.base_model import ADAPTERS, LORAS, diffusion_loss, load_base, train_attention
from train.command_line import run
from train.conditioning import StructureClipConditioner
from train.graph_variation import told
from train.ldm_names import ldm_name
from train.loop import LoopConfig, train
from train.picture_grid import save_grid
from train.sampling import draw_graphs, starting_noise
from train.shapes import scene, seeds
from train.shapes_latents import shapes_latents
from train.structure_clip_file import read_structure_clip, structure_clip_adapter

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
