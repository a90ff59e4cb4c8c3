"""What Regional Prompt does in the real ComfyUI, measured by `regional_measurements.py`."""

import pytest
from comfyui_host import REPOSITORY

SEEN = 1e-2  # what takes part changes latents by more
ROUNDING = 1e-3  # what a UNet call of another batch size may change
CHECKPOINT = REPOSITORY / "models" / "checkpoints" / "sg_mini.safetensors"


def test_regions_decide_the_latents(measured):
    result = measured["regions_matter"]
    assert min(result["from_base"], result["swapped"], result["without_base_weight"], result["exaggerated"]) > SEEN
    assert result["again"] == 0.0
    assert result["prompt_alone"] < ROUNDING, "with base weight 1 the prompt is all there is"


def test_one_region_over_all_is_its_phrase_as_the_prompt(measured):
    result = measured["one_region_over_all"]
    assert max(result["box"], result["mask"]) < ROUNDING < SEEN < result["from_prompt"]


def test_masks_of_the_boxes_are_the_boxes(measured):
    assert measured["masks"]["of_boxes"] < ROUNDING < SEEN < measured["masks"]["turned"]


def test_one_unet_call_a_step_and_a_row_for_every_region(measured):
    """Two pictures with three regions: twice the prompt and each region, and twice the negative; half of the steps."""
    result = measured["regional_calls"]
    assert result["batches"] == [4, 4, 4, 4]
    assert result["rows"] == [10, 10, 4, 4]
    assert result["said"] == [0, 0, 0, 0, 1], "packs that replace attention must find whose rows are whose"
    assert result["cfg_1"] == [4, 4, 1, 1]


def test_the_negative_takes_its_prompt_alone(measured):
    assert measured["regional_negative"] == {"difference": 0.0, "zeroed_batches": [2, 2, 2, 2]}


def test_strength_0_and_an_empty_schedule_hand_everything_through(measured):
    assert measured["regional_passes_through"] == {"strength": True, "schedule": True, "inputs": True}


def test_an_end_is_a_timestep_range(measured):
    assert measured["regional_schedule"]["difference"] == 0.0
    assert measured["regional_schedule"]["from_whole"] > SEEN


@pytest.mark.parametrize("case", ["one_graph", "two_graphs", "two_prompts"])
def test_a_batch_is_its_pictures_one_by_one(measured, case):
    assert measured["regional_batches"][case] < ROUNDING < SEEN < measured["regional_batches"]["between"]


def test_a_part_of_a_batch_keeps_its_graph_and_its_prompt(measured):
    result = measured["regional_part_of_a_batch"]
    assert result["second"] < ROUNDING < SEEN < result["first_instead"]
    assert "got 2 graphs for a batch of 1" in result["not_told"]


@pytest.mark.parametrize("other", ["lora", "attention", "controlnet", "replaced"])
def test_what_else_steers_goes_with_regions_in_either_order(measured, other):
    result = measured["regional_with_others"][other]
    assert result["order"] == 0.0
    assert result["from_regions"] > SEEN


def test_cross_attention_replaced_by_the_same_changes_nothing(measured):
    assert measured["regional_with_others"]["replaced_by_the_same"] == 0.0


def test_all_together_keep_one_unet_call_a_step(measured):
    assert measured["regional_with_others"]["together"] == {"finite": True, "batches": [2, 2, 2, 2]}


def test_areas_combined_and_long_prompts_keep_their_regions(measured):
    result = measured["regional_prompts"]
    assert result["areas"]
    assert result["combined"] < ROUNDING < SEEN < result["between"]
    assert result["long"] == 0.0 and result["from_short"] > SEEN


@pytest.mark.parametrize("size", ["16×24", "15×17", "9×30"])
def test_pictures_of_any_size(measured, size):
    assert measured["regional_sizes"][size]["finite"]
    assert measured["regional_sizes"][size]["swapped"] > SEEN


@pytest.mark.parametrize("dtype", ["torch.bfloat16", "torch.float16"])
def test_half_precision_unets_are_as_exact_as_without_regions(measured, dtype):
    result = measured["regional_half_precision"][dtype]
    assert result["regions"] < 2 * result["base"]


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_other_families_of_stable_diffusion(measured, family):
    result = measured["other_families"][family]
    assert result["batches"] == [2, 2, 2, 2]
    assert min(result["from_base"], result["swapped"]) > 1e-4
    assert result["over_all"] < 1e-5


def test_a_cell_is_one_of_the_finest_map_that_a_model_attends_from(measured):
    words = {family: measured["other_families"][family]["small"] for family in ("sd15", "sdxl")}
    assert words["sd15"] == "no error", "0.2 of 16 cells are more than two"
    assert "1.6 × 1.6 cells" in words["sdxl"] and "one cell is 16 pixels" in words["sdxl"]


def test_objects_without_a_place_are_said(measured):
    without, covered = measured["regional_words"]["warnings"]
    assert without.startswith("dog has no box") and "Arrange Scene Graph" in without
    assert covered.startswith("Smaller regions cover all of small red circle")
    (empty,) = measured["regional_words"]["masks_empty"]
    assert empty.startswith("The mask of cat is empty")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no_boxes", "Connect Arrange Scene Graph"),
        ("one_without", "in which no object has a box"),
        ("small", "small red circle covers 1.6 × 16.0 cells"),
        ("single_mask", "no error"),
        ("small_mask", "needs two each way"),
        ("mask_count", "3 masks for 2 objects"),
        ("all_masks_empty", "all are empty"),
        ("two_models", "got 2 values at model"),
        ("prompts", "2 prompts for 1 graphs"),
        ("combined_prompts", "combined from several"),
        ("twice", "already has the regions of another"),
        ("unconnected", "Connect its positive and negative outputs"),
        ("clip", "words of 16 numbers, and this model (SGMini) reads words of 128"),
        ("wide", "The positive prompt gives words of 768"),
        ("too_few_pictures", "got 2 graphs for a batch of 1"),
    ],
)
def test_error_is_a_sentence_a_user_understands(measured, case, words):
    assert words in measured["regional_words"][case]


def test_a_box_of_just_two_cells_is_large_enough(measured):
    assert measured["regional_words"]["just_large_enough"] is True


def test_in_the_server_a_list_of_graphs_is_a_graph_for_each_picture(server):
    halves = "small red circle @ 0 0 0.5 1\nlarge blue square @ {} 0 1 1\ndog"
    prompt = {
        "base": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sg_mini.safetensors"}},
        "first": {"class_type": "SceneGraphInput", "inputs": {"text": halves.format(0.5)}},
        "second": {"class_type": "SceneGraphInput", "inputs": {"text": halves.format(0.2)}},
        "both": {
            "class_type": "CreateList",
            "inputs": {"inputs.input0": ["first", 0], "inputs.input1": ["second", 0]},
        },
        "caption": {"class_type": "SGCaption", "inputs": {"scene_graph": ["both", 0]}},
        "positive": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["base", 1], "text": ["caption", 0]}},
        "negative": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["base", 1], "text": ""}},
        "regional": {
            "class_type": "SGRegionalPrompt",
            "inputs": {
                **{"model": ["base", 0], "positive": ["positive", 0], "negative": ["negative", 0]},
                **{"scene_graph": ["both", 0], "clip": ["base", 1]},
                **{"strength": 1.0, "base_weight": 0.3, "start": 0.0, "end": 1.0},
            },
        },
        "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 2}},
        "sampler": {
            "class_type": "KSampler",
            "inputs": {
                **{"model": ["regional", 0], "positive": ["regional", 1], "negative": ["regional", 2]},
                **{"latent_image": ["latent", 0], "seed": 1, "steps": 2, "cfg": 4.0, "denoise": 1.0},
                **{"sampler_name": "ddim", "scheduler": "simple"},
            },
        },
        "pixels": {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "vae": ["base", 2]}},
        "saved": {"class_type": "SaveImage", "inputs": {"images": ["pixels", 0], "filename_prefix": "regional"}},
    }
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", history["status"]
    assert len(history["outputs"]["saved"]["images"]) == 2
    assert "dog has no box" in server.log()


def test_latents_are_the_standalone_samplers_own(measured):
    pytest.importorskip("diffusers", reason="the standalone side needs the train extra")
    from safetensors.torch import load_file

    from sg_models.graph.formats import parse_scene_graph
    from train.bases.sg_mini_checkpoint import load_sg_mini
    from train.conditioning.conditioners import CaptionConditioner
    from train.conditioning.influence import Influence
    from train.conditioning.regional_conditioner import RegionalConditioner
    from train.conditioning.sampling import sample_latents

    run, tensors = measured["regional_parity"], load_file(measured.tensors)
    base = load_sg_mini(CHECKPOINT).freeze()
    graphs = [parse_scene_graph(run["graph"])] * 2

    def latents(base_weight: float, strength: float, end: float):
        influence = Influence(strength=strength, end=end)
        condition = RegionalConditioner(base, CaptionConditioner(base), base_weight, influence)
        return sample_latents(base, condition(graphs), tensors["noise"], steps=run["steps"], guidance=run["guidance"])

    own = {name: run[name] for name in ("base_weight", "strength", "end")}
    assert (tensors["regional"] - latents(**own)).abs().max().item() <= ROUNDING
    for name, other in (("base_weight", 0.0), ("strength", 1.0), ("end", 1.0)):  # so that each of the numbers matters
        assert (tensors["regional"] - latents(**{**own, name: other})).abs().max().item() > SEEN
