"""What the nodes do to sampling in the real ComfyUI, measured by `inside_comfyui.py`."""

import pytest


def test_untrained_adapter_leaves_the_base_bit_for_bit(measured):
    assert measured["untrained_adapter"]["difference"] == 0.0


def test_the_graph_decides_the_latents(measured):
    result = measured["graph_matters"]
    assert result["from_base"] > 1e-2
    assert result["between_graphs"] > 1e-2
    assert result["again"] == 0.0, "the same graph twice gives different latents"


def test_positive_and_negative_share_one_unet_call_per_step(measured):
    assert measured["unet_calls"]["batches"] == [2, 2, 2, 2]


def test_the_negative_gets_the_null_tokens(measured):
    assert measured["unet_calls"]["rows"] == ["graph", "null"]


def test_only_objects_and_relations_are_valid_tokens(measured):
    assert measured["unet_calls"]["valid"] == 3 + 2


def test_masked_attention_takes_the_kernel_that_copies_no_mask_per_head(measured):
    assert measured["attention_kernels"] == {"masked": ["attention_pytorch"], "plain": ["attention_sub_quad"]}


def test_the_negative_may_be_left_alone_at_half_the_cost(measured):
    result = measured["negative_left_alone"]
    assert result["batches"] == [2, 2, 2, 2]
    assert result["rows"] == [1, 1, 1, 1]
    assert result["without_guidance"] == 0.0
    assert result["from_nulls"] > 1e-3


def test_a_zeroed_out_negative_gets_the_null_tokens(measured):
    assert measured["zeroed_negative"] == {"batches": [2, 2, 2, 2], "nulls": 1}


def test_guidance_1_leaves_the_negative_out(measured):
    assert measured["guidance_off"] == {"batches": [1, 1, 1, 1], "finite": True}


def test_strength_0_and_an_empty_schedule_hand_everything_through(measured):
    assert measured["strength_zero"] == {"strength": True, "schedule": True}


def test_outside_the_schedule_no_block_runs(measured):
    assert measured["schedule"] == {"0.0-1.0": 4, "0.0-0.5": 2, "0.5-1.0": 2, "0.0-0.001": 1}


def test_stacked_adapters_keep_their_own_tokens(measured):
    result = measured["stacked"]
    assert result["untrained_on_top"] == 0.0
    assert min(result["other_on_top"], result["other_alone"], result["same_adapter_twice"]) > 1e-2


def test_a_batch_is_its_pictures_one_by_one(measured):
    assert measured["batch"]["difference"] < 1e-2


def test_two_areas_have_two_graphs(measured):
    assert measured["areas"]["finite"]
    assert measured["areas"]["from_one_graph"] > 1e-2


def test_padding_is_masked(measured):
    assert measured["padding"]["padded"] > 0
    assert measured["padding"]["difference"] == 0.0


def test_inputs_are_not_changed(measured):
    assert measured["inputs_stay"] == {"model": True, "conditionings": True}


@pytest.mark.parametrize("dtype", ["torch.bfloat16", "torch.float16"])
def test_half_precision_unets_run(measured, dtype):
    assert measured["half_precision"][dtype] < 0.2


def test_comfyui_manages_the_adapters_weights(measured):
    assert measured["weights_are_managed"]["models"] == 1


def test_bases_are_told_apart(measured):
    assert measured["bases"] == {
        "sg-mini": ["sg-mini", "epsilon"],
        "sd15": ["sd15", "epsilon"],
        "sd21-base": ["sd21-base", "epsilon"],
        "sd21": ["sd21", "v_prediction"],
        "corrected": ["sg-mini", "v_prediction"],
    }


@pytest.mark.parametrize(
    ("node", "predicted"),
    [
        ("ModelSamplingDiscrete.eps", "epsilon"),
        ("ModelSamplingDiscrete.v_prediction", "v_prediction"),
        ("ModelSamplingDiscrete.lcm", "epsilon"),
        ("ModelSamplingDiscrete.x0", "A node needs a model that predicts the noise or v"),
        ("ModelSamplingDiscrete.img_to_img", "was set to IMG_TO_IMG"),
        ("ModelSamplingDiscrete.img_to_img_flow", "was set to IMG_TO_IMG_FLOW"),
        ("ModelSamplingContinuousEDM.eps", "epsilon"),
        ("ModelSamplingContinuousEDM.v_prediction", "v_prediction"),
        ("ModelSamplingContinuousEDM.edm", "was set to EDM"),
    ],
)
def test_what_a_patched_model_predicts_is_told_or_refused(measured, node, predicted):
    assert predicted in measured["samplings"][node]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no_clip", "got no CLIP"),
        ("wrong_clip", "phrases of 128 numbers"),
        ("too_many", "at most 16"),
        ("missing", "not found"),
        ("broken", "not a readable .safetensors file"),
        ("pointer", "Git LFS pointer"),
        ("foreign", "not a scene-graph adapter"),
        ("other_base", "the loaded model is SG-Mini"),
        ("other_family", "got SDXL"),
        ("other_prediction", "got SD20 (V_PREDICTION_EDM)"),
        ("other_adapter", "made by another adapter"),
        ("unconnected", "Connect its positive and negative outputs"),
    ],
)
def test_error_is_a_sentence_a_user_understands(measured, case, words):
    assert words in measured["errors"][case]
