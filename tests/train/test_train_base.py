"""Training SG-Mini's UNet: which prompts it gets, what it starts from, and a checkpoint that is a whole base."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.files.safetensors_file import write_weights
from train.bases.clip_tokenizer import clip_tokenizer
from train.bases.sg_mini_checkpoint import load_sg_mini, load_text_model
from train.conditioning.conditioners import GRAPH_PROMPT
from train.data.dataset import TRAIN
from train.data.shapes.scene import scene
from train.data.shapes.shapes_dataset import ShapesSplit
from train.data.spatial_relations import nests
from train.losses.object_weights import object_weights
from train.losses.word_grounding import grounding_loss
from train.train_base import BARE_RATE, EMPTY_RATE, CaptionSamples, Config, assemble, main, training_prompt


@pytest.fixture
def config(sg_mini_parts, tmp_path: Path) -> Config:
    AcceleratorState._reset_state(True)
    text, _, vae = sg_mini_parts
    write_weights(tmp_path / "text.safetensors", text.state_dict(), {})
    write_weights(tmp_path / "vae.safetensors", vae.state_dict(), {})
    return Config(
        steps=2,
        stop_at=1,
        warmup=0,
        batch_size=2,
        pictures=2,
        mixed_precision="no",
        text_encoder=tmp_path / "text.safetensors",
        autoencoder=tmp_path / "vae.safetensors",
        latents_dir=tmp_path / "latents",
        run_dir=tmp_path / "run",
        out=tmp_path / "base.safetensors",
    )


def test_some_captions_are_empty_and_some_say_nothing_of_the_scene():
    shown = scene(0)
    prompts = [training_prompt(shown, np.random.default_rng(i)) for i in range(2000)]
    captions = [text for text, _ in prompts]
    assert all((said is None) == (text in ("", GRAPH_PROMPT)) for text, said in prompts)
    assert captions.count("") / len(captions) == pytest.approx(EMPTY_RATE, abs=0.02)
    assert captions.count(GRAPH_PROMPT) / len(captions) == pytest.approx(BARE_RATE, abs=0.015)
    rest = [text for text in captions if text not in ("", GRAPH_PROMPT)]
    assert all(thing.phrase in text for text in rest for thing in shown.graph.objects)


def test_starts_from_a_fresh_unet_or_from_a_checkpoints(config: Config, sg_mini_checkpoint: Path):
    fresh, given = (base.unet.conv_in.weight for base in (assemble(config)[0], load_sg_mini(sg_mini_checkpoint)))
    assert not torch.allclose(fresh, given, atol=1e-3)
    config.init_from = sg_mini_checkpoint
    torch.testing.assert_close(assemble(config)[0].unet.conv_in.weight, given, atol=1e-3, rtol=1e-3)


def test_writes_a_whole_base_whose_unet_and_text_model_have_learned(config: Config):
    main(config)
    start, end = (load_sg_mini(path) for path in (config.run_dir / "start.safetensors", config.out))
    for part, learned in (("text_encoder", True), ("vae", False), ("unet", True)):
        before, after = getattr(start, part).state_dict(), getattr(end, part).state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before) == learned, part


def test_the_layer_above_those_that_the_unet_sees_stays_as_it_was(config: Config, sg_mini_parts):
    main(config)
    before, after = sg_mini_parts[0].state_dict(), load_text_model(config.out).state_dict()
    top = [name for name in before if ".layers.3." in name or name.startswith("text_projection")]
    assert len(top) > 10
    for name in top:
        torch.testing.assert_close(after[name], before[name].half().float())
    assert not torch.equal(after["text_model.final_layer_norm.bias"], before["text_model.final_layer_norm.bias"])


def test_samples_prefer_nested_scenes_and_name_each_pictures_objects():
    split = ShapesSplit(TRAIN, 60)
    latents = torch.arange(60.0)[:, None, None, None].expand(-1, 4, 16, 16)
    for rate in (0.0, 0.5):
        batch = CaptionSamples(split, latents, rate, 0)(range(600))
        places = batch.latents[:, 0, 0, 0].int().tolist()
        nested = [nests(graph) for graph in split.graphs]
        share = rate + (1 - rate) * sum(nested) / 60
        assert sum(nested[place] for place in places) / 600 == pytest.approx(share, abs=0.06)
    counts = torch.bincount(batch.graph_of).tolist()
    assert counts == [len(split.graphs[place].objects) for place in places]
    assert sorted(batch.boxes[: counts[0]].tolist()) == pytest.approx(
        np.array(sorted(list(thing.box) for thing in split.graphs[places[0]].objects))
    )
    assert batch.ids.shape == (600, 77)


def test_words_are_those_of_the_objects_that_they_name():
    split = ShapesSplit(TRAIN, 40)
    batch = CaptionSamples(split, torch.arange(40.0)[:, None, None, None].expand(-1, 4, 16, 16), 0.3, 0)(range(400))
    tokenizer, named, repeated = clip_tokenizer(), set(), 0
    things = [thing for place in batch.latents[:, 0, 0, 0].int().tolist() for thing in split.graphs[place].objects]
    by_box = {tuple(np.float32(thing.box)): thing.phrase for thing in things}
    for row, words in enumerate(batch.words):
        of_picture = (batch.graph_of == row).nonzero()[:, 0].tolist()
        for k in set(words[words >= 0].tolist()):
            assert k in of_picture
            said = tokenizer.decode(batch.ids[row][words == k]).strip()
            phrase = by_box[tuple(batch.boxes[k].numpy())]
            assert f"{phrase} {phrase} {phrase} {phrase} ".startswith(said)  # relations say it again, until token 77
            named.add(k)
            repeated += said != phrase
    assert len(named) / len(batch.boxes) == pytest.approx(1 - EMPTY_RATE - BARE_RATE, abs=0.04)
    assert repeated > 20


def test_it_learns_which_words_act_where(config: Config, monkeypatch):
    """What a place reads is supervised in every cross-attention; by how much, the golden losses hold."""
    seen = []
    monkeypatch.setattr(
        "train.train_base.grounding_loss", lambda maps, *more: seen.append(maps) or grounding_loss(maps, *more)
    )
    main(config)
    (maps,) = seen
    assert [tuple(one.shape[:2]) for one in maps] == [(2, 256), (2, 64), (2, 64), (2, 64), (2, 64), (2, 256), (2, 256)]
    for one in maps:
        torch.testing.assert_close(one.sum(dim=-1), torch.ones(one.shape[:2]))


def test_small_objects_have_the_same_say_as_large_ones(config: Config, monkeypatch):
    seen = []
    monkeypatch.setattr("train.train_base.object_weights", lambda *a: seen.append(object_weights(*a)) or seen[-1])
    main(config)
    assert seen[0].shape == (2, 16, 16) and seen[0].std() > 0.1


def test_what_a_preview_says_is_read_off_its_pictures(config: Config, monkeypatch, capsys):
    monkeypatch.setattr("train.train_base.MEASURED", 2)
    config.steps = config.stop_at = 1
    main(config)
    assert "nested relations" in "".join(capsys.readouterr())
    assert (config.run_dir / "previews/000001.png").exists()
