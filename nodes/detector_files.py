"""Detectors in ComfyUI's folder of that kind, `models/detection`: which there are, and how they are opened."""

import os
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import folder_paths
import torch

from .socket_types import LoadedDetector

DETECTION = "detection"  # core's own folder type, which has its RT-DETR and such
FILES = ["config.json", "preprocessor_config.json", "model.safetensors", "tokenizer*", "vocab*", "merges.txt"]
FILES += ["special_tokens_map.json", "added_tokens.json", "processor_config.json"]

NO_DETECTOR = (
    "There is no detector called {name}. Choose {download} to fetch the one that hub_id names, or put a folder of "
    "OWLv2 or Grounding DINO in transformers' format (config.json, model.safetensors, the processor's and tokenizer's "
    "files) or a YOLOX .onnx file into {folder}."
)
DAMAGED = "{name} is not a detector that transformers can load: {error}"


def detectors() -> dict[str, Path]:
    """Folders with a model of transformers, and ONNX files, by the names under which they are offered."""
    roots = [Path(path) for path in folder_paths.get_folder_paths(DETECTION) if os.path.isdir(path)]
    found = [path for root in roots for path in sorted(root.iterdir())]
    return {path.name: path for path in found if path.suffix == ".onnx" or (path / "config.json").is_file()}


def detector_path(name: str, download: str) -> Path:
    """The path of a detector by its name; raises `FileNotFoundError` in words. `download` is what fetches one."""
    found = detectors()
    if name not in found:
        raise FileNotFoundError(NO_DETECTOR.format(name=name, download=download, folder=home()))
    return found[name]


def fetched(hub_id: str) -> Path:
    """The folder of a model of the hub, downloaded unless it is there already; the user has asked for it."""
    from huggingface_hub import snapshot_download

    folder = home() / hub_id.split("/")[-1]
    if not (folder / "model.safetensors").is_file():
        snapshot_download(hub_id, local_dir=folder, allow_patterns=FILES)
    return folder


def home() -> Path:
    """Where downloads go."""
    return Path(folder_paths.get_folder_paths(DETECTION)[0])


def open_detector(path: Path) -> LoadedDetector:
    """A detector from a file or folder; raises `ValueError` in words if there is none in it."""
    # imported when first needed: transformers takes seconds, which ComfyUI's start must not pay
    from ..sg_models.verification.open_vocabulary import detector_of
    from ..sg_models.verification.yolox import Yolox

    if path.suffix == ".onnx":
        return LoadedDetector(path.name, Yolox(path), None)
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(path, local_files_only=True)
        model = AutoModelForZeroShotObjectDetection.from_pretrained(path, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(DAMAGED.format(name=path.name, error=error)) from error
    offload_device = comfy.model_management.unet_offload_device()
    patcher = comfy.model_patcher.ModelPatcher(
        # in a module of its own: a patcher writes its model's `device`, which transformers' models only read
        torch.nn.ModuleDict({"detector": model}).to(offload_device).eval(),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=offload_device,
    )
    return LoadedDetector(path.name, detector_of(model, processor), patcher)
