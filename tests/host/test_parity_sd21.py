"""At the full size of Stable Diffusion 2.1: ComfyUI and diffusers say the same with the same weights and inputs."""

import subprocess
from pathlib import Path

import pytest
from comfyui_host import COMFYUI, REPOSITORY, comfyui_python

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="the standalone side needs the train extra")

from safetensors.torch import load_file  # noqa: E402

from sg_models.graph_formats import parse_scene_graph  # noqa: E402
from train.base_model import BaseModel  # noqa: E402
from train.conditioning import GROUNDED_PROMPT  # noqa: E402
from train.stable_diffusion_2 import load_checkpoint  # noqa: E402
from train.trained_adapter import load_variant  # noqa: E402

pytestmark = pytest.mark.slow
TOLERANCES = {"fp32": 1e-4, "bf16": 2e-2}
CASES = {  # by the names of `inside_comfyui_sd21.py`: which adapters take part
    "base": (),
    "gsa": ("gsa",),
    "controlnet": ("controlnet",),
    "both": ("gsa", "controlnet"),
    "lora": ("lora",),
}
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


@pytest.fixture(scope="module")
def base(sd21: Path) -> BaseModel:
    return load_checkpoint(sd21 / "sd21-base.safetensors", "epsilon").frozen()


def graph(said: dict):
    return parse_scene_graph(bytes(said["graph"].tolist()).decode())


def phrases(said: dict) -> list[str]:
    return bytes(said["phrases"].tolist()).decode().split("\n")


def test_phrase_vectors(base: BaseModel, said_by_comfyui: dict):
    ours = base.encode_phrases(phrases(said_by_comfyui))
    assert relative_error(said_by_comfyui["phrase_vectors"], ours) <= TOLERANCES["fp32"]


def test_prompts(base: BaseModel, said_by_comfyui: dict):
    positive_first = base.encode_prompts([GROUNDED_PROMPT, ""])
    assert relative_error(sorted_rows(said_by_comfyui, "base")["context"], positive_first) <= 2e-3, "bf16 at worst"


def test_grounding_tokens(base: BaseModel, sd21: Path, said_by_comfyui: dict):
    condition = load_variant(base, str(sd21 / "gsa.safetensors"))
    tokens = condition.adapter.tokens([graph(said_by_comfyui)], condition.encode([graph(said_by_comfyui)]))
    assert relative_error(said_by_comfyui["tokens"], tokens) <= TOLERANCES["fp32"]
    assert torch.equal(said_by_comfyui["null_tokens"], condition.adapter.null_tokens(1))
