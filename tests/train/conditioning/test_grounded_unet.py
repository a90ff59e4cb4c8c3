"""An adapter in diffusers' UNet: no effect before training, an effect after, and nothing that piles up."""

import pytest
import torch
from torch import Tensor

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter, write_adapter
from sg_models.adapters.phrase_features import RememberedPhrases, phrase_features
from sg_models.graph.formats import parse_scene_graph
from train.conditioning.conditioners import (
    CAPTION_GUIDANCE,
    GRAPH_GUIDANCE,
    CaptionConditioner,
    Conditions,
    GSAConditioner,
    both_halves,
)
from train.conditioning.grounded_unet import attach, block_sizes, token_arguments
from train.conditioning.phrase_encoders import ClipPhrases
from train.conditioning.sampling import draw_graphs, sample_latents, starting_noise
from train.conditioning.trained_adapter import load_variant

GRAPHS = [parse_scene_graph("red circle | left of | blue square"), parse_scene_graph("green star")]


def inputs(batch: int = 2, size: tuple[int, int] = (16, 16)) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(batch, 4, *size, generator=generator)
    return noisy, torch.full((batch,), 500), torch.randn(batch, 77, 128, generator=generator)


def tokens_of(base, adapter, graphs=GRAPHS) -> Tensor:
    return adapter.tokens(graphs, phrase_features(graphs, base.encode_phrases))


@pytest.fixture
def plain(base) -> Tensor:
    """What the base says on its own."""
    return base.unet(*inputs()).sample


def test_an_untrained_adapter_leaves_the_output_bit_for_bit(base, make_adapter, plain):
    adapter, given = make_adapter(), inputs()
    attach(base.unet, adapter)
    tokens = tokens_of(base, adapter)
    assert torch.equal(base.unet(*given, **token_arguments(tokens, given[0])).sample, plain)


def test_open_gates_change_it_and_strength_scales(base, make_adapter, plain):
    adapter, given = make_adapter(gate=1.0), inputs()
    attach(base.unet, adapter)
    tokens = tokens_of(base, adapter)

    def change(strength: float) -> float:
        said = base.unet(*given, **token_arguments(tokens, given[0], strength)).sample
        return (said - plain).abs().max().item()

    assert change(0.0) == 0 < 1e-4 < change(0.3) < change(1.0)


def test_without_grounding_an_attached_unet_is_the_base(base, make_adapter, plain):
    attach(base.unet, make_adapter(gate=1.0))
    assert torch.equal(base.unet(*inputs()).sample, plain)


def test_the_graph_and_the_null_graph_differ(base, make_adapter):
    adapter, given = make_adapter(gate=1.0), inputs()
    attach(base.unet, adapter)
    said = [
        base.unet(*given, **token_arguments(tokens, given[0])).sample
        for tokens in (tokens_of(base, adapter), tokens_of(base, adapter, GRAPHS[::-1]), adapter.null_tokens(2))
    ]
    assert min((a - b).abs().max().item() for a, b in [said[:2], said[1:], said[::2]]) > 1e-4


@pytest.mark.parametrize("size", [(8, 8), (24, 16), (13, 9)])
def test_other_latent_sizes(base, make_adapter, size: tuple[int, int]):
    adapter, given = make_adapter(gate=1.0), inputs(size=size)
    attach(base.unet, adapter)
    said = base.unet(*given, **token_arguments(tokens_of(base, adapter), given[0])).sample
    assert said.shape == given[0].shape and said.isfinite().all()


def test_batch_rows_do_not_mix(base, make_adapter):
    adapter, given = make_adapter(gate=1.0), inputs()
    attach(base.unet, adapter)
    tokens = tokens_of(base, adapter)
    together = base.unet(*given, **token_arguments(tokens, given[0])).sample
    for i in range(2):
        row = [part[i : i + 1] for part in given]
        alone = base.unet(*row, **token_arguments(tokens[i : i + 1], row[0])).sample
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-4)


def test_each_layer_is_called_once_per_forward_however_often(base, make_adapter):
    adapter, given = make_adapter(gate=1.0), inputs()
    attach(base.unet, adapter)
    attach(base.unet, adapter)  # again, as a second run in one process does
    calls: list[str] = []
    for address in adapter.gated_attention.addresses:
        layer = adapter.gated_attention.block(address)
        layer.register_forward_hook(lambda *_, address=address: calls.append(address))
    counts, tokens = [], tokens_of(base, adapter)
    for _ in range(10):
        calls.clear()
        base.unet(*given, **token_arguments(tokens, given[0]))
        counts.append(list(calls))
    assert counts == [list(adapter.gated_attention.addresses)] * 10


def test_attaching_leaves_the_unets_parameters_its_own(base, make_adapter):
    before, parameters = dict(base.unet.state_dict()), len(list(base.unet.parameters()))
    attach(base.unet, make_adapter(gate=1.0))
    after = base.unet.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[k], v) for k, v in before.items())
    assert len(list(base.unet.parameters())) == parameters


def test_attach_refuses_an_adapter_for_other_blocks(base, make_adapter):
    blocks = dict(list(block_sizes(base.unet).items())[1:])
    with pytest.raises(ValueError, match="transformer blocks are input_blocks.1.1"):
        attach(base.unet, make_adapter(blocks=blocks))


def test_block_sizes_are_sg_minis(base):
    sizes = block_sizes(base.unet)
    narrow, wide = {"width": 64, "heads": 2}, {"width": 128, "heads": 4}
    assert sizes == {
        "input_blocks.1.1": narrow,
        "input_blocks.3.1": wide,
        "middle_block.1": wide,
        "output_blocks.0.1": wide,
        "output_blocks.1.1": wide,
        "output_blocks.2.1": narrow,
        "output_blocks.3.1": narrow,
    }


def test_one_unet_call_per_step_and_the_same_latents_again(base, make_adapter):
    adapter = make_adapter(gate=1.0)
    attach(base.unet, adapter)
    batches: list[int] = []
    base.unet.register_forward_pre_hook(lambda _, given: batches.append(len(given[0])))
    prompts = base.encode_prompts(["an image"]).expand(2, -1, -1)
    conditions = Conditions(prompts, prompts, both_halves(tokens_of(base, adapter), adapter.null_tokens(2)))
    noise = starting_noise(base, 0, 2, 128)
    first, second = (sample_latents(base, conditions, noise, steps=3, guidance=4.0) for _ in range(2))
    assert batches == [4] * 6
    assert torch.equal(first, second)


def test_guidance_one_is_the_graph_alone_and_zero_is_none(base, make_adapter):
    adapter = make_adapter(gate=1.0)
    attach(base.unet, adapter)
    prompt = base.encode_prompts(["an image"]).expand(2, -1, -1)
    noise, graph, null = starting_noise(base, 0, 2, 128), tokens_of(base, adapter), adapter.null_tokens(2)

    def latents(tokens, guidance):
        conditions = Conditions(prompt, prompt, both_halves(*tokens))
        return sample_latents(base, conditions, noise, steps=2, guidance=guidance)

    torch.testing.assert_close(latents((graph, null), 1.0), latents((graph, graph), 4.0), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(latents((graph, null), 0.0), latents((null, null), 4.0), atol=1e-4, rtol=1e-3)


def test_drawing_gives_pictures_in_0_to_1(base, make_adapter):
    adapter = make_adapter(gate=1.0)
    attach(base.unet, adapter)
    noise = starting_noise(base, 0, 2, 128)
    phrases = RememberedPhrases(ClipPhrases(base))
    for chosen in (GSAConditioner(base, adapter, phrases), CaptionConditioner(base)):
        pictures = draw_graphs(base, chosen, GRAPHS, noise, steps=2)
        assert pictures.shape == (2, 3, 128, 128)
        assert 0 <= pictures.min() and pictures.max() <= 1


def test_graphs_and_captions_are_guided_as_serves_each_best(base, make_adapter):
    adapter = make_adapter(gate=1.0)
    attach(base.unet, adapter)
    noise = starting_noise(base, 0, 1, 128)
    grounded_by = GSAConditioner(base, adapter, RememberedPhrases(ClipPhrases(base)))
    for chosen, usual in ((grounded_by, GRAPH_GUIDANCE), (CaptionConditioner(base), CAPTION_GUIDANCE)):
        pictures = draw_graphs(base, chosen, GRAPHS[:1], noise, steps=2)
        assert torch.equal(pictures, draw_graphs(base, chosen, GRAPHS[:1], noise, steps=2, guidance=usual))
        assert not torch.equal(pictures, draw_graphs(base, chosen, GRAPHS[:1], noise, steps=2, guidance=0.0))


def test_starting_noise_is_the_same_for_the_kth_picture(base):
    noise = starting_noise(base, 3, 4, 128)
    assert torch.equal(noise[:2], starting_noise(base, 3, 2, 128))
    assert not torch.equal(noise, starting_noise(base, 4, 4, 128))


def test_a_file_gives_the_adapter_that_was_written(base, adapter_file):
    adapter = load_variant(base, str(adapter_file)).adapter
    assert all(torch.equal(v, adapter.state_dict()[k]) for k, v in read_adapter(adapter_file).state_dict.items())
    assert not any(p.requires_grad for p in adapter.parameters())
    assert isinstance(load_variant(base, "none"), CaptionConditioner)


def spoiled(path, tmp_path, **changes):
    read = read_adapter(path)
    fields = {name: getattr(read, name) for name in Adapter.__dataclass_fields__} | changes
    made = tmp_path / "spoiled.safetensors"
    write_adapter(made, Adapter(**fields))
    return str(made)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": "sd21", "prediction_type": "v_prediction"}, "trained on SD 2.1 768"),
        ({"prediction_type": "v_prediction"}, "v_prediction"),
        ({"kind": "controlnet"}, "kind controlnet"),
    ],
)
def test_an_adapter_for_something_else_is_refused_in_words(base, adapter_file, tmp_path, changes: dict, said: str):
    with pytest.raises(AdapterError, match=said):
        load_variant(base, spoiled(adapter_file, tmp_path, **changes))


@pytest.mark.parametrize("size", ["blocks", "tokens", "graph_dim", "position_frequencies"])
def test_a_config_that_lacks_a_size_is_refused_in_words(base, adapter_file, tmp_path, size: str):
    config = {k: v for k, v in read_adapter(adapter_file).config.items() if k != size}
    with pytest.raises(AdapterError, match="spoiled.safetensors"):
        load_variant(base, spoiled(adapter_file, tmp_path, config=config))


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_tensors_that_do_not_fit_the_config_are_refused_in_words(base, adapter_file, tmp_path, change: str):
    state = read_adapter(adapter_file).state_dict
    if change == "missing":
        del state["grounding.null_token"]
    elif change == "extra":
        state["layout.w"] = torch.zeros(1)
    else:
        state["grounding.null_token"] = torch.zeros(1, 1)
    with pytest.raises(AdapterError, match="spoiled.safetensors"):
        load_variant(base, spoiled(adapter_file, tmp_path, state_dict=state))


def test_a_name_that_is_no_variant_is_refused_in_words(base):
    with pytest.raises(AdapterError, match="no adapter 'viii' for sg-mini"):
        load_variant(base, "viii")
