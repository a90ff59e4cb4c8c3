"""Where ComfyUI finds this pack's weights: the shipped files, and `ComfyUI/models/scene_graph` for further adapters.

GLIGEN's weights are found where core's *GLIGENLoader* finds them, too.
"""

import os
from pathlib import Path

import folder_paths

ADAPTERS, GLIGEN = "scene_graph", "gligen"
SHIPPED = Path(__file__).resolve().parent.parent / "models"  # sorted like ComfyUI's own folder of that name


def register_model_folders() -> None:
    """Lists the shipped files in *Load Checkpoint* and *Load LoRA* and gives adapters a folder type of their own."""
    for folder in ("checkpoints", "loras"):
        folder_paths.add_model_folder_path(folder, str(SHIPPED / folder))
    for folder in (ADAPTERS, GLIGEN):  # the latter is core's own, as long as core has its GLIGEN
        folder_paths.add_model_folder_path(folder, os.path.join(folder_paths.models_dir, folder))
    folder_paths.add_model_folder_path(ADAPTERS, str(SHIPPED / ADAPTERS))
    paths, extensions = folder_paths.folder_names_and_paths[ADAPTERS]
    # ComfyUI takes an empty set to mean every file; entries of extra_model_paths.yaml arrive with one
    folder_paths.folder_names_and_paths[ADAPTERS] = (paths, {*extensions, ".safetensors"})


def adapter_names() -> list[str]:
    """The files that *Load Scene Graph Adapter* offers; of the same name, the one in `scene_graph` counts."""
    gligen = [name for name in folder_paths.get_filename_list(GLIGEN) if name.endswith(".safetensors")]
    return list(dict.fromkeys(folder_paths.get_filename_list(ADAPTERS) + gligen))


def adapter_path(name: str) -> str:
    """The full path of an adapter file; `FileNotFoundError` if there is none of that name."""
    return folder_paths.get_full_path(ADAPTERS, name) or folder_paths.get_full_path_or_raise(GLIGEN, name)
