"""GLIGEN's files under LDM's names: read as they are, and anything else refused in words."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sg_models.adapters.adapter import AdapterError, read_adapter, write_adapter
from sg_models.adapters.gligen_adapter import build_gligen_adapter
from sg_models.adapters.gligen_file import ADDRESSES, adapter_from_gligen, read_adapter_or_gligen
from sg_models.layers.position_net import HIDDEN

SD1, SD2, CHANNELS = 768, 1024, 64
FIRST = "input_blocks.1.1.transformer_blocks.0.fuser."


def text_box(dim: int = SD1) -> dict[str, Tensor]:
    """The names and shapes of a text-box file, with few channels; as core ComfyUI's GLIGENLoader reads them."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "null_positive_feature": (dim,),
        "null_position_feature": (64,),
        "linears.0.weight": (HIDDEN, dim + 64),
        "linears.0.bias": (HIDDEN,),
        "linears.2.weight": (HIDDEN, HIDDEN),
        "linears.2.bias": (HIDDEN,),
        "linears.4.weight": (dim, HIDDEN),
        "linears.4.bias": (dim,),
    }
    found = {f"position_net.{name}": shape for name, shape in shapes.items()}
    for address in ADDRESSES:
        d = CHANNELS
        for name, shape in {
            "linear.weight": (d, dim),
            "linear.bias": (d,),
            "attn.to_q.weight": (d, d),
            "attn.to_k.weight": (d, d),
            "attn.to_v.weight": (d, d),
            "attn.to_out.0.weight": (d, d),
            "attn.to_out.0.bias": (d,),
            "ff.net.0.proj.weight": (8 * d, d),
            "ff.net.0.proj.bias": (8 * d,),
            "ff.net.2.weight": (d, 4 * d),
            "ff.net.2.bias": (d,),
            "norm1.weight": (d,),
            "norm1.bias": (d,),
            "norm2.weight": (d,),
            "norm2.bias": (d,),
            "alpha_attn": (),
            "alpha_dense": (),
        }.items():
            found[f"{address}.transformer_blocks.0.fuser.{name}"] = shape
    return {name: torch.randn(shape, generator=generator) for name, shape in found.items()}


def test_a_file_for_1_x_is_read_as_it_is(tmp_path: Path):
    tensors = text_box()
    save_file({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "textbox.safetensors")
    file = read_adapter_or_gligen(tmp_path / "textbox.safetensors")
    assert (file.kind, file.base, file.prediction_type, file.phrase_encoder) == ("gligen", "sd15", "epsilon", "clip")
    assert file.config["blocks"]["middle_block.1"] == {"width": CHANNELS, "heads": 8}
    module = build_gligen_adapter(file)
    layer = module.gated_attention.block("output_blocks.11.1")
    key = "output_blocks.11.1.transformer_blocks.0.fuser."
    assert torch.equal(layer.attn.to_q.weight, tensors[f"{key}attn.to_q.weight"].half().float())
    assert torch.equal(module.position_net.linears[4].bias, tensors["position_net.linears.4.bias"].half().float())
    ours, theirs = module.position_net.linears[0].weight, tensors["position_net.linears.0.weight"].half().float()
    assert torch.equal(ours[:, :SD1], theirs[:, :SD1]) and not torch.equal(ours, theirs), "box columns alone are turned"


def test_a_unet_around_it_is_left_alone():
    """Some keep the frozen UNet in the same file, below LDM's prefix."""
    around = {"input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3), "out.2.bias": torch.zeros(4)}
    whole = {f"model.diffusion_model.{name}": tensor for name, tensor in (text_box() | around).items()}
    assert (
        adapter_from_gligen("whole", whole).state_dict.keys()
        == adapter_from_gligen("bare", text_box()).state_dict.keys()
    )


def test_which_2_x_it_is_for_must_be_said():
    with pytest.raises(AdapterError, match=r"sd21-base or sd21; .*convert_igligen.py --source FILE --base sd21-base"):
        adapter_from_gligen("two", text_box(SD2))
    file = adapter_from_gligen("two", text_box(SD2), "sd21")
    assert (file.base, file.prediction_type) == ("sd21", "v_prediction")
    assert file.config["blocks"]["input_blocks.1.1"]["heads"] == 1, "a head of 64 channels each"
    with pytest.raises(AdapterError, match="is for sd15, by the width of its prompts, not for sd21"):
        adapter_from_gligen("one", text_box(SD1), "sd21")


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    tensors: dict[str, Tensor | None] = {**text_box(), **changes}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


SOME = torch.zeros(4, 9, 3, 3)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (lambda: changed(**{"position_net.person_embeddings": SOME}), "position net has person_embeddings.*text-box"),
        (lambda: changed(**{"position_net.linears.2.bias": None}), "position net lacks linears.2.bias"),
        (lambda: {k: v for k, v in text_box().items() if "position_net" not in k}, "position net lacks"),
        (lambda: changed(**{FIRST + "linear.weight": None}), "layer at input_blocks.1.1 lacks linear.weight"),
        (lambda: changed(**{FIRST + "alpha_attn": None}), "layer at input_blocks.1.1 lacks alpha_attn"),
        (
            lambda: {k: v for k, v in text_box().items() if not k.startswith("middle")},
            "16 gated layers.*middle_block.1",
        ),
        (lambda: changed(**{"downsample_net.conv.weight": SOME}), "holds downsample_net.conv.weight and 0 more"),
        (lambda: changed(**{"input_blocks.0.0.weight": SOME}), "9 channels, as for inpainting"),
        (lambda: changed(**{"position_net.null_position_feature": torch.zeros(32)}), "a box in 32 numbers, not 64"),
        (lambda: text_box(2048), "prompts of 2048 numbers"),
        (lambda: {"down_blocks.0.attentions.0.transformer_blocks.0.fuser.linear.bias": SOME}, "diffusers' names"),
    ],
)
def test_other_files_are_refused_in_words(tensors, said: str, tmp_path: Path):
    save_file(tensors(), tmp_path / "file.safetensors")
    with pytest.raises(AdapterError, match=said):
        read_adapter_or_gligen(tmp_path / "file.safetensors")


def test_a_tensor_of_another_size_is_refused():
    with pytest.raises(AdapterError, match="does not hold what its header describes: position_net.linears.2.weight"):
        build_gligen_adapter(
            adapter_from_gligen("odd", changed(**{"position_net.linears.2.weight": torch.zeros(4, 4)}))
        )


def test_adapter_files_and_foreign_ones_are_as_before(tmp_path: Path):
    path = tmp_path / "converted.safetensors"
    write_adapter(path, adapter_from_gligen("two", text_box(SD2), "sd21-base"), licence=None)
    assert read_adapter_or_gligen(path).config == read_adapter(path).config
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    for name, said in (("foreign", "not a scene-graph adapter"), ("none", "there is no file")):
        with pytest.raises(AdapterError, match=said):
            read_adapter_or_gligen(tmp_path / f"{name}.safetensors")
