"""What the nodes that verify and pick do in the real ComfyUI, measured by `verification_measurements.py`."""

import pytest


def test_the_oracle_tells_right_from_wrong_and_from_what_cannot_be_told(measured):
    result = measured["verification_by_oracle"]
    assert result["relations"] == ["does not hold", "undecidable", "holds"]
    assert result["exact"] == [False, False, True]
    assert result["scores"] == pytest.approx([0.8, 0.4, 1.0])
    assert "Picture 1: obedience 0.800" in result["report"]
    assert "Picture 2: obedience 0.400" in result["report"] and "(square not seen)" in result["report"]
    assert "Picture 3: obedience 1.000; the exact graph" in result["report"]


def test_every_picture_is_drawn_with_its_report(measured):
    result = measured["verification_by_oracle"]
    assert result["drawing"][0] == 3 and result["drawing"][2] == 512 < result["drawing"][1]
    assert result["colours"] > 20


def test_a_list_of_graphs_is_one_for_each_picture(measured):
    assert measured["verification_by_oracle"]["each"] == ["holds", "undecidable", "holds"]


def test_a_picture_of_another_size_is_verified(measured):
    assert measured["verification_by_oracle"]["other_size"] == [1.0]


def test_bboxes_come_in_all_of_cores_forms(measured):
    result = measured["verification_by_bboxes"]
    assert result["two"] == ["holds", "does not hold"]
    assert result["flat"] == result["box"] == result["phrase"] == [1.0]
    assert result["none"] == [0.0]


def test_what_the_detector_does_not_know_is_no_fault_of_the_picture(measured):
    result = measured["verification_by_bboxes"]
    assert result["unknown"] == "the detector does not know 'unicorn'"
    assert result["any_name"] == "unicorn not seen"


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("no_boxes", ("has no bboxes", "Detect Objects", "Shapes oracle")),
        ("frames", ("3 pictures, and bboxes for 1",)),
        ("label", ("without a label", "picture 1, box 2", "RT-DETR")),
        ("no_box", ("bboxes that are none", "'label': 'dog'")),
        ("text", ("bboxes that are none: dog",)),
        ("graphs", ("Verify Scene Graph got 2 graphs for 3 pictures",)),
        ("pictures", ("got 2 pictures, and the verification is of 3",)),
        ("latents", ("got 2 latents, and the verification is of 3",)),
    ],
)
def test_what_does_not_fit_is_refused_in_words(measured, case, said):
    message = measured["verification_errors"][case]
    assert all(word in message for word in said), message


def test_the_best_are_picked_with_their_latents(measured):
    result = measured["picking"]
    assert result["places"] == [2, 0] and result["scores"] == pytest.approx([1.0, 0.8])
    assert result["pictures"] == [1, 1]
    assert result["latents"] == result["masks"] == [2.0, 0.0]
    assert result["batch_index"] == [6, 4] and result["untouched"]
    assert result["report"].startswith("Picture 3: obedience 1.000") and "Picture 1: " in result["report"]
    assert result["all"] == [2, 0, 1], "with more wanted than there are, all, the best first"


def test_without_latents_their_output_says_so(measured):
    assert "has no latent to pick from" in measured["picking"]["blocked"]


def test_a_detector_of_transformers_is_loaded_from_its_folder_and_managed(measured):
    result = measured["detection"]
    assert {"tiny-owl", "download"} <= set(result["offered"]) and "nothing" not in result["offered"]
    assert result["loaded"]


def test_objects_are_looked_for_by_their_names_or_phrases(measured):
    result = measured["detection"]
    assert result["frames"] == 2 and result["labels"] == ["cat", "dog"]
    assert result["phrases"] == ["brown dog", "cat"]
    assert result["each"] == [["cow"], ["cat", "dog"]]
    assert result["inside"] and result["drawn"] == [2, 40, 60, 3]


def test_the_threshold_is_of_one_run(measured):
    assert measured["detection"]["nothing_so_sure"] == 0
    assert measured["detection"]["threshold_stays"] == 0.1


def test_a_detector_that_cannot_be_opened_is_refused_in_words(measured):
    result = measured["detector_errors"]
    assert "no detector called nowhere" in result["unknown"] and "detection" in result["unknown"]
    assert "broken is not a detector" in result["broken"]
    missing = "pip install onnxruntime" if not result["has_onnxruntime"] else "cannot be read as an ONNX file"
    assert missing in result["onnx"]
    assert "knows 1 names and no phrases" in result["phrases"]
    assert result["known"] == ["dog"]


def test_the_real_yolox_sees_a_stop_sign(measured):
    result = measured["real_detector"]
    if "missing" in result:
        pytest.skip(f"ComfyUI has no {result['missing']}")
    ((box,),) = result["frames"]
    assert box["label"] == "stop sign" and box["score"] > 0.5
    assert [box[side] for side in ("x", "y", "width", "height")] == pytest.approx([80, 100, 160, 160], abs=20)
    assert result["outcomes"] == ["holds", "undecidable", "undecidable"]
