"""Starting from another adapter: what fits is taken over, what saw other phrases starts anew."""

import pytest
import torch

from sg_models.adapters.adapter import AdapterError, read_adapter
from sg_models.adapters.gsa_adapter import GSAAdapter
from train.conditioning.initial_weights import MIXED_LAYER, PHRASE_LAYERS, start_from


@pytest.fixture
def file(adapter_file):
    return read_adapter(adapter_file)


def fresh(file, phrase_dim: int) -> GSAAdapter:
    torch.manual_seed(7)
    return GSAAdapter({**file.config, "phrase_dim": phrase_dim})


def test_the_same_phrases_give_the_same_adapter(file):
    module = fresh(file, file.config["phrase_dim"])
    assert start_from(module, file, "clip", file.config["phrase_dim"]) == file.steps
    assert all(torch.equal(tensor, file.state_dict[name].float()) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("phrase_dim", [128, 40])
def test_other_phrases_keep_all_that_sees_no_phrase(file, phrase_dim: int):
    module, graph_dim = fresh(file, phrase_dim), file.config["graph_dim"]
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    start_from(module, file, "bert", phrase_dim)
    for name, tensor in module.state_dict().items():
        given = file.state_dict[name].float()
        if name.startswith(PHRASE_LAYERS):
            assert torch.equal(tensor, before[name]), name
        elif name == MIXED_LAYER:
            phrases = slice(graph_dim, graph_dim + phrase_dim)
            assert torch.equal(tensor[:, :graph_dim], given[:, :graph_dim])
            assert torch.equal(tensor[:, phrases], before[name][:, phrases])
            assert torch.equal(tensor[:, phrases.stop :], given[:, graph_dim + file.config["phrase_dim"] :])
        else:
            assert torch.equal(tensor, given), name


def test_other_sizes_are_refused_in_words(file):
    module = GSAAdapter({**file.config, "graph_dim": 24})
    with pytest.raises(AdapterError, match="random-gsa.safetensors: .* has another size"):
        start_from(module, file, "clip", file.config["phrase_dim"])


def test_a_file_of_something_else_is_refused_in_words(file):
    with pytest.raises(AdapterError, match="no tensor of it"):
        start_from(torch.nn.Linear(2, 2), file, "clip", 128)
