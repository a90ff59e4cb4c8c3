"""What the nodes of guidance do in the real ComfyUI, measured by `guidance_measurements.py`."""

import pytest
from comfyui_host import REPOSITORY

SEEN = 1e-2  # what takes part changes latents by more
ROUNDING = 2e-3  # what a UNet call of another batch size may change
KINDS = ("language", "content", "spatial", "style", "graph")
CHECKPOINT = REPOSITORY / "models" / "checkpoints" / "sg_mini.safetensors"


@pytest.mark.parametrize("kind", KINDS)
def test_guidance_decides_the_latents_by_its_scale(measured, kind):
    result = measured["guidance_matters"][kind]
    assert min(result["from_base"], result["weak"]) > SEEN
    assert result["again"] == 0.0


def test_other_words_and_other_boxes_guide_elsewhere(measured):
    assert measured["guidance_matters"]["other_text"] > SEEN
    assert measured["guidance_matters"]["other_graph"] > SEEN


def test_scale_0_and_an_empty_schedule_hand_the_model_through(measured):
    assert set(measured["guidance_passes_through"].values()) == {True}
    assert len(measured["guidance_passes_through"]) == 7


def test_it_acts_between_start_and_end(measured):
    assert measured["guidance_schedule"]["halves"] > SEEN
    assert measured["guidance_schedule"]["nowhere"] == 0.0


@pytest.mark.parametrize("kind", ["language", "style", "content", "graph"])
def test_each_picture_of_a_batch_is_guided_by_itself(measured, kind):
    assert measured["guidance_rows"][kind] < ROUNDING


@pytest.mark.parametrize("eye", ["noised", "clean"])
def test_gradients_work_on_cold_and_warm_models_and_with_a_lora_baked_in(measured, eye):
    result = measured["guidance_cold_and_warm"][eye]
    assert result["warm"] == 0.0
    assert min(result["guided_lora"], result["lora"]) > SEEN


def test_nodes_of_guidance_chain_and_go_with_gated_self_attention(measured):
    assert min(measured["guidance_chains"].values()) > SEEN


@pytest.mark.parametrize("kind", KINDS)
def test_cores_clip_vision_guides_without_an_adapter(measured, kind):
    assert measured["guidance_by_clip_vision"][kind] > 1e-4
    assert measured["guidance_by_clip_vision"]["embedding"] < 1e-4


def test_a_cancelled_run_leaves_nothing_behind(measured):
    result = measured["guidance_lets_go"]
    assert result == {"kind": "InterruptProcessingException", "whole": 0.0, "kept": 0}


def test_what_makes_no_guidance_is_said(measured):
    said = measured["guidance_errors"]
    assert "Language Guidance has nothing to look through. Connect a noised-clip adapter" in said["nothing"]
    assert "Connect the VAE of the base" in said["no_vae"]
    assert "the noised eye is an adapter's" in said["no_adapter"]
    assert "texts of 128 numbers, and the eye sees pictures in 64" in said["narrow"]
    assert (
        "loud.safetensors is for Encode Scene Graph and Apply Scene Graph, and it is connected to Language"
        in said["kind"]
    )
    assert "noised-of-another.safetensors has a damaged scene_graph.config" in said["damaged"]
    assert "without a box there is no place to look at" in said["boxes"]
    assert "got 2 to guide by, for a batch of 1" in said["fewer"]


def test_latents_are_the_standalone_samplers_own(measured):
    pytest.importorskip("diffusers", reason="the standalone side needs the train extra")
    from safetensors.torch import load_file

    from sg_models.graph.formats import parse_scene_graph
    from train.bases.sg_mini_checkpoint import load_sg_mini
    from train.conditioning.conditioners import Conditions
    from train.conditioning.guides import GuideOptions, open_guides
    from train.conditioning.sampling import sample_latents

    run, tensors = measured["guidance_parity"], load_file(measured.tensors)
    base, graphs = load_sg_mini(CHECKPOINT).freeze(), [parse_scene_graph(run["graph"])] * 2
    prompts = base.encode_prompts(["an image", ""])[:, None].expand(-1, 2, -1, -1)

    def latents(guide: str, start: float):
        guides = open_guides(GuideOptions(guide=[guide], guide_start=start), base, "sg-mini")
        assert guides
        noise = tensors["guidance.noise"]
        return sample_latents(
            base, Conditions(*prompts), noise, steps=run["steps"], guidance=run["cfg"], guide=guides.of(graphs)
        )

    for kind, guide in (("language", f"language:{run['text']}"), ("graph", "graph")):
        assert (tensors[f"guidance.{kind}"] - latents(guide, run["start"])).abs().max().item() <= ROUNDING
        assert (tensors[f"guidance.{kind}"] - latents(guide, 0.0)).abs().max().item() > SEEN
