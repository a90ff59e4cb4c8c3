"""The figure of variants side by side: everything in its place, as the shipped weights draw it."""

import numpy as np
import pytest
import torch
from PIL import Image

from sg_models.bases import sg_mini
from sg_models.drawing.graph_drawing import draw_scene_graph
from train.bases.load import load_base
from train.conditioning.sampling import draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.data.graph_variation import without_boxes
from train.data.shapes.scene import scene, seeds
from train.report.comparison_figure import LABEL_WIDTH, MARGIN, PAPER, draw_comparison

GRAPH = without_boxes(scene(seeds("held-out", 1)[0]).graph)
VARIANTS = {"i": "text", "vi": "embeddings, CLIP, gated self-attention"}
SIDE = sg_mini.SIDE
STEP = SIDE + MARGIN


@pytest.fixture(scope="module")
def figure(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("figure") / "docs" / "results.png"
    draw_comparison(sg_mini.NAME, VARIANTS, [GRAPH], path)
    picture = Image.open(path)
    assert picture.size == (LABEL_WIDTH + STEP + MARGIN, (len(VARIANTS) + 1) * STEP + MARGIN)
    return np.asarray(picture).astype(int)


def place(figure: np.ndarray, row: int) -> np.ndarray:
    """The picture in a row of the only column."""
    return figure[MARGIN + row * STEP :, LABEL_WIDTH:][:SIDE, :SIDE]


def test_the_graph_stands_above_its_pictures(figure: np.ndarray):
    assert np.array_equal(place(figure, 0), np.asarray(draw_scene_graph(GRAPH, SIDE, SIDE)))


def test_each_variant_draws_its_own_row(figure: np.ndarray):
    base = load_base(sg_mini.NAME).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    (drawn,) = draw_graphs(base, load_variant(base, "vi"), [GRAPH], starting_noise(base, 0, 1))
    off = [np.abs(place(figure, row) - 255 * drawn.permute(1, 2, 0).cpu().numpy()).mean() for row in (1, 2)]
    assert off[1] < 1 < off[0]


def lines_of_text(label: np.ndarray) -> int:
    inked = (label != PAPER).any(axis=(1, 2))
    return int(inked[0]) + int((inked[1:] & ~inked[:-1]).sum())


def test_labels_stand_beside_their_rows_and_wrap_before_the_pictures(figure: np.ndarray):
    labels = [figure[MARGIN + row * STEP :, :LABEL_WIDTH][:SIDE] for row in range(3)]
    assert [lines_of_text(label) for label in labels] == [0, 1, 2]
    assert (figure[:, LABEL_WIDTH - MARGIN : LABEL_WIDTH] == PAPER).all(), "a label reaches into the pictures"
