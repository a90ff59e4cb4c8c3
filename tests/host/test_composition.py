"""Scene graphs beside LoRAs, ControlNets, other packs' attention, areas of time and batches, in the real ComfyUI.

Measured by `composition_measurements.py`: most latents are compared with those of another way to say the same.
"""

import pytest

SEEN = 1e-2  # what takes part changes latents by more
ROUNDING = 1e-4  # what a UNet call of another batch size may change


def test_a_lora_goes_with_attention_in_any_order(measured):
    result = measured["lora_under_attention"]
    assert result["order"] == 0.0
    assert result["untrained_on_lora"] == 0.0
    assert min(result["from_lora"], result["from_attention"]) > SEEN


def test_attention_and_two_controlnets_go_together_in_any_order(measured):
    result = measured["attention_and_two_controlnets"]
    assert result["order"] < 1e-3, "controls are added up in another order"
    assert result["untrained_attention"] == 0.0
    assert min(result["without_second"], result["without_attention"]) > SEEN


def test_cross_attention_may_be_replaced_by_another_pack(measured):
    result = measured["replaced_attention"]
    assert result["by_the_same"] == 0.0
    assert result["order"] == 0.0
    assert result["by_another"] > SEEN


def test_combined_conditionings_keep_a_graph_each(measured):
    result = measured["combined"]
    assert result["batches"] == [3]
    assert result["difference"] < ROUNDING < SEEN < result["between"]


def test_a_concatenated_prompt_keeps_its_graph(measured):
    result = measured["concatenated"]
    assert result["order"] == 0.0
    assert min(result["from_prompt"], result["from_no_graph"]) > 1e-3


def test_a_timestep_range_is_a_schedule(measured):
    assert measured["timestep_range"]["difference"] == 0.0


@pytest.mark.parametrize(
    ("case", "apart"), [("graph_per_picture", "with_one_graph"), ("layout_per_picture", "between")]
)
def test_each_picture_of_a_batch_may_have_its_own_graph(measured, case, apart):
    result = measured[case]
    assert result["difference"] < 1e-3 < SEEN < result[apart]


@pytest.mark.parametrize("way", ["attention", "controlnet"])
def test_a_part_of_a_batch_keeps_its_graphs(measured, way):
    result = measured["parts_of_a_batch"][way]
    assert max(result["second"], result["rebatched"]) < 1e-3 < SEEN < result["first_instead"]
    assert result["begun_anew"] == 0.0


@pytest.mark.parametrize(("way", "what"), [("attention", "graphs"), ("controlnet", "layouts")])
def test_a_part_of_a_batch_that_is_not_told_is_refused_in_words(measured, way, what):
    result = measured["parts_of_a_batch"][way]
    assert f"got 3 {what} for a batch of 1" in result["not_told"]
    assert "a latent of 1 pictures, and the sampler draws 3" in result["other_latent"]


def test_layouts_of_batched_graphs_are_those_of_each(measured):
    result = measured["layout_per_picture"]
    assert result["predicted_together"] == 0.0
    assert result["sizes"] == [[3, 2], 5, 2, 2]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("embeds_of_two", "two different adapters"),
        ("layouts_of_two", "two different adapters"),
        ("sizes", "16 × 16 and 8 × 16"),
    ],
)
def test_what_cannot_be_batched_is_refused_in_words(measured, case, words):
    assert words in measured["wrong_batches"][case]


@pytest.mark.parametrize("case", ["image_to_image", "inpainting"])
def test_graphs_act_on_pictures_that_are_there(measured, case):
    result = measured["part_of_the_way"][case]
    assert result["untrained"] == 0.0
    assert result["from_base"] > SEEN


def test_inpainting_leaves_what_is_outside_its_mask(measured):
    assert measured["part_of_the_way"]["inpainting"]["outside_mask"] < 1e-5


def test_pictures_need_not_be_square(measured):
    result = measured["not_square"]
    assert result["sizes"] == [[8, 12], [16, 24]]
    assert result["agree"] and result["finite"]
    assert result["untrained"] == 0.0


def test_models_may_be_unloaded_in_between(measured):
    result = measured["unloaded_and_loaded_again"]
    assert result["loaded"] == 0
    assert result["difference"] == 0.0
    assert not result["left_over"], "an adapter that nobody uses stays in memory"


def test_a_cancelled_run_leaves_no_trace(measured):
    assert measured["cancelled"] == {"stopped": True, "steps": 1, "difference": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "rounding"), [("eager", 0.0), ("inductor", 1e-3)])
def test_compiled_models_draw_the_same(measured_slowly, backend, rounding):
    assert measured_slowly[f"compiled_{backend}"]["difference"] <= rounding


@pytest.mark.parametrize("width", ["320", "640", "1280"])
def test_the_layer_is_cores_gligen_where_boxes_are_the_whole_picture(measured, width):
    result = measured["cores_gligen"][width]
    assert result["difference"] < 1e-5 < SEEN < result["from_nothing"]
