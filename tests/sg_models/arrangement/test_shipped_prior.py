"""The prior that is shipped: small, attributed, and with some sense of the world."""

import numpy as np
import pytest

from sg_models.arrangement.layout_prior import LayoutPrior, load_prior
from sg_models.arrangement.prior_file import SHIPPED, read_prior_file
from sg_models.files.safetensors_file import read_weights
from sg_models.graph.formats import parse_scene_graph

MAX_BYTES = 8_000_000
SAMPLES = 48


@pytest.fixture(scope="module")
def prior() -> LayoutPrior:
    return load_prior()


def boxes(prior: LayoutPrior, text: str) -> np.ndarray:
    """Samples for a graph: [S, O, 4]."""
    graph = parse_scene_graph(text)
    return np.stack([p.boxes for p in prior.samples(graph, 0, 1.0, SAMPLES)])


def centre(found: np.ndarray, axis: int) -> np.ndarray:
    return (found[..., axis] + found[..., axis + 2]) / 2


def area(found: np.ndarray) -> np.ndarray:
    return (found[..., 2:] - found[..., :2]).prod(-1)


def test_the_file_is_small_and_names_its_sources():
    assert SHIPPED.stat().st_size <= MAX_BYTES
    header = read_weights(SHIPPED)[1]
    for source in ("Visual Genome", "VRD", "V-COCO", "MiniLM", "CC BY 4.0", "MIT", "Apache-2.0"):
        assert source in header["scene_graph.attribution"]
    assert len(read_prior_file(SHIPPED).vectors.vocabulary) > 20_000


def test_things_are_where_they_are_in_the_world(prior: LayoutPrior):
    sky_and_grass = boxes(prior, "sky\ngrass")
    assert (centre(sky_and_grass[:, 0], 1) < centre(sky_and_grass[:, 1], 1)).mean() > 0.9
    man_in_hat = boxes(prior, "man | wearing | hat")
    man, hat = man_in_hat[:, 0], man_in_hat[:, 1]
    assert (centre(hat, 1) < centre(man, 1)).mean() > 0.9 and (area(hat) < area(man)).mean() > 0.9


@pytest.mark.parametrize(("predicate", "axis"), [("to the left of", 0), ("above", 1)])
def test_directions_are_learned_whichever_way_round(prior: LayoutPrior, predicate: str, axis: int):
    one, other = boxes(prior, f"dog | {predicate} | bench"), boxes(prior, f"bench | {predicate} | dog")
    for found in (one, other):
        assert (centre(found[:, 0], axis) < centre(found[:, 1], axis)).mean() > 0.75


def test_words_of_size_are_learned(prior: LayoutPrior):
    assert np.median(area(boxes(prior, "large dog")[:, 0])) > 1.3 * np.median(area(boxes(prior, "small dog")[:, 0]))


def test_samples_have_modes_and_not_means(prior: LayoutPrior):
    assert centre(boxes(prior, "dog\ntree")[:, 0], 0).std() > 0.08
