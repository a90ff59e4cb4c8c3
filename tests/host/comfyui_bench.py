"""SG-Mini, adapters with random weights and the pack's nodes, inside ComfyUI's own interpreter.

Importing this starts ComfyUI's library with the paths that the command line gives: see `inside_comfyui.py`.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

COMFYUI, PACK, BASE_DIRECTORY, OUTPUT = (Path(argument) for argument in sys.argv[1:5])
SLOW = sys.argv[5:] == ["slow"]
sys.argv[1:] = ["--cpu", "--force-fp32", "--disable-api-nodes", "--base-directory", str(BASE_DIRECTORY)]
sys.path.insert(0, str(COMFYUI))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.conds  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402
from comfy.patcher_extension import WrappersMP  # noqa: E402

import nodes  # noqa: E402

STEPS = 4
CFG = 4.0
CHAIN = "small red circle | left of | large blue square\nlarge blue square | above | small green star"
OTHER = "large yellow cross | inside | large black circle"
WIDTHS = {
    "input_blocks.1.1": 64,
    "input_blocks.3.1": 128,
    "middle_block.1": 128,
    "output_blocks.0.1": 128,
    "output_blocks.1.1": 128,
    "output_blocks.2.1": 64,
    "output_blocks.3.1": 64,
}
CONFIG = {
    "phrase_dim": 128,
    "graph_dim": 32,
    "graph_hidden": 64,
    "graph_layers": 2,
    "box_layers": 2,
    "token_dim": 64,
    "token_hidden": 64,
    "tokens": 16,
    "position_frequencies": 4,
    "blocks": {address: {"width": width, "heads": width // 32} for address, width in WIDTHS.items()},
}

measurements: dict[str, Callable[["Bench"], Any]] = {}


def measurement(function: Callable[["Bench"], Any]) -> Callable[["Bench"], Any]:
    if not SLOW:
        measurements[function.__name__] = function
    return function


def slow_measurement(function: Callable[["Bench"], Any]) -> Callable[["Bench"], Any]:
    """Of a test that is marked slow: made when the command line asks for the slow ones."""
    if SLOW:
        measurements[function.__name__] = function
    return function


class Bench:
    """SG-Mini, three adapters and the nodes."""

    def __init__(self) -> None:
        checkpoint = folder_paths.get_full_path_or_raise("checkpoints", "sg_mini.safetensors")
        self.model, self.clip, self.vae = comfy.sd.load_checkpoint_guess_config(checkpoint)[:3]
        self.positive = self.prompt("an image")
        self.negative = self.prompt("")
        self.noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
        self.paths = {
            "untrained": write_adapter("untrained", seed=1, gate=0.0),
            "loud": write_adapter("loud", seed=2, gate=1.0),
            "other": write_adapter("other", seed=3, gate=1.0),
        }
        self.adapters = {name: self.load(path) for name, path in self.paths.items()}
        self.tensors: dict[str, torch.Tensor] = {}

    def prompt(self, text: str) -> list:
        return nodes.CLIPTextEncode().encode(self.clip, text)[0]

    def load(self, path: Path) -> Any:
        return run("SGAdapterLoader", adapter_name=path.name)[0]

    def embeds(self, adapter: str = "loud", graph: str = CHAIN) -> Any:
        return run("GraphEncoder", scene_graph=parse(graph), clip=self.clip, adapter=self.adapters[adapter])[0]

    def tokens(self, adapter: str = "loud", graph: str = CHAIN) -> tuple[torch.Tensor, torch.Tensor]:
        """A graph's tokens, and those for "no graph"."""
        return grounding_tokens(self.adapters[adapter], self.embeds(adapter, graph))

    def apply(self, adapter_name: str = "loud", graph: str = CHAIN, **changes: Any) -> tuple:
        arguments = {
            "model": self.model,
            "adapter": self.adapters[adapter_name],
            "embeds": changes.pop("embeds", None) or self.embeds(adapter_name, graph),
            "positive": self.positive,
            "negative": self.negative,
            "strength": 1.0,
            "start": 0.0,
            "end": 1.0,
        }
        return run("GatedSelfAttentionPatch", **{**arguments, **changes})

    def sample(
        self, model, positive, negative, *, noise=None, cfg=CFG, steps=STEPS, latent=None, **more: Any
    ) -> torch.Tensor:
        """Latents of a run; `more` goes to ComfyUI's sampler (denoise, noise_mask, callback, …)."""
        noise = self.noise[:1] if noise is None else noise
        return comfy.sample.sample(
            model,
            noise,
            steps,
            cfg,
            "ddim",
            "simple",
            positive,
            negative,
            torch.zeros_like(noise) if latent is None else latent,
            disable_pbar=True,
            seed=1,
            **more,
        )

    def base(self, **options: Any) -> torch.Tensor:
        return self.sample(self.model, self.positive, self.negative, **options)


def run(node: str, **inputs: Any) -> tuple:
    """A node's outputs."""
    return nodes.NODE_CLASS_MAPPINGS[node].execute(**inputs).args


def pack(module: str) -> Any:
    """A module of the pack, under the name that ComfyUI gave it."""
    return import_module(f"{str(PACK).replace('.', '_x_')}.{module}")


def grounding_tokens(adapter: Any, embeds: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return pack("nodes.gated_attention_nodes").grounding_tokens(adapter, embeds)


def attached(model: Any, conditioning: list, tokens: torch.Tensor) -> list:
    """A conditioning that carries tokens for the gated self-attention of a patched model."""
    patch = model.model_options["transformer_options"]["patches"]["middle_patch"][0]
    return patch.attach(conditioning, comfy.conds.CONDRegular(tokens))


def parse(text: str) -> Any:
    return pack("sg_models.graph.formats").parse_scene_graph(text)


def write_adapter(name: str, *, seed: int, gate: float, **changes: Any) -> Path:
    """An adapter for SG-Mini with random weights, and gates of one value."""
    torch.manual_seed(seed)
    module = pack("sg_models.adapters.gsa_adapter").GSAAdapter(CONFIG)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    for key in state:
        if "alpha_" in key:
            state[key].fill_(gate)
    return write_file(name, "gsa", CONFIG, state, **changes)


def write_file(name: str, kind: str, config: dict[str, Any], state: dict[str, torch.Tensor], **changes: Any) -> Path:
    """An adapter file where the loader finds it."""
    header = {
        "kind": kind,
        "base": "sg-mini",
        "prediction_type": "epsilon",
        "phrase_encoder": "clip",
        "config": config,
        "dataset": "none",
        "steps": 0,
        "state_dict": state,
    }
    path = BASE_DIRECTORY / "models" / "scene_graph" / f"{name}.safetensors"
    library = pack("sg_models.adapters.adapter")
    library.write_adapter(path, library.Adapter(**{**header, **changes}))
    return path


class Spy:
    """Records every UNet call of a model: its batch, and the tokens that came with it."""

    def __init__(self, model: Any) -> None:
        self.model = model.clone()
        self.batches: list[int] = []
        self.tokens: list[torch.Tensor] = []
        wrappers = self.model.wrappers.get(WrappersMP.DIFFUSION_MODEL, {})
        self.model.wrappers[WrappersMP.DIFFUSION_MODEL] = {"spy": [self], **wrappers}  # outermost

    def __call__(self, executor, x, *args, **kwargs):
        self.batches.append(len(x))
        self.tokens += [value for name, value in kwargs.items() if name.startswith("scene_graph_tokens")]
        return executor(x, *args, **kwargs)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


def error_of(action: Callable[[], Any]) -> str:
    """The words of the error that an action ends with."""
    try:
        action()
    except Exception as error:
        return str(error)
    return "no error"
