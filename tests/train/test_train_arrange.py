"""The script that trains the learned prior of arrangements, and what its density is worth after a few steps."""

from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from transformers import BertConfig, BertModel, BertTokenizerFast

from sg_models.arrangement.layout_prior import make_prior
from sg_models.arrangement.phrase_vectors import PhraseVectors
from sg_models.arrangement.prior_file import PriorFile, read_prior_file, write_prior_file
from sg_models.arrangement.prior_network import PriorNetwork
from train import train_arrange
from train.conditioning.distilled_phrases import distil
from train.conditioning.phrase_encoders import BertPhrases
from train.data.shapes.shapes_dataset import ShapesSplit
from train.objectives.arrangement import mean_surprise
from train.objectives.arrangement_baselines import NameBoxes, NameSizes
from train.running.command_line import UsageError

SIZES = {"dim": 16, "hidden": 32, "heads": 2, "encoder_layers": 1, "layers": 1, "components": 2, "anchored": 1}
WORDS = "small large red green blue yellow circle square triangle star left right of above below inside on".split()


@pytest.fixture(scope="module")
def phrases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a table of phrase vectors, to be trained on."""
    rows = np.random.default_rng(0).integers(-127, 128, (len(WORDS), 12)).astype(np.int8)
    vectors = PhraseVectors(WORDS, rows, np.ones(len(WORDS), np.float16))
    path = tmp_path_factory.mktemp("phrases") / "p.safetensors"
    sizes = {"phrase_dim": 12} | SIZES
    write_prior_file(path, PriorFile(vectors, PriorNetwork(**sizes).state_dict(), sizes, "shapes", 0))
    return path


def trained(phrases: Path, run_dir: Path, **changes) -> Path:
    AcceleratorState._reset_state(True)
    settings = {"dataset": "shapes", "pictures": 64, "steps": 60, "warmup": 5, "batch_size": 32, "learning_rate": 5e-3}
    settings |= {"ema_decay": 0.5, "preview_every": 60, "run_dir": run_dir, "phrases_from": phrases}
    train_arrange.main(train_arrange.Config(**settings | SIZES | changes))
    return run_dir / "layout-prior.safetensors"


def test_a_prior_learns_and_says_what_it_was_made_of(phrases: Path, tmp_path: Path):
    file = read_prior_file(trained(phrases, tmp_path / "run", attribution="Shapes, ours", temperature=0.7))
    assert (file.dataset, file.steps, file.attribution, file.temperature) == ("shapes", 60, "Shapes, ours", 0.7)
    graphs = list(ShapesSplit("val", 32).graphs)
    before = mean_surprise(make_prior(read_prior_file(phrases)), graphs)
    assert mean_surprise(make_prior(file), graphs) < before - 1


def test_a_run_that_was_interrupted_ends_in_the_same_weights(phrases: Path, tmp_path: Path):
    few = {"steps": 6, "preview_every": 6}
    whole = read_prior_file(trained(phrases, tmp_path / "whole", **few))
    trained(phrases, tmp_path / "parts", stop_at=3, **few)
    again = read_prior_file(trained(phrases, tmp_path / "parts", **few))
    assert all((whole.state_dict[name] == tensor).all() for name, tensor in again.state_dict.items())


def test_a_data_set_without_a_name_that_is_left_out(phrases: Path, tmp_path: Path):
    names = {thing.name for graph in ShapesSplit("train", 64).graphs for thing in graph.objects}
    with pytest.raises(UsageError, match="no graph"):
        trained(phrases, tmp_path, without=",".join(names))


def test_words_are_distilled_from_a_sentence_model(tmp_path: Path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "cat", "##s", "!"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), "utf-8")
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    BertModel(config).save_pretrained(tmp_path)
    vectors = distil(BertPhrases(str(tmp_path)), 4)
    assert vectors.vocabulary == ["the", "dog", "cat", "##s"] and vectors.rows.shape == (4, 4)
    lengths = np.abs(vectors.rows * vectors.scales[:, None].astype(np.float32)).max(1)
    assert (np.abs(vectors.rows).max(1) == 127).all() and (lengths > 0).all()


def test_baselines_give_the_boxes_that_they_are_named_for():
    graphs = list(ShapesSplit("train", 200).graphs)
    by_name, anything = NameBoxes(graphs), NameBoxes(graphs, by_name=False)
    circles = [t.box for g in graphs for t in g.objects if t.name == "circle" and t.box]
    place = list(t.name for t in graphs[0].objects)
    mean, std = by_name.gaussians(graphs[0])
    if "circle" in place:
        centres = np.array([((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in circles])
        np.testing.assert_allclose(mean[place.index("circle"), :2], centres.mean(0), rtol=1e-4)
    assert (std > 0).all() and (anything.gaussians(graphs[0])[0] == anything.gaussians(graphs[0])[0][0]).all()
    sized = NameSizes(graphs).samples(graphs[0], 0, 1.0, 2)
    sides = [p.boxes[:, 2:] - p.boxes[:, :2] for p in sized]
    np.testing.assert_allclose(sides[0], np.exp(mean[:, 2:]), rtol=1e-4)
    assert not np.allclose(sized[0].boxes, sized[1].boxes)
