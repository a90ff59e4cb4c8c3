"""Graph conditioning's file, and the context that its module makes of graphs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter, write_adapter
from sg_models.adapters.graph_conditioning import GraphConditioning, build_graph_conditioning
from sg_models.adapters.variants import CLIP, GCA, GRAPH_CONDITIONING
from sg_models.graph.caption import labels
from sg_models.graph.formats import parse_scene_graph
from sg_models.layers.graph_batch import graph_batch

CONFIG = {
    "phrase_dim": 6,
    "graph_dim": 8,
    "graph_hidden": 8,
    "graph_layers": 2,
    "joint_dim": 5,
    "context_dim": 4,
    "mode": "interleave",
    "unet": "lora",
}
GRAPHS = [parse_scene_graph(text) for text in ("red dog | on | bike", "bike | on | red dog", "cat")]


def features(graphs):
    """The same vector for the same phrase."""
    words = {"red dog": 0, "bike": 1, "on": 2, "cat": 3}
    table = torch.randn(4, 6, generator=torch.Generator().manual_seed(4))
    return [
        (table[[words[o.phrase] for o in g.objects]], table[[words[r.predicate] for r in g.relations]]) for g in graphs
    ]


@pytest.fixture
def file() -> Adapter:
    torch.manual_seed(0)
    state = GraphConditioning(CONFIG).state_dict()
    return Adapter(GRAPH_CONDITIONING, "sg-mini", "epsilon", CLIP, CONFIG, "shapes", 3, state)


def test_labels_name_the_objects_alone():
    assert labels(GRAPHS[0]) == "a red dog, a bike"
    assert labels(parse_scene_graph("bike | on | dog\ndog#2")) == "a bike, a dog, another dog"


def test_a_file_holds_what_was_written(file: Adapter, tmp_path: Path):
    write_adapter(tmp_path / "gc.safetensors", file)
    module = build_graph_conditioning(read_adapter(tmp_path / "gc.safetensors"))
    state = module.state_dict()
    assert state.keys() == file.state_dict.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in file.state_dict.items())
    assert module.config == CONFIG


def test_the_direction_of_a_relation_reaches_the_vector(file: Adapter):
    vectors = build_graph_conditioning(file).vectors(graph_batch(GRAPHS[:2], features(GRAPHS[:2])))
    assert (vectors[0] - vectors[1]).abs().max() > 1e-3


def test_a_graph_alone_has_the_context_that_it_has_in_a_batch(file: Adapter):
    module = build_graph_conditioning(file)
    states, ends = torch.randn(3, 9, 4), torch.tensor([4, 2, 3])
    together = module.context(GRAPHS, features(GRAPHS), states, ends)
    for place, graph in enumerate(GRAPHS):
        one = slice(place, place + 1)
        alone = module.context([graph], features([graph]), states[one], ends[one])
        torch.testing.assert_close(together[one], alone)


def test_other_kinds_and_damaged_files_are_refused_in_words(file: Adapter):
    with pytest.raises(AdapterError, match="of kind gca; one of kind graph-conditioning is needed"):
        build_graph_conditioning(replace(file, kind=GCA))
    with pytest.raises(AdapterError, match="damaged scene_graph.config .*no mode is called 'none'"):
        build_graph_conditioning(replace(file, config=CONFIG | {"mode": "none"}))
    with pytest.raises(AdapterError, match="does not hold what its header describes"):
        build_graph_conditioning(replace(file, config=CONFIG | {"joint_dim": 6}))
