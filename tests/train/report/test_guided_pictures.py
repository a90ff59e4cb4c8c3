"""Figures of guided pictures against answers known beforehand."""

import numpy as np
import pytest
import torch

from sg_models.layers.picture_tower import PictureTower
from train.data.shapes.scene import render, scene, seeds
from train.report.guidance_page import guidance_page
from train.report.guided_pictures import Judge, colour_gap, diversity, fidelity, histogram, retrieval, shows

SCENES = [scene(s) for s in seeds("val", 8)]
PICTURES = np.stack([render(made) for made in SCENES])


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(PictureTower(16).requires_grad_(False).eval())


def test_retrieval_counts_who_is_nearer():
    candidates = torch.eye(30)
    vectors = torch.eye(30)[:4] + 0.9 * torch.eye(30)[[1, 1, 2, 2]] * torch.tensor([[0.0], [0], [0], [2]])
    found = retrieval(vectors, candidates, [0, 1, 2, 3])
    assert found == {"top 1": pytest.approx(0.75), "top 5": 1.0, "top 10": 1.0, "top 20": 1.0}


def test_the_oracle_sees_what_is_there_and_nothing_else():
    thing = SCENES[0].objects[0]
    assert shows(PICTURES[0], f"{thing.colour} {thing.shape}")
    drawn = {(thing.colour, thing.shape) for thing in SCENES[0].objects}
    assert not shows(PICTURES[0], next(f"{c} {s}" for c in ("red", "cyan") for s in ("star",) if (c, s) not in drawn))


def test_colours_are_counted_wherever_they_are():
    assert histogram(PICTURES[0]).sum() == pytest.approx(1.0)
    assert colour_gap(PICTURES[0], PICTURES[0][:, ::-1]) == pytest.approx(0.0, abs=1e-6)
    red, blue = (np.full((8, 8, 3), 230, np.uint8) for _ in range(2))
    red[:2], blue[:2] = (220, 40, 40), (40, 80, 210)
    assert colour_gap(red, blue) == pytest.approx(0.25)


def test_true_pictures_are_near_and_noise_is_far(judge: Judge):
    true = judge.embed(PICTURES)
    noise = np.random.default_rng(0).integers(0, 255, PICTURES.shape, dtype=np.uint8)
    assert fidelity(judge, PICTURES, true) < 1e-3 < 0.05 < fidelity(judge, noise, true)


def test_equal_pictures_have_no_diversity(judge: Judge):
    assert diversity(judge, [PICTURES[[0, 0, 0]]]) == pytest.approx(0.0, abs=1e-6)
    assert diversity(judge, [PICTURES[:3], PICTURES[3:6]]) > 0.01
    apart = judge.distance(PICTURES[:1], PICTURES[1:2])
    assert torch.allclose(apart, judge.distance(PICTURES[1:2], PICTURES[:1]))


def test_the_page_says_what_share_of_the_gap_was_closed():
    tops = {f"top {k}": 0.5 for k in (1, 5, 10, 20)} | {"distance to true": 0.1, "diversity": 0.2}
    obeys = {m: [0.3, 0.2, 0.4] for m in ("object recall", "attribute binding", "exact graph")}
    graph = {
        key: obeys | {"distance to true": 0.1, "relation accuracy": [v, v, v]}
        for key, v in ((("none", None), 0.2), (("graph", "noised"), 0.5), (("vi", None), 0.8))
    }
    figures = {
        ("language", "none", None): tops | {"shows it": 0.1},
        ("content", "none", None): tops | {"colours off": 0.4},
    }
    figures |= {("graph", *key): found for key, found in graph.items()}
    config = {"steps": 25, "texts": 2, "per_text": 3, "references": 5, "among": 10, "graphs": 7, "variant": "vi"}
    page = guidance_page(figures, config)
    assert "gap of 0.600; guidance closes 0.50 of it (noised eye)" in page
    assert page.count("\n| ") == 3 + 5 and "| variant (vi) | – |" in page and "| no guidance | – | 0.100 |" in page
