"""Training SG-Mini's text model: pairs that belong together, CLIP's loss by hand, and both files read back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from sg_models.bases import sg_mini
from sg_models.layers.picture_tower import PictureTower
from sg_models.verification.shapes.silhouettes import COLOURS
from train.bases.sg_mini_checkpoint import load_sg_mini, load_text_model
from train.data.shapes.scene import web_caption
from train.data.shapes.shapes_dataset import ShapesSplit
from train.losses.contrastive import TEMPERATURE, contrastive_loss
from train.train_text_encoder import PART, Config, Pairs, main


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return Pairs(ShapesSplit("val", 12))


def test_a_part_shows_the_object_that_its_text_names(pairs: Pairs):
    indices = range(1, 41, 2)
    pictures, ids, _ = pairs(indices)
    assert pictures.shape == (20, 3, PART, PART) and pictures.min() >= -1 and pictures.max() <= 1
    for picture, row in zip(pictures, ids, strict=True):
        size, colour, shape = pairs.tokenizer.decode(row[row > 0], skip_special_tokens=True).split()
        assert size in ("small", "large") and shape
        off = (picture.permute(1, 2, 0) * 127.5 + 127.5 - torch.tensor(COLOURS[colour])).norm(dim=-1)
        assert (off < 20).sum() > 100, f"no {colour} {shape} in its part"


def test_a_whole_picture_goes_with_its_scenes_caption(pairs: Pairs):
    pictures, ids, _ = pairs(range(0, 12, 2))
    for index, picture, row in zip(range(0, 12, 2), pictures, ids, strict=True):
        rng = np.random.default_rng((index, 7))
        which = int(rng.integers(len(pairs.scenes)))
        text = web_caption(pairs.scenes[which], rng)
        assert pairs.tokenizer.decode(row[row > 0], skip_special_tokens=True) == text.replace(",", " ,")
        whole = torch.from_numpy(pairs.pictures[which]).float()[::2, ::2].permute(2, 0, 1) / 127.5 - 1
        assert (picture - whole).abs().mean() < 0.1


def test_equal_texts_are_no_negatives_of_each_other(pairs: Pairs):
    _, ids, same = pairs(range(64))
    assert torch.equal(same, (ids[:, None] == ids[None]).all(dim=-1))
    assert same.diagonal().all() and same.sum() > len(same)


def loss_by_hand(pictures: Tensor, texts: Tensor, same: Tensor) -> float:
    """The mean over both directions and all rows of -log of the softmax, averaged over a row's right answers."""
    total = 0.0
    for one, other in ((pictures, texts), (texts, pictures)):
        for i in range(len(one)):
            logits = torch.stack([torch.cosine_similarity(one[i], b, dim=0) for b in other]) / TEMPERATURE
            total -= logits.log_softmax(dim=0)[same[i]].mean().item()
    return total / (2 * len(pictures))


def test_loss_is_clips_with_all_equal_texts_right():
    generator = torch.Generator().manual_seed(0)
    pictures, texts = torch.randn(4, 8, generator=generator), torch.randn(4, 8, generator=generator)
    same = torch.eye(4, dtype=torch.bool)
    same[1, 3] = same[3, 1] = True
    value, _ = contrastive_loss(pictures, texts, same)
    assert value.item() == pytest.approx(loss_by_hand(pictures, texts, same), rel=1e-5)


def test_accuracy_takes_any_equal_text_for_right():
    embeddings = torch.eye(3)
    same = torch.eye(3, dtype=torch.bool)
    assert contrastive_loss(embeddings, embeddings[[1, 0, 2]], same)[1] == pytest.approx(1 / 3)
    same[0, 1] = same[1, 0] = True
    assert contrastive_loss(embeddings, embeddings[[1, 0, 2]], same)[1] == 1.0


def test_writes_a_text_model_and_a_picture_tower_that_embed_alike(tmp_path: Path):
    AcceleratorState._reset_state(True)
    files = tmp_path / "text.safetensors", tmp_path / "tower.safetensors"
    settings = {"steps": 1, "warmup": 0, "batch_size": 16, "pictures": 4, "mixed_precision": "no"}
    main(Config(out=files[0], picture_tower=files[1], run_dir=tmp_path / "run", **settings))
    text = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL))
    text.load_state_dict(load_file(files[0]))
    tower = PictureTower(sg_mini.TEXT_MODEL["projection_dim"])
    tower.load_state_dict(load_file(files[1]))
    (log,) = (tmp_path / "run" / "logs").rglob("events*")
    assert b"val accuracy" in log.read_bytes()


def test_fitted_to_a_base_only_what_its_unet_does_not_see_learns(sg_mini_checkpoint: Path, tmp_path: Path):
    AcceleratorState._reset_state(True)
    base = tmp_path / "base.safetensors"
    base.write_bytes(sg_mini_checkpoint.read_bytes())
    settings = {"steps": 1, "warmup": 0, "batch_size": 16, "pictures": 4, "mixed_precision": "no"}
    out, tower = tmp_path / "text.safetensors", tmp_path / "tower.safetensors"
    main(Config(base=base, out=out, picture_tower=tower, run_dir=tmp_path / "run", **settings))
    before, after = load_sg_mini(sg_mini_checkpoint), load_sg_mini(base)
    for part in ("text_encoder", "unet", "vae"):
        for name, tensor in getattr(before, part).state_dict().items():
            torch.testing.assert_close(getattr(after, part).state_dict()[name].half(), tensor.half(), msg=name)
    whole, written = load_text_model(base).state_dict(), load_file(out)
    started = load_text_model(sg_mini_checkpoint).state_dict()
    for name, tensor in written.items():
        torch.testing.assert_close(whole[name], tensor.half().float())
        learns = ".layers.3." in name or name.startswith("text_projection")
        assert torch.equal(tensor, started[name]) == (not learns) or not learns, name
    assert not torch.equal(written["text_projection.weight"], started["text_projection.weight"])
