"""The base: tokenizer, checkpoint, autoencoder and training target are what other programs take them for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler
from torch import Tensor

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import WeightsFileError, read_weights, write_weights
from train.bases.base_model import BaseModel, training_target
from train.bases.clip_tokenizer import clip_tokenizer
from train.bases.load import load_base
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.running.loop import step_generator

TEXTS = [
    "",
    "an image",
    "A small Red circle left of a large blue square",
    "a star, and another star; 12 crosses (purple?)",
    "  two   spaces\tand a tab ",
    "don't the dog's we've",
    "café ÉCLAIR naïve 日本 🙂",
    "circle " * 100,
    "look! a circle!",  # the pad id 0 is "!" inside a word; as a word of its own it has another
]


@pytest.fixture(scope="module")
def open_clip_tokenizer():
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:12])
def test_the_tokenizer_is_clips_own(text: str, open_clip_tokenizer):
    nothing: Any = None
    ours = BaseModel("tokenizer alone", clip_tokenizer(), nothing, nothing, nothing, nothing)._ids([text])
    assert torch.equal(ours, open_clip_tokenizer([text]))  # which pads with 0, as Stable Diffusion 2 does


def test_the_tokenizers_special_ids_are_the_text_models():
    tokenizer = clip_tokenizer()
    assert len(tokenizer) == sg_mini.TEXT_MODEL["vocab_size"]
    for name in ("bos_token_id", "eos_token_id"):
        assert getattr(tokenizer, name) == sg_mini.TEXT_MODEL[name]


def test_a_checkpoint_gives_back_the_parts_it_was_made_of(base: BaseModel, sg_mini_parts):
    _, unet, vae = sg_mini_parts
    for ours, original in ((base.unet, unet), (base.vae, vae)):
        state = ours.state_dict()
        assert state.keys() == original.state_dict().keys()
        assert all(torch.equal(state[k], v) for k, v in original.state_dict().items())
    assert base.name == "sg-mini" and base.prediction_type == "epsilon"


def test_prompts_are_the_penultimate_layer_after_the_final_norm(base: BaseModel, sg_mini_parts):
    text = sg_mini_parts[0]
    ids = base._ids(["a red circle", ""])
    with torch.no_grad():
        states = text(input_ids=ids, output_hidden_states=True).hidden_states
        inner = getattr(text, "text_model", text)
        expected = inner.final_layer_norm(states[-2])
    assert len(states) == sg_mini.TEXT_MODEL["num_hidden_layers"] + 1
    torch.testing.assert_close(base.encode_prompts(["a red circle", ""]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", (64, 4, 3, 3)),
        ("model.diffusion_model.output_blocks.1.2.conv.weight", (128, 128, 3, 3)),
        ("first_stage_model.taesd_decoder.1.weight", (64, 4, 3, 3)),  # what core's VAE loader looks for
        ("first_stage_model.taesd_encoder.0.weight", (64, 3, 3, 3)),
        ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", (49408, 128)),
        ("cond_stage_model.transformer.text_model.encoder.layers.3.self_attn.q_proj.weight", (128, 128)),
        ("cond_stage_model.transformer.text_model.final_layer_norm.weight", (128,)),
        ("cond_stage_model.transformer.text_projection.weight", (128, 128)),
    ],
)
def test_a_checkpoint_has_the_names_that_load_checkpoint_reads(key: str, shape: tuple, sg_mini_checkpoint: Path):
    tensors, _ = read_weights(sg_mini_checkpoint)
    assert tuple(tensors[key].shape) == shape


def test_a_half_precision_checkpoint_is_loaded_in_single(sg_mini_checkpoint: Path, tmp_path: Path):
    tensors, _ = read_weights(sg_mini_checkpoint)
    write_weights(tmp_path / "half.safetensors", {k: v.half() for k, v in tensors.items()}, {})
    half = load_base(str(tmp_path / "half.safetensors"))
    assert {p.dtype for part in (half.unet, half.vae, half.text_encoder) for p in part.parameters()} == {torch.float32}


def test_the_padded_autoencoder_computes_the_same(base: BaseModel, sg_mini_checkpoint: Path):
    tensors, _ = read_weights(sg_mini_checkpoint)
    wide = AutoencoderTiny(encoder_block_out_channels=(64,) * 4, decoder_block_out_channels=(64,) * 4).eval()

    def taesd(name: str) -> str:  # encoder.layers.3.conv.0.weight → taesd_encoder.3.conv.0.weight
        half, _, index, rest = name.split(".", 3)
        return f"first_stage_model.taesd_{half}.{int(index) + (half == 'decoder')}.{rest}"

    wide.load_state_dict({name: tensors[taesd(name)] for name in wide.state_dict()})
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), np.uint8)
    with torch.no_grad():
        latents = wide.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1).latents
        torch.testing.assert_close(base.encode_pictures(pictures), latents, atol=1e-5, rtol=1e-4)
        shown = (wide.decode(latents).sample / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(base.decode(latents), shown, atol=1e-5, rtol=1e-4)


def test_phrase_vectors_are_the_state_at_the_end_of_text(base: BaseModel):
    phrases = ["circle", "small red circle", "left of", "word " * 90]
    vectors = dict(zip(phrases, base.encode_phrases(phrases), strict=True))
    states = base.encode_prompts(phrases)
    for phrase, position in (("circle", 2), ("small red circle", 4), ("left of", 3), ("word " * 90, 76)):
        expected = states[phrases.index(phrase), position]
        torch.testing.assert_close(vectors[phrase], expected, atol=1e-6, rtol=1e-5)


def test_a_phrases_vector_does_not_depend_on_its_company(base: BaseModel):
    alone = base.encode_phrases(["red star"])[0]
    together = base.encode_phrases(["a much longer phrase than that", "red star"])[1]
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=1e-5)


def test_pictures_come_as_bytes_so_that_no_range_is_mistaken(base: BaseModel):
    with pytest.raises(TypeError, match="bytes"):
        base.encode_pictures(np.random.default_rng(0).random((1, 32, 32, 3)))
    bright = np.full((1, 32, 40, 3), 200, np.uint8)  # no value of it is below the middle
    assert base.encode_pictures(bright).shape == (1, 4, 4, 5)
    seen = []
    base.vae.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    base.encode_pictures(np.array([0, 255], np.uint8).repeat(8 * 8 * 3).reshape(2, 8, 8, 3))
    # TAESD's encoder takes [0, 1], to which its autoencoder brings [-1, 1]
    assert (seen[0].amin().item(), seen[0].amax().item()) == (-1.0, 1.0)


def schedule(prediction_type: str) -> DDIMScheduler:
    return DDIMScheduler(**(sg_mini.SCHEDULE | {"prediction_type": prediction_type}))


def said_by_a_model_that_knows(scheduler: DDIMScheduler, x0: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
    """What a UNet says that knows the clean latents: solved from the forward process, not from the noise."""
    signal = scheduler.alphas_cumprod[timesteps][:, None, None, None]
    noise = (noisy - signal.sqrt() * x0) / (1 - signal).sqrt()
    if scheduler.config["prediction_type"] == "epsilon":
        return noise
    return signal.sqrt() * noise - (1 - signal).sqrt() * x0


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_perfect_model_has_no_loss(kind: str):
    scheduler, generator = schedule(kind), torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(4, 4, 8, 8, generator=generator).double() for _ in range(2))
    timesteps = torch.tensor([10, 300, 700, 999])
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    noisy = scheduler.add_noise(x0, noise, timesteps)
    said = said_by_a_model_that_knows(scheduler, x0, noisy, timesteps)
    target = training_target(scheduler, x0, noise, timesteps)
    assert (said - target).abs().max() < 1e-4
    other = schedule("v_prediction" if kind == "epsilon" else "epsilon")
    assert (said - training_target(other, x0, noise, timesteps)).abs().mean() > 0.1


def test_an_unknown_prediction_type_is_refused():
    with pytest.raises(ValueError, match="sample"):
        training_target(schedule("sample"), torch.zeros(1), torch.zeros(1), torch.zeros(1).long())


def test_noised_is_a_function_of_its_generator(base: BaseModel):
    latents = torch.randn(64, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    one, other = (base.add_noise(latents, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    noisy, timesteps, target = one
    assert torch.equal(noisy, base.scheduler.add_noise(latents, target, timesteps))
    assert 0 <= timesteps.min() and timesteps.max() < 1000 and timesteps.unique().numel() > 40


def test_a_timestep_power_below_one_prefers_the_noisy_ones(base: BaseModel):
    latents = torch.zeros(2000, 4, 1, 1)
    means = [
        base.add_noise(latents, torch.Generator().manual_seed(0), power)[1].float().mean().item()
        for power in (1.0, 0.5)
    ]
    assert means == pytest.approx([1000 / 2, 1000 * 2 / 3], abs=25)


def test_the_noisiest_timestep_is_the_last(base: BaseModel):
    """The uniform numbers of step 956 have one so near 1 that its roots are 1: a run ended there, of index 1000."""
    latents, generator = torch.zeros(32, 4, 16, 16), step_generator(0, 956, 0, torch.device("cpu"))
    assert base.add_noise(latents, generator, 0.3)[1].max() == 999


def test_nothing_of_a_frozen_base_can_be_trained(base: BaseModel):
    assert not any(p.requires_grad for part in (base.unet, base.vae, base.text_encoder) for p in part.parameters())


def test_the_fingerprint_is_the_encoders(base: BaseModel):
    before = base.vae_fingerprint()
    with torch.no_grad():
        next(base.unet.parameters()).add_(1)
        next(base.vae.decoder.parameters()).add_(1)
        assert base.vae_fingerprint() == before, "latents are good for every decoder"
        next(base.vae.encoder.parameters()).add_(1)
    assert base.vae_fingerprint() != before


def test_a_checkpoint_of_something_else_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "other.safetensors"
    write_weights(path, {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(320, 4, 3, 3)}, {})
    with pytest.raises(WeightsFileError, match="other.safetensors is not an SG-Mini checkpoint"):
        load_sg_mini(path)


def test_a_checkpoint_of_another_size_is_refused_by_name(sg_mini_checkpoint: Path, tmp_path: Path):
    tensors, _ = read_weights(sg_mini_checkpoint)
    key, path = "model.diffusion_model.input_blocks.0.0.weight", tmp_path / "other.safetensors"
    for shape in ((320, 4, 3, 3), (32, 4, 3, 3)):  # neither cut down nor left to PyTorch's own words
        write_weights(path, tensors | {key: torch.zeros(shape)}, {})
        with pytest.raises(WeightsFileError, match="other.safetensors is not an SG-Mini checkpoint"):
            load_sg_mini(path)


def test_a_missing_checkpoint_is_refused_by_name(tmp_path: Path):
    with pytest.raises(WeightsFileError, match="there is no file .*none.safetensors"):
        load_base(str(tmp_path / "none.safetensors"))
