"""At the full size of Stable Diffusion 2.1: ComfyUI and diffusers say the same with the same weights and inputs."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from comfyui_host import COMFYUI, REPOSITORY, comfyui_python
from sd21_cases import CASES, GRAPH, PHRASES, SIDE

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="the standalone side needs the train extra")

from safetensors.torch import load_file  # noqa: E402
from torch.utils._pytree import tree_map_only  # noqa: E402

from sg_models.graph.formats import parse_scene_graph  # noqa: E402
from sg_models.layers.gated_attention import Grounding, visual_size  # noqa: E402
from train.bases.base_model import BaseModel  # noqa: E402
from train.bases.stable_diffusion_2 import load_checkpoint  # noqa: E402
from train.conditioning.conditioners import GRAPH_PROMPT  # noqa: E402
from train.conditioning.lora import load_lora  # noqa: E402
from train.conditioning.trained_adapter import load_variant  # noqa: E402

pytestmark = pytest.mark.slow
TOLERANCES = {"fp32": 1e-4, "bf16": 2e-2}
BLOCKS = 16
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def relative_error(found: "torch.Tensor", expected: "torch.Tensor") -> float:
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


@pytest.fixture(scope="module")
def comfyui_directory(sd21: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI base directory with the random full-size weights."""
    base = tmp_path_factory.mktemp("comfyui-sd21")
    for folder, pattern in (("checkpoints", "sd21*"), ("scene_graph", "[gc]*"), ("loras", "lora*")):
        place = base / "models" / folder
        place.mkdir(parents=True)
        for file in sd21.glob(f"{pattern}.safetensors"):
            (place / file.name).symlink_to(file)
    return base


@pytest.fixture(scope="module", params=TOLERANCES)
def precision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def said_by_comfyui(precision: str, comfyui_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What went into ComfyUI's UNet and what came out of it, by case."""
    output = tmp_path_factory.mktemp("measured-sd21")
    script = Path(__file__).with_name("inside_comfyui_sd21.py")
    command = [comfyui_python(), script, COMFYUI, REPOSITORY, comfyui_directory, output, precision]
    done = subprocess.run([str(part) for part in command], cwd=COMFYUI, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return load_file(output / f"tensors-{precision}.safetensors")


@pytest.fixture
def base(sd21: Path) -> BaseModel:
    return load_checkpoint(sd21 / "sd21-base.safetensors", "epsilon").freeze()


def positive_first(base: BaseModel, said: dict, case: str) -> dict:
    """A case's tensors by name, the row of the positive prompt first."""
    found = {name: said[f"{case}.{name}"] for name in ("x", "timesteps", "context", "out")}
    positive = base.encode_prompts([GRAPH_PROMPT])
    order = (found["context"] - positive).flatten(1).norm(dim=1).argsort()
    assert len(order) == 2
    return {name: tensor[order] for name, tensor in found.items()}


def test_phrase_vectors(base: BaseModel, said_by_comfyui: dict):
    assert relative_error(said_by_comfyui["phrases"], base.encode_phrases(list(PHRASES))) <= TOLERANCES["fp32"]


def test_grounding_tokens_and_control_map(base: BaseModel, sd21: Path, said_by_comfyui: dict):
    graph = parse_scene_graph(GRAPH)
    gsa, controlnet = (load_variant(base, str(sd21 / f"{name}.safetensors")) for name in ("gsa", "controlnet"))
    tokens = gsa.adapter.tokens([graph], gsa.encode([graph]))
    assert relative_error(said_by_comfyui["tokens"], tokens) <= TOLERANCES["fp32"]
    side = said_by_comfyui["control"].shape[-2:]
    control = controlnet.adapter.layouts([graph], controlnet.encode([graph]), side).control
    assert relative_error(said_by_comfyui["control"], control) <= TOLERANCES["fp32"]


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_the_unets_say_the_same(base: BaseModel, sd21: Path, said_by_comfyui: dict, precision: str, case: str):
    rows, dtype = positive_first(base, said_by_comfyui, case), DTYPES[precision]
    x, context = rows["x"].to(dtype), rows["context"].to(dtype)
    arguments: dict[str, Any] = {}
    if "lora" in CASES[case]:
        load_lora(base.unet, sd21 / "lora.safetensors")
    for name in CASES[case]:
        if name != "lora":
            condition = load_variant(base, str(sd21 / f"{name}.safetensors"))
            conditions = condition([parse_scene_graph(GRAPH)])
            for part in (getattr(condition, "controlnet", None), condition.adapter):
                if part is not None:
                    part.to(dtype)
            given = conditions.unet_arguments(x, rows["timesteps"][0], context)
            arguments |= tree_map_only(torch.Tensor, lambda tensor: tensor.to(dtype), given)
    base.unet.to(dtype)
    ours = base.predict(x, rows["timesteps"], context, **arguments)
    assert relative_error(rows["out"], ours) <= TOLERANCES[precision]


@torch.no_grad()
def test_every_block_makes_the_same_of_the_same(base: BaseModel, sd21: Path, said_by_comfyui: dict, precision: str):
    blocks = load_variant(base, str(sd21 / "gsa.safetensors")).adapter.gated_attention.to(DTYPES[precision])
    tokens = torch.cat([said_by_comfyui["null_tokens"], said_by_comfyui["tokens"]]).to(DTYPES[precision])
    rows = said_by_comfyui["gsa.context"]
    if (rows[0] - base.encode_prompts([GRAPH_PROMPT])).norm() < (rows[1] - base.encode_prompts([GRAPH_PROMPT])).norm():
        tokens = tokens.flip(0)
    assert len(blocks.addresses) == BLOCKS
    for address in blocks.addresses:
        before, after = (said_by_comfyui[f"block.{address}.{end}"].to(DTYPES[precision]) for end in ("in", "out"))
        ours = blocks.block(address)(before, Grounding(tokens), visual_size(before.shape[1], (SIDE // 8, SIDE // 8)))
        assert relative_error(after, ours) <= TOLERANCES[precision], address
        # what a layer adds bears the rounding of the sum, which is larger
        assert relative_error(after - before, ours - before) <= 5 * TOLERANCES[precision], address
