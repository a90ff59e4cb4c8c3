"""CLIP's score and retrieval: on vectors made by hand, and through a random CLIP of transformers."""

from pathlib import Path

import numpy as np
import pytest

from sg_models.graph.scene_graph import SceneGraph, SceneObject
from train.report.clip_score import RETRIEVAL, SCORE, ClipMetrics, ClipNetwork, clip_scores, retrieval
from train.report.network_files import Source
from train.report.picture_metric import DrawnPictures
from train.running.command_line import UsageError

NAMES = ("dog", "cat", "tree", "red car", "boat", "sun")


def test_the_score_is_a_hundred_times_the_cosine_and_never_below_zero():
    captions = np.eye(3)
    pictures = np.stack([np.eye(3), -np.eye(3), np.full((3, 3), 3**-0.5)], axis=1)  # [G, S, D]
    assert clip_scores(pictures, captions) == pytest.approx(np.array([[100, 0, 100 * 3**-0.5]] * 3))


def test_retrieval_counts_the_own_picture_among_the_best():
    captions = np.eye(8)
    right = np.eye(8)[:, None]
    assert retrieval(right, captions) == {"top-1 retrieval": [1, pytest.approx(0.676, abs=0.01), 1],
                                          "top-5 retrieval": [1, pytest.approx(0.676, abs=0.01), 1]}  # fmt: skip
    wrong = np.roll(np.eye(8), 1, axis=0)[:, None]
    assert retrieval(wrong, captions)["top-1 retrieval"][0] == 0
    half = np.concatenate([right, wrong], axis=1)
    assert retrieval(half, captions)["top-1 retrieval"][0] == 0.5


def test_one_picture_for_all_graphs_is_found_by_none():
    same = np.full((8, 1, 8), 8**-0.5)
    assert {value for value, *_ in retrieval(same, np.eye(8)).values()} == {0}


def test_a_clip_from_a_folder_sees_each_picture_once(networks: Path):
    network = ClipNetwork(Source(str(networks / "clip")))
    pictures = np.random.default_rng(0).integers(0, 256, (6, 2, 40, 40, 3), dtype=np.uint8)
    graphs = [SceneGraph((SceneObject(name),)) for name in NAMES]
    metric = ClipMetrics((SCORE, RETRIEVAL), network)
    for part in (slice(0, 4), slice(4, 6)):
        metric.see(DrawnPictures(range(6)[part], graphs[part], pictures[part]))
    figures = metric.figures()
    assert list(figures) == [SCORE, "top-1 retrieval", "top-5 retrieval"]
    vectors = network.embed_pictures(pictures.reshape(-1, 40, 40, 3)).reshape(6, 2, -1)
    expected = clip_scores(vectors, network.embed_texts([f"a {name}" for name in NAMES])).mean()
    assert figures[SCORE][0] == pytest.approx(expected, abs=1e-3)
    assert metric.notes() == {RETRIEVAL: "each caption among 6 pictures"}


def test_captions_longer_than_clip_reads_are_cut(networks: Path):
    network = ClipNetwork(Source(str(networks / "clip")))
    long = network.embed_texts(["dog " * 200])
    assert np.isfinite(long).all() and np.linalg.norm(long) == pytest.approx(1, abs=1e-5)


def test_a_missing_clip_is_an_error_in_words(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no CLIP .* here; name a folder .* --download-networks"):
        ClipNetwork(Source(str(tmp_path)))
