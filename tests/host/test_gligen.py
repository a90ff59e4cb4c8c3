"""GLIGEN's weights in the real ComfyUI: as diffusers has them, and as core's own GLIGEN does where it is right.

Stable Diffusion 1.x and 2.x in their exact layouts, with few channels and random weights.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from comfyui_host import COMFYUI, REPOSITORY, comfyui_python
from gligen_cases import BASES, END, GRAPH, STEPS, TEXT_LAYERS

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="the standalone side needs the train extra")

from diffusers import UNet2DConditionModel  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from small_stable_diffusion import write_small_stable_diffusion  # noqa: E402

from sg_models.graph.formats import parse_scene_graph  # noqa: E402
from train.bases.ldm_names import ldm_name  # noqa: E402
from train.bases.load import load_base  # noqa: E402
from train.conditioning.grounded_unet import token_arguments  # noqa: E402
from train.conditioning.trained_adapter import load_variant  # noqa: E402
from train.convert_igligen import Config, gligen_tensors, main  # noqa: E402

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A diffusers folder of each base."""
    return {name: write_small_stable_diffusion(tmp_path_factory.mktemp(name), name) for name in BASES}


@pytest.fixture(scope="module")
def directory(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI base directory with GLIGEN's weights where users have them."""
    base = tmp_path_factory.mktemp("comfyui-gligen")
    for folder in ("gligen", "scene_graph"):
        (base / "models" / folder).mkdir(parents=True)
    for name, (_, _, file) in BASES.items():
        unet = UNet2DConditionModel.from_pretrained(folders[name] / "unet")
        save_file(gligen_tensors(unet), base / "models" / "gligen" / f"{file}.safetensors")
        out = base / "models" / "scene_graph" / f"gligen-{name}.safetensors"
        main(Config(str(folders[name]), out=out, half=False))
    return base


def checkpoint(folder: Path, name: str) -> dict[str, "torch.Tensor"]:
    """A base's UNet under LDM's names and its text model under ComfyUI's, with the layer that 2.x leaves out."""
    base = load_base(str(folder))
    found = {f"unet.{ldm_name(base.unet, key)}": tensor for key, tensor in base.unet.state_dict().items()}
    for key, tensor in base.text_encoder.state_dict().items():
        found[f"text.text_model.{key.removeprefix('text_model.')}"] = tensor
    if name != "sd15":
        torch.manual_seed(2)
        before, after = f"layers.{TEXT_LAYERS - 2}.", f"layers.{TEXT_LAYERS - 1}."
        found |= {k.replace(before, after): torch.randn_like(v) / 8 for k, v in found.items() if before in k}
    return {key: tensor.clone() for key, tensor in found.items()}


@pytest.fixture(scope="module")
def output(folders: dict[str, Path], directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("measured-gligen")
    for name in BASES:
        save_file(checkpoint(folders[name], name), place / f"{name}.safetensors")
    script = Path(__file__).with_name("inside_comfyui_gligen.py")
    command = [comfyui_python(), script, COMFYUI, REPOSITORY, directory, place]
    done = subprocess.run([str(part) for part in command], cwd=COMFYUI, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return place


@pytest.fixture(scope="module")
def results(output: Path) -> dict[str, Any]:
    return json.loads((output / "results.json").read_text())


@pytest.fixture(params=BASES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@torch.no_grad()
def test_comfyui_computes_what_the_scripts_do(name: str, folders: dict[str, Path], directory: Path, output: Path):
    """Tokens, nulls, and what the UNet says of the same latents; the scripts agree with diffusers' own GLIGEN."""
    said = {k.removeprefix(f"{name}."): v for k, v in load_file(output / "tensors.safetensors").items() if name in k}
    base = load_base(str(folders[name])).freeze()
    condition = load_variant(base, str(directory / "models" / "scene_graph" / f"gligen-{name}.safetensors"))
    graph = parse_scene_graph(GRAPH)
    conditions, adapter = condition([graph]), condition.adapter
    both = torch.cat([conditions.positive, conditions.negative])
    tokens = torch.cat([adapter.tokens([graph], condition.encode([graph])), adapter.null_tokens(1)])
    if (said["context"][0] - both[0]).abs().max() > (said["context"][0] - both[1]).abs().max():
        both, tokens = both.flip(0), tokens.flip(0)  # ComfyUI chooses which half comes first
    torch.testing.assert_close(said["context"], both, atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(said["tokens"], tokens, atol=TOLERANCE, rtol=TOLERANCE)
    arguments = token_arguments(tokens, said["x"], masked=False)
    ours = base.predict(said["x"], said["timesteps"], said["context"], **arguments)
    assert (said["out"] - ours).abs().max() <= TOLERANCE
    assert (ours - base.predict(said["x"], said["timesteps"], said["context"])).abs().max() > 0.01


def test_core_agrees_on_1_x(results: dict[str, Any]):
    assert results["sd15"]["from_core"] <= TOLERANCE < results["sd15"]["from_base"] / 100


def test_on_2_x_core_takes_another_text_feature_and_nothing_else_differs(results: dict[str, Any]):
    """The last layer's, which the weights never saw: they were trained on the one that the UNet is conditioned on."""
    found = results["sd21-base"]
    assert found["from_core"] > 10 * TOLERANCE
    assert found["from_core_with_our_feature"] <= TOLERANCE


def test_one_unet_call_a_step_where_core_needs_two(results: dict[str, Any], name: str):
    assert results[name]["calls"] == [2] * STEPS
    assert results[name]["core_calls"] == [1] * 2 * STEPS


def test_after_the_end_no_layer_runs(results: dict[str, Any], name: str):
    assert results[name]["until_end"] == [2] * round(END * STEPS)


def test_files_are_offered_and_loaded_where_users_have_them(results: dict[str, Any]):
    assert {"textbox-1.safetensors", "textbox-2.safetensors", "gligen-sd21-base.safetensors"} <= set(results["offered"])
    assert results["sd15"]["loaded"] == ["gligen", "sd15"]
    assert results["sd21-base"]["loaded"] == ["gligen", "sd21-base"]


def test_options_do_something(results: dict[str, Any], name: str):
    assert results[name]["masks"] > 1e-3
    assert results[name]["negative_left_alone"] > 1e-3
    assert results[name]["half"] < 0.2
    assert results[name]["seed_places_nothing"] == 0.0


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("small_box", "the box of \"red dot\" covers 1.6 × 6.4 cells of 16 × 16"),
        ("no_box", "connect Arrange Scene Graph"),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_be_drawn_is_refused_in_words(results: dict[str, Any], name: str, case: str, said: str):
    assert said in results[name][case]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("which_2_x", "does not say whether it is for sd21-base or sd21"),
        ("other_clip", "is not the one of SD 1.x"),
        ("other_base", "was trained on SD 1.x (epsilon); the loaded model is SD 2.1-base 512"),
    ],
)
def test_a_wrong_pairing_is_refused_in_words(results: dict[str, Any], case: str, said: str):
    assert said in results["errors"][case]
