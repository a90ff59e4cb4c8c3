"""Runs inside ComfyUI's own interpreter: measures what the nodes do to sampling, and writes it down for the tests.

    python inside_comfyui.py <ComfyUI> <pack> <base directory> <output directory> [slow]

Each function marked `measurement`, here and in the modules of measurements beside this one, returns what becomes
one entry of `results.json`; tensors go to `tensors.safetensors`. One process measures all, because starting it is
what takes time.
"""

import asyncio
import dataclasses
import json
import time
import traceback
from types import SimpleNamespace
from typing import Any

# isort: split
from comfyui_bench import (
    BASE_DIRECTORY,
    CHAIN,
    OTHER,
    OUTPUT,
    PACK,
    Bench,
    Spy,
    attached,
    difference,
    error_of,
    measurement,
    measurements,
    pack,
    parse,
    run,
    write_adapter,
)

# isort: split
import arrange_measurements  # noqa: F401 (these register their measurements)
import comfy.supported_models
import composition_measurements  # noqa: F401
import graph_conditioning_measurements  # noqa: F401
import guidance_measurements  # noqa: F401
import regional_measurements  # noqa: F401
import torch
import variant_measurements  # noqa: F401
import verification_measurements  # noqa: F401
from comfy.model_base import ModelType
from comfy_extras.nodes_model_advanced import ModelSamplingContinuousEDM, ModelSamplingDiscrete
from safetensors.torch import save_file

import nodes

PHRASES = ("small red circle", "left of", "a (weighted:1.5) dog", "embedding:cat", r"a \(bracket\)", "dog " * 90)


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
    model, positive, negative = bench.apply()
    spy = Spy(model)
    bench.sample(spy.model, positive, negative)
    tokens, nulls = bench.tokens()
    kinds = [
        "null" if torch.equal(row, nulls[0]) else "graph" if torch.equal(row, tokens[0]) else "?"
        for row in spy.tokens[0]
    ]
    return {"batches": spy.batches, "rows": sorted(kinds), "valid": tokens[0, :, -1].sum().item()}


@measurement
def attention_kernels(bench: Bench) -> dict:
    """Which kernels a run takes, with a mask and without, as a pack sees them that overrides attention."""
    model, positive, negative = bench.apply()
    model = model.clone()
    seen: dict[bool, set[str]] = {True: set(), False: set()}

    def override(kernel: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen[kwargs.get("mask") is not None].add(kernel.__name__)
        return kernel(*args, **kwargs)

    model.model_options["transformer_options"]["optimized_attention_override"] = override
    bench.sample(model, positive, negative)
    return {"masked": sorted(seen[True]), "plain": sorted(seen[False])}


@measurement
def negative_left_alone(bench: Bench) -> dict:
    """Without `on_negative` the negative's half skips the layers, in the same UNet call, and is the base's own."""
    rows: list[int] = []
    blocks = bench.adapters["loud"].patcher.model.gated_attention
    attention = blocks.block("middle_block.1").attn
    handle = attention.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    model, positive, negative = bench.apply(on_negative=False)
    spy = Spy(model)
    latents = bench.sample(spy.model, positive, negative)
    handle.remove()
    return {
        "batches": spy.batches,
        "rows": rows,
        "without_guidance": difference(bench.sample(model, positive, negative, cfg=0.0), bench.base(cfg=0.0)),
        "from_nulls": difference(latents, bench.sample(*bench.apply())),
    }


@measurement
def zeroed_negative(bench: Bench) -> dict:
    """ConditioningZeroOut copies a positive's extras: the negative gets the nulls all the same."""
    zeroed = nodes.ConditioningZeroOut().zero_out(bench.positive)[0]
    model, positive, negative = bench.apply(negative=zeroed)
    spy = Spy(model)
    bench.sample(spy.model, positive, negative)
    _, nulls = bench.tokens()
    return {"batches": spy.batches, "nulls": sum(torch.equal(row, nulls[0]) for row in spy.tokens[0])}


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
    model, left, negative = bench.apply()
    right = attached(model, bench.positive, bench.tokens(graph=OTHER)[0])
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
    other, _ = bench.tokens()
    other[..., : -pack("sg_models.layers.gated_attention").TOKEN_EXTRAS] += 5.0 * (1.0 - other[..., -1:])
    model, positive, negative = bench.apply()
    changed = attached(model, positive, other)
    return {
        "padded": int((1.0 - other[..., -1]).sum()),
        "difference": difference(bench.sample(model, changed, negative), bench.sample(model, positive, negative)),
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
    bench.tensors["tokens"], bench.tensors["null_tokens"] = bench.tokens()
    return {"graph": CHAIN, "adapter": str(bench.paths["loud"])}


def fake_model(config: Any, model_type: ModelType) -> Any:
    """As much of a loaded model as is asked when a base is told from another."""
    return SimpleNamespace(model=SimpleNamespace(model_config=config, model_type=model_type), object_patches={})


@measurement
def bases(bench: Bench) -> dict:
    """What this project calls the models that ComfyUI loads, and those that ModelSamplingDiscrete sets right."""
    tell = pack("nodes.loaded_base").base_and_prediction
    sd1 = comfy.supported_models.SD15({"context_dim": 768})
    sd2 = comfy.supported_models.SD20({"context_dim": 1024})
    corrected = ModelSamplingDiscrete().patch(bench.model, "v_prediction", False)[0]
    return {
        name: tell(model, "sd21", "A node")
        for name, model in {
            "sg-mini": bench.model,
            "sd15": fake_model(sd1, ModelType.EPS),
            "sd21-base": fake_model(sd2, ModelType.EPS),
            "sd21": fake_model(sd2, ModelType.V_PREDICTION),
            "corrected": corrected,
        }.items()
    }


@measurement
def samplings(bench: Bench) -> dict:
    """What a model predicts by core's nodes that set its sampling, or why none of this project's bases does."""
    tell = pack("nodes.loaded_base").base_and_prediction
    found: dict[str, Any] = {}
    for node, kinds in (
        (ModelSamplingDiscrete, ("eps", "v_prediction", "lcm", "x0", "img_to_img", "img_to_img_flow")),
        (ModelSamplingContinuousEDM, ("v_prediction", "edm", "eps")),
    ):
        for kind in kinds:
            options = (False,) if node is ModelSamplingDiscrete else (120.0, 0.002)
            model = node().patch(bench.model, kind, *options)[0]
            try:
                found[f"{node.__name__}.{kind}"] = tell(model, "sg-mini", "A node")[1]
            except ValueError as error:
                found[f"{node.__name__}.{kind}"] = str(error)
    return found


@measurement
def errors(bench: Bench) -> dict:
    """What a user reads."""
    sd21 = write_adapter("for-sd21", seed=1, gate=0.0, base="sd21-base")
    broken = BASE_DIRECTORY / "models" / "scene_graph" / "broken.safetensors"
    broken.write_bytes(bench.paths["loud"].read_bytes()[:1000])
    foreign = BASE_DIRECTORY / "models" / "scene_graph" / "foreign.safetensors"
    save_file({"weight": torch.zeros(1)}, foreign)
    pointer = BASE_DIRECTORY / "models" / "scene_graph" / "pointer.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n")
    crowd = "\n".join(f"dog#{n}" for n in range(1, 19))
    sdxl = fake_model(comfy.supported_models.SDXL({"context_dim": 2048}), ModelType.EPS)
    edm = fake_model(comfy.supported_models.SD20({"context_dim": 1024}), ModelType.V_PREDICTION_EDM)
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
        "pointer": error_of(lambda: bench.load(pointer)),
        "foreign": error_of(lambda: bench.load(foreign)),
        "other_base": error_of(lambda: bench.apply(embeds=sd21_embeds, adapter=sd21_adapter)),
        "other_family": error_of(lambda: bench.apply(model=sdxl)),
        "other_prediction": error_of(lambda: bench.apply(model=edm)),
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
