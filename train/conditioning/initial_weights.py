"""Starting an adapter from the weights of another: one of other phrases, or a public one that was converted."""

from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter
from sg_models.adapters.variants import STRUCTURE_CLIP
from train.bases.base_model import BaseModel

PHRASE_LAYERS = ("graph_encoder.object_in.", "graph_encoder.relation_in.", "layout.name.")  # they see phrases alone
POSITION = ".position."  # layers that GLIGEN's own gated self-attention has not: at zero, they leave it as it is
MIXED_LAYER = "grounding.mix.0.weight"  # it sees graph features, phrases and boxes, side by side


def read_structure_clip(path: Path, base: BaseModel) -> Adapter:
    """What `train_structure_clip.py` wrote for a base; raises `AdapterError` if there is no such file for it."""
    if not path.exists():
        raise AdapterError(f"there is no {path}; run train/train_structure_clip.py --base {base.name} first")
    file = read_adapter(path)
    file.check_kind(STRUCTURE_CLIP)
    file.check_base(base.name, base.prediction_type)
    return file


def start_from(module: nn.Module, file: Adapter, phrases: str, phrase_dim: int) -> int:
    """Gives a module every tensor of an adapter file that it has too, and returns the steps that those were trained in.

    Weights that multiply phrase vectors mean nothing for another encoder's (`phrases`, of `phrase_dim` numbers): with
    those, they start anew; what does is printed. Raises `AdapterError` if a tensor has another size, or if none fits.
    """
    own = module.state_dict()
    given = {name: tensor.float() for name, tensor in file.state_dict.items() if name in own}
    if file.phrase_encoder != phrases:
        given = {name: tensor for name, tensor in given.items() if not name.startswith(PHRASE_LAYERS)}
        if MIXED_LAYER in given:
            graph_dim = module.get_submodule("graph_encoder.object_in").out_features
            given[MIXED_LAYER] = _around_phrases(own[MIXED_LAYER], given[MIXED_LAYER], graph_dim, phrase_dim)
    wrong = sorted(name for name, tensor in given.items() if tensor.shape != own[name].shape)
    if wrong or not given:
        what = f"{wrong[0]} has another size" if wrong else "no tensor of it is one of this adapter's"
        raise AdapterError(f"training cannot start from {file.name}: {what}; name a file of the same sizes")
    module.load_state_dict(given, strict=False)
    new = sorted(own.keys() - given.keys())
    for name in new:
        if POSITION in name:
            nn.init.zeros_(own[name])
    tqdm.write(f"started from {file.name}; anew: {', '.join(new) or 'nothing'}")
    return file.steps


def _around_phrases(own: Tensor, given: Tensor, graph_dim: int, phrase_dim: int) -> Tensor:
    """`own` [H, G + P + B] with the columns of graph features G and boxes B of `given`, which may have another P."""
    boxes = own.shape[1] - graph_dim - phrase_dim
    phrases = own[:, graph_dim : graph_dim + phrase_dim]
    return torch.cat([given[:, :graph_dim], phrases, given[:, given.shape[1] - boxes :]], dim=1)
