"""Training SG-Mini's UNet: which prompts it gets, what it starts from, and a checkpoint that is a whole base."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.files.safetensors_file import write_weights
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.conditioning.conditioners import GRAPH_PROMPT
from train.data.shapes.scene import scene
from train.train_base import BARE_RATE, EMPTY_RATE, Config, assemble, main, training_caption


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
    captions = [training_caption(shown, np.random.default_rng(i)) for i in range(2000)]
    assert captions.count("") / len(captions) == pytest.approx(EMPTY_RATE, abs=0.02)
    assert captions.count(GRAPH_PROMPT) / len(captions) == pytest.approx(BARE_RATE, abs=0.015)
    rest = [text for text in captions if text not in ("", GRAPH_PROMPT)]
    assert all(thing.phrase in text for text in rest for thing in shown.graph.objects)


def test_starts_from_a_fresh_unet_or_from_a_checkpoints(config: Config, sg_mini_checkpoint: Path):
    fresh, given = (base.unet.conv_in.weight for base in (assemble(config)[0], load_sg_mini(sg_mini_checkpoint)))
    assert not torch.allclose(fresh, given, atol=1e-3)
    config.init_from = sg_mini_checkpoint
    torch.testing.assert_close(assemble(config)[0].unet.conv_in.weight, given, atol=1e-3, rtol=1e-3)


def test_writes_a_whole_base_of_which_the_unet_alone_has_learned(config: Config):
    main(config)
    start, end = (load_sg_mini(path) for path in (config.run_dir / "start.safetensors", config.out))
    for part, learned in (("text_encoder", False), ("vae", False), ("unet", True)):
        before, after = getattr(start, part).state_dict(), getattr(end, part).state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before) == learned, part
