"""*Graph Conditioning* in the real ComfyUI, measured by `graph_conditioning_measurements.py`, against training."""

from pathlib import Path

import pytest
from comfyui_host import REPOSITORY

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="the standalone side needs the train extra")

from safetensors.torch import load_file  # noqa: E402

from sg_models.adapters.adapter import read_adapter  # noqa: E402
from sg_models.adapters.graph_conditioning import build_graph_conditioning  # noqa: E402
from sg_models.adapters.variants import CLIP  # noqa: E402
from sg_models.graph.formats import parse_scene_graph  # noqa: E402
from train.bases.sg_mini_checkpoint import load_sg_mini  # noqa: E402
from train.conditioning.graph_conditioner import GraphConditioningConditioner  # noqa: E402
from train.conditioning.phrase_encoders import graph_features  # noqa: E402
from train.conditioning.sampling import sample_latents  # noqa: E402

CHECKPOINT = REPOSITORY / "models" / "checkpoints" / "sg_mini.safetensors"
TOLERANCE = 1e-5
LATENT_TOLERANCE = 1e-3  # what a run of other sums may change; another graph changes 1e-2 and more


@pytest.fixture(scope="module")
def base():
    return load_sg_mini(CHECKPOINT).freeze()


@pytest.fixture(scope="module")
def tensors(measured):
    return load_file(measured.tensors)


def conditioner(base, measured, mode: str) -> GraphConditioningConditioner:
    module = build_graph_conditioning(read_adapter(Path(measured["graph_conditioning"]["files"][mode])))
    return GraphConditioningConditioner(base, module.requires_grad_(False).eval(), graph_features(CLIP, base))


@pytest.mark.parametrize("mode", ["interleave", "append", "replace", "fuse"])
def test_contexts_are_trainings_own(measured, tensors, base, mode):
    graphs = [parse_scene_graph(text) for text in measured["graph_conditioning"]["graphs"]]
    conditions = conditioner(base, measured, mode)(graphs)
    for name, expected in (("positive", conditions.positive), ("negative", conditions.negative[:1])):
        found = tensors[f"gc.{mode}.{name}"]
        assert found.shape == expected.shape
        assert (found - expected).abs().max().item() <= TOLERANCE, name


def test_latents_are_the_standalone_samplers_own(measured, tensors, base):
    run = measured["graph_conditioning"]
    conditions = conditioner(base, measured, "interleave")([parse_scene_graph(text) for text in run["graphs"][:2]])
    expected = sample_latents(base, conditions, tensors["gc.noise"], steps=run["steps"], guidance=run["guidance"])
    assert (tensors["gc.latents"] - expected).abs().max().item() <= LATENT_TOLERANCE


def test_each_picture_of_a_batch_has_its_graph_in_one_unet_call_per_step(measured):
    result = measured["graph_conditioning_of_a_batch"]
    assert result["batches"] == [4, 4, 4, 4]
    assert result["alone"] <= LATENT_TOLERANCE, "a UNet call for two pictures rounds otherwise than two"
    assert result["second"] <= LATENT_TOLERANCE, "the second picture of a batch, taken apart, has another graph"
    assert min(result["from_base"], result["between_graphs"]) > 1e-2


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("other_kind", ("loud.safetensors", "Graph Conditioning", "graph-conditioning-sg-mini")),
        ("in_encoder", ("gc-errors.safetensors is for Graph Conditioning", "Encode Scene Graph")),
        ("aligned", ("gca.safetensors is a graph encoder", "train/train_graph_conditioning.py with --aligned")),
        ("mode", ("damaged scene_graph.config", "'sideways'; write interleave, append, replace or fuse")),
        ("two_clips", ("got 2 values at clip and takes one",)),
        ("fewer", ("Graph Conditioning got 2 graphs for a batch of 1",)),
    ],
)
def test_what_is_wrong_is_said_in_words(measured, case, said):
    message = measured["graph_conditioning_errors"][case]
    assert all(word in message for word in said), message


def test_clip_skip_changes_nothing(measured):
    assert measured["graph_conditioning_errors"]["clip_skip"] == 0.0
