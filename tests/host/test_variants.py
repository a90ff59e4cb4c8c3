"""What the nodes of the other variants do in the real ComfyUI, measured by `variant_measurements.py`."""

import pytest


def test_untrained_controlnet_leaves_the_base_as_it_was(measured):
    result = measured["untrained_controlnet"]
    assert result["together"] == 0.0
    assert result["apart"] < 1e-4, "a UNet call for each prompt rounds otherwise than one for both"


def test_the_layout_decides_the_latents(measured):
    result = measured["controlnet"]
    assert result["finite"]
    assert result["from_base"] > 1e-2
    assert result["between_graphs"] > 1e-2
    assert result["again"] == 0.0, "the same graph twice gives different latents"


def test_controlnets_on_both_prompts_keep_one_unet_call_per_step(measured):
    assert measured["controlnet_and_guidance"]["both"]["batches"] == [2, 2, 2, 2]
    assert measured["controlnet_chain"]["batches"] == [2, 2, 2, 2]


def test_guidance_strengthens_a_layout_that_the_negative_has_not(measured):
    on_positive, on_both = (measured["controlnet_and_guidance"][name] for name in ("positive", "both"))
    assert on_positive["negative_untouched"] and not on_both["negative_untouched"]
    assert on_positive["batches"] == [1] * 8
    assert on_positive["by_guidance"] > 1e-2
    assert on_both["by_guidance"] < 1e-4


def test_controlnet_strength_0_hands_everything_through(measured):
    assert measured["controlnet"]["strength_zero"]


def test_outside_its_schedule_a_controlnet_does_nothing(measured):
    assert measured["controlnet"]["outside_schedule"] == 0.0


def test_chained_controlnets_add_up(measured):
    result = measured["controlnet_chain"]
    assert result["order"] < 1e-3
    assert min(result["first_alone"], result["second_alone"]) > 1e-2


def test_attention_and_controlnet_work_together(measured):
    assert min(measured["layout_under_attention"].values()) > 1e-2


def test_a_box_of_the_graph_is_kept(measured):
    result = measured["predicted_layout"]
    ((placed, other),) = result["boxes"]
    assert [placed[side] for side in ("x", "y", "width", "height")] == result["expected"]
    assert (placed["label"], other["label"]) == ("red circle", "square")
    assert other["width"] > 0 and other["height"] > 0


def test_layout_outputs_fit_cores_nodes(measured):
    result = measured["predicted_layout"]
    assert result["control"] == [1, 8, 16, 32], "the map is at latent size"
    assert result["masks"] == [2, 128, 256]
    assert result["mask_beside_box"] == 0.0, "a mask lies within its box, but for its soft edge"
    assert result["drawing"] == result["semantic_map"] == [1, 128, 256, 3]
    assert result["colours"] > 2, "the drawing is blank"


def test_every_layout_seed_is_another_layout_of_the_same_graph(measured):
    found = measured["layout_per_seed"]
    as_predicted, first, again, second = found["seeds"]
    assert found["none"] == as_predicted != first == again != second
    for boxes in found["seeds"]:
        circle, square, star = ((x + width / 2, y + height / 2) for x, y, width, height in boxes)
        assert square[0] - circle[0] > abs(square[1] - circle[1]), "the circle is left of the square"
        assert star[1] - square[1] > abs(star[0] - square[0]), "the square is above the star"


@pytest.mark.parametrize("size", ["192x96", "96x192", "256x256"])
def test_a_layout_is_refitted_to_the_picture(measured, size):
    assert measured["layout_of_another_size"][size] == [0.0, 0.0], "a layout is the same for whatever size it was asked"


def test_two_passes_of_two_sizes_share_their_conditionings(measured):
    assert measured["layout_through_two_passes"] == {"large": 0.0, "again": 0.0}


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("encoder", ("Encode Scene Graph is not the one of SG-Mini", "loud.safetensors", "Load Checkpoint")),
        ("structure_clip", ("Structure-CLIP Encode is not the one of SG-Mini", "structure-clip-sg-mini")),
        ("two_in_one", ("is not the one of SG-Mini",)),
        ("none", ("Structure-CLIP Encode got no CLIP",)),
    ],
)
def test_another_bases_clip_is_refused_in_words(measured, case, said):
    message = measured["other_clips"][case]
    assert all(word in message for word in said), message


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("gsa-start", "start for training, not an adapter"),
        ("layout", "train/train_controlnet.py with --layout"),
        ("from-the-future", "of kind from-the-future, which this version does not know"),
    ],
)
def test_a_file_that_draws_nothing_says_what_it_is_for(measured, kind, words):
    assert words in measured["files_for_training"][kind]


def test_a_file_that_was_replaced_is_another_one(measured):
    assert all(measured["replaced_file"].values()), measured["replaced_file"]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("controlnet_in_attention", ("wrong-path.safetensors", "Apply Layout ControlNet", "vi-gsa-clip-sg-mini")),
        ("attention_in_controlnet", ("loud.safetensors", "Apply Scene Graph", "iv-controlnet-clip-sg-mini")),
        ("attention_embeds_in_layout", ("Predict Layout", "Encode Scene Graph")),
        ("other_layout", ("another adapter", "Load Scene Graph Adapter")),
        ("other_base", ("SD 2.1", "SG-Mini")),
        ("other_family", ("Apply Layout ControlNet needs", "SDXL", "SG-Mini")),
        ("wide_positive", ("positive prompt has words of 1024", "wrong-path.safetensors", "128", "Load Checkpoint")),
        ("wide_negative", ("negative prompt has words of 768", "SG-Mini")),
        ("no_bert", ("for-bert.safetensors", "Load BERT Phrase Encoder")),
        ("wrong_bert", ("384", "128", "Load BERT Phrase Encoder")),
        ("no_such_bert", ("nowhere", "download", "text_encoders")),
        ("no_structure_clip", ("loud.safetensors", "Structure-CLIP Encode", "structure-clip-sg-mini")),
    ],
)
def test_wrong_paths_are_refused_in_words(measured, case, said):
    message = measured["wrong_paths"][case]
    assert all(word in message for word in said), message


def test_core_applies_every_key_of_the_lora(measured):
    result = measured["lora"]
    assert not [message for message in result["warnings"] if "lora" in message.lower()]
    assert result["patches"] * 2 == result["keys"] > 0
