"""Runs inside ComfyUI's own interpreter: measures what the nodes do to sampling, and writes it down for the tests.

    python inside_comfyui.py <ComfyUI> <pack> <base directory> <output directory>

Each function marked `measurement` returns what becomes one entry of `results.json`; tensors go to
`tensors.safetensors`. One process measures everything, because starting it is what takes time.
"""

import asyncio
import dataclasses
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

COMFYUI, PACK, BASE_DIRECTORY, OUTPUT = (Path(argument) for argument in sys.argv[1:5])
sys.argv[1:] = ["--cpu", "--force-fp32", "--disable-api-nodes", "--base-directory", str(BASE_DIRECTORY)]
sys.path.insert(0, str(COMFYUI))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.model_sampling  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402
from comfy.patcher_extension import WrappersMP  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import nodes  # noqa: E402

STEPS = 4
PARITY_STEPS = 25
CFG = 4.0
CHAIN = "small red circle | left of | large blue square\nlarge blue square | above | small green star"
OTHER = "large yellow cross | inside | large black circle"
PHRASES = ("small red circle", "left of", "a (weighted:1.5) dog", "embedding:cat", r"a \(bracket\)", "dog " * 90)
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

    def sample(self, model, positive, negative, *, noise=None, cfg=CFG, steps=STEPS) -> torch.Tensor:
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
            torch.zeros_like(noise),
            disable_pbar=True,
            seed=1,
        )

    def base(self, **options: Any) -> torch.Tensor:
        return self.sample(self.model, self.positive, self.negative, **options)


def run(node: str, **inputs: Any) -> tuple:
    """A node's outputs."""
    return nodes.NODE_CLASS_MAPPINGS[node].execute(**inputs).args


def pack(module: str) -> Any:
    """A module of the pack, under the name that ComfyUI gave it."""
    return sys.modules[f"{str(PACK).replace('.', '_x_')}.{module}"]


def parse(text: str) -> Any:
    return pack("sg_models.graph_formats").parse_scene_graph(text)


def write_adapter(name: str, *, seed: int, gate: float, **changes: Any) -> Path:
    """An adapter for SG-Mini with random weights, and gates of one value."""
    from importlib import import_module

    root = str(PACK).replace(".", "_x_")
    library = import_module(f"{root}.sg_models.adapter")
    torch.manual_seed(seed)
    module = import_module(f"{root}.sg_models.gsa_adapter").GSAAdapter(CONFIG)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    for key in state:
        if "alpha_" in key:
            state[key].fill_(gate)
    header = {
        "kind": "gsa",
        "base": "sg-mini",
        "prediction_type": "epsilon",
        "phrase_encoder": "clip",
        "config": CONFIG,
        "dataset": "none",
        "steps": 0,
        "state_dict": state,
    }
    path = BASE_DIRECTORY / "models" / "scene_graph" / f"{name}.safetensors"
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


@measurement
def untrained_adapter(bench: Bench) -> dict:
    """An adapter before training leaves every latent bit for bit."""
    return {"difference": difference(bench.sample(*bench.apply("untrained")), bench.base())}


@measurement
def graph_matters(bench: Bench) -> dict:
    """With open gates the graph changes the latents, another graph changes them otherwise, and twice is the same."""
    first, again = bench.sample(*bench.apply()), bench.sample(*bench.apply())
    return {
        "from_base": difference(first, bench.base()),
        "between_graphs": difference(first, bench.sample(*bench.apply(graph=OTHER))),
        "again": difference(first, again),
    }


@measurement
def unet_calls(bench: Bench) -> dict:
    """Positive and negative in one call per step; the negative has the nulls."""
    embeds = bench.embeds()
    model, positive, negative = bench.apply(embeds=embeds)
    spy = Spy(model)
    bench.sample(spy.model, positive, negative)
    rows = spy.tokens[0]
    kinds = [
        "null" if torch.equal(row, embeds.null_tokens[0]) else "graph" if torch.equal(row, embeds.tokens[0]) else "?"
        for row in rows
    ]
    return {"batches": spy.batches, "rows": sorted(kinds), "valid": embeds.tokens[0, :, -1].sum().item()}


@measurement
def zeroed_negative(bench: Bench) -> dict:
    """ConditioningZeroOut copies a positive's extras: the negative gets the nulls all the same."""
    embeds = bench.embeds()
    zeroed = nodes.ConditioningZeroOut().zero_out(bench.positive)[0]
    model, positive, negative = bench.apply(embeds=embeds, negative=zeroed)
    spy = Spy(model)
    bench.sample(spy.model, positive, negative)
    nulls = sum(torch.equal(row, embeds.null_tokens[0]) for row in spy.tokens[0])
    return {"batches": spy.batches, "nulls": nulls}


@measurement
def guidance_off(bench: Bench) -> dict:
    """At cfg 1 ComfyUI leaves the negative out."""
    model, positive, negative = bench.apply()
    spy = Spy(model)
    latents = bench.sample(spy.model, positive, negative, cfg=1.0)
    return {"batches": spy.batches, "finite": bool(latents.isfinite().all())}


@measurement
def strength_zero(bench: Bench) -> dict:
    """Strength 0 and an empty schedule hand everything through."""
    same = {}
    for name, changes in (("strength", {"strength": 0.0}), ("schedule", {"start": 0.5, "end": 0.5})):
        model, positive, negative = bench.apply(**changes)
        same[name] = model is bench.model and positive is bench.positive and negative is bench.negative
    return same


@measurement
def schedule(bench: Bench) -> dict:
    """How often one block runs in STEPS steps, by schedule."""
    blocks = bench.adapters["loud"].patcher.model.gated_attention
    runs = {}
    for start, end in ((0.0, 1.0), (0.0, 0.5), (0.5, 1.0), (0.0, 0.001)):
        count = []
        handle = blocks.block("middle_block.1").register_forward_hook(lambda *_, count=count: count.append(1))
        bench.sample(*bench.apply(start=start, end=end))
        handle.remove()
        runs[f"{start}-{end}"] = len(count)
    return runs


@measurement
def stacked(bench: Bench) -> dict:
    """Two adapters: each keeps its own tokens."""
    loud = bench.apply("loud")
    model, positive, negative = loud

    def on_top(name: str, graph: str = CHAIN) -> torch.Tensor:
        return bench.sample(*bench.apply(name, graph, model=model, positive=positive, negative=negative))

    alone = bench.sample(*loud)
    both = on_top("other")
    return {
        "untrained_on_top": difference(on_top("untrained"), alone),
        "other_on_top": difference(both, alone),
        "other_alone": difference(both, bench.sample(*bench.apply("other"))),
        "same_adapter_twice": difference(on_top("loud", OTHER), alone),
    }


@measurement
def batch(bench: Bench) -> dict:
    """A batch of two is the two pictures of batches of one."""
    arguments = bench.apply()
    together = bench.sample(*arguments, noise=bench.noise)
    apart = torch.cat([bench.sample(*arguments, noise=one[None]) for one in bench.noise])
    return {"difference": difference(together, apart)}


@measurement
def areas(bench: Bench) -> dict:
    """Two areas, two graphs, one model."""
    embeds = bench.embeds(graph=OTHER)
    model, left, negative = bench.apply()
    patch = model.model_options["transformer_options"]["patches"]["middle_patch"][0]
    right = patch.attach(bench.positive, embeds.tokens)
    left = nodes.ConditioningSetArea().append(left, 64, 128, 0, 0, 1.0)[0]
    right = nodes.ConditioningSetArea().append(right, 64, 128, 64, 0, 1.0)[0]
    latents = bench.sample(model, left + right, negative)
    return {
        "finite": bool(latents.isfinite().all()),
        "from_one_graph": difference(latents, bench.sample(*bench.apply())),
    }


@measurement
def padding(bench: Bench) -> dict:
    """What stands in tokens that are marked as padding changes nothing."""
    embeds = bench.embeds()
    other = embeds.tokens.clone()
    other[..., : -pack("sg_models.gated_attention").TOKEN_EXTRAS] += 5.0 * (1.0 - other[..., -1:])
    changed = dataclasses.replace(embeds, tokens=other)
    return {
        "padded": int((1.0 - other[..., -1]).sum()),
        "difference": difference(bench.sample(*bench.apply(embeds=changed)), bench.sample(*bench.apply())),
    }


@measurement
def inputs_stay(bench: Bench) -> dict:
    """Applying changes neither the model nor the conditionings that came in."""
    keys = [set(extras) for _, extras in bench.positive + bench.negative]
    bench.apply()
    return {
        "model": "patches" not in bench.model.model_options["transformer_options"]
        and not any(bench.model.wrappers.values()),
        "conditionings": keys == [set(extras) for _, extras in bench.positive + bench.negative],
    }


@measurement
def half_precision(bench: Bench) -> dict:
    """UNets in bfloat16 and float16 run, close to float32."""
    exact = bench.sample(*bench.apply())
    results = {}
    for dtype in (torch.bfloat16, torch.float16):
        model = bench.model.clone()
        model.set_model_compute_dtype(dtype)
        patched, positive, negative = bench.apply(model=model)
        spy = Spy(patched)
        latents = bench.sample(spy.model, positive, negative)
        results[str(spy.tokens[0].dtype)] = difference(latents, exact) / exact.abs().max().item()
    return results


@measurement
def weights_are_managed(bench: Bench) -> dict:
    """ComfyUI sees the adapter's weights as part of the patched model."""
    model = bench.apply()[0]
    return {"models": sum(m is bench.adapters["loud"].patcher for m in model.model_patches_models())}


@measurement
def phrases(bench: Bench) -> dict:
    """Phrase vectors for the parity test, and how often CLIP ran for a graph that repeats a phrase."""
    vectors = pack("nodes.phrase_vectors").clip_vectors(bench.clip, PHRASES)
    for number, vector in enumerate(vectors):
        bench.tensors[f"phrase.{number}"] = vector
    skipped = bench.clip.clone()
    skipped.clip_layer(-3)
    again = pack("nodes.phrase_vectors").clip_vectors(skipped, PHRASES[:1])
    calls: list[int] = []
    text_model = bench.clip.cond_stage_model
    encode = text_model.encode_token_weights
    text_model.encode_token_weights = lambda tokens: calls.append(len(tokens["mini"])) or encode(tokens)
    bench.embeds(graph="dog | near | dog#2\ndog | near | cat")
    text_model.encode_token_weights = encode
    return {"texts": PHRASES, "calls": calls, "clip_skip": difference(again, vectors[:1])}


@measurement
def grounding_tokens(bench: Bench) -> dict:
    """Tokens and nulls of the loud adapter, for comparison with the library alone."""
    embeds = bench.embeds()
    bench.tensors["tokens"] = embeds.tokens
    bench.tensors["null_tokens"] = embeds.null_tokens
    return {"graph": CHAIN, "adapter": str(bench.paths["loud"])}


@measurement
def parity(bench: Bench) -> dict:
    """Latents of whole runs, for comparison with the standalone sampler: without adapter, with each shipped one."""
    adapters = sorted((PACK / "models" / "scene_graph").glob("*.safetensors"))
    bench.tensors["noise"] = bench.noise
    bench.tensors["parity.base"] = bench.base(noise=bench.noise, steps=PARITY_STEPS)
    for path in adapters:
        adapter = bench.load(path)
        embeds = run("GraphEncoder", scene_graph=parse(CHAIN), clip=bench.clip, adapter=adapter)[0]
        arguments = bench.apply(adapter=adapter, embeds=embeds)
        bench.tensors[f"parity.{path}"] = bench.sample(*arguments, noise=bench.noise, steps=PARITY_STEPS)
    return {"steps": PARITY_STEPS, "guidance": CFG, "graph": CHAIN}


def fake_model(config: Any, prediction: type) -> Any:
    """As much of a loaded model as is asked when a base is told from another."""
    fields = {"model": SimpleNamespace(model_config=config), "get_model_object": lambda name: prediction()}
    return SimpleNamespace(**fields)


@measurement
def bases(bench: Bench) -> dict:
    """What this project calls the models that ComfyUI loads."""
    name = pack("nodes.gated_attention_nodes").base_and_prediction
    sd2 = comfy.supported_models.SD20({"context_dim": 1024})
    return {
        "sg-mini": name(bench.model, "sd21"),
        "sd21-base": name(fake_model(sd2, comfy.model_sampling.EPS), "sd21"),
        "sd21": name(fake_model(sd2, comfy.model_sampling.V_PREDICTION), "sd21"),
    }


@measurement
def errors(bench: Bench) -> dict:
    """What a user reads."""
    sd21 = write_adapter("for-sd21", seed=1, gate=0.0, base="sd21-base")
    broken = BASE_DIRECTORY / "models" / "scene_graph" / "broken.safetensors"
    broken.write_bytes(bench.paths["loud"].read_bytes()[:1000])
    foreign = BASE_DIRECTORY / "models" / "scene_graph" / "foreign.safetensors"
    save_file({"weight": torch.zeros(1)}, foreign)
    crowd = "\n".join(f"dog#{n}" for n in range(1, 19))
    sd15 = fake_model(comfy.supported_models.SD15({"context_dim": 768}), comfy.model_sampling.EPS)
    narrow = write_adapter("narrow", seed=1, gate=0.0)
    narrow_adapter = bench.load(narrow)
    narrow_adapter.file.config["phrase_dim"] = 1024
    graph = parse(CHAIN)
    patched = bench.apply()[0]
    sd21_adapter = bench.load(sd21)
    sd21_embeds = dataclasses.replace(bench.embeds(), made_by=sd21_adapter.identity)
    return {
        "no_clip": error_of(lambda: run("GraphEncoder", scene_graph=graph, clip=None, adapter=bench.adapters["loud"])),
        "wrong_clip": error_of(lambda: run("GraphEncoder", scene_graph=graph, clip=bench.clip, adapter=narrow_adapter)),
        "too_many": error_of(lambda: bench.embeds(graph=crowd)),
        "missing": error_of(lambda: run("SGAdapterLoader", adapter_name="nowhere.safetensors")),
        "broken": error_of(lambda: bench.load(broken)),
        "foreign": error_of(lambda: bench.load(foreign)),
        "other_base": error_of(lambda: bench.apply(embeds=sd21_embeds, adapter=sd21_adapter)),
        "other_family": error_of(lambda: bench.apply(model=sd15)),
        "other_adapter": error_of(lambda: bench.apply(embeds=bench.embeds("other"))),
        "unconnected": error_of(lambda: bench.sample(patched, bench.positive, bench.negative)),
    }


def main() -> None:
    asyncio.run(nodes.load_custom_node(str(PACK)))
    results: dict[str, Any] = {}
    with torch.inference_mode():
        bench = Bench()
        for name, function in measurements.items():
            started = time.perf_counter()
            try:
                results[name] = function(bench)
            except Exception:  # whatever it is, the test that asks for this measurement fails with it
                results[name] = {"failed": traceback.format_exc()}
            print(f"{name}: {time.perf_counter() - started:.1f} s", flush=True)
    save_file({name: tensor.contiguous() for name, tensor in bench.tensors.items()}, OUTPUT / "tensors.safetensors")
    (OUTPUT / "results.json").write_text(json.dumps(results, indent=1))


main()
