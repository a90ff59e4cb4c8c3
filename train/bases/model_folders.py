"""Where the shipped weights are, and where the scripts write new ones."""

from pathlib import Path

MODELS = Path(__file__).resolve().parents[2] / "models"  # sorted like ComfyUI's own folder of that name
CHECKPOINTS, ADAPTERS, LORAS = MODELS / "checkpoints", MODELS / "scene_graph", MODELS / "loras"
UNETS = MODELS / "diffusion_models"
