"""What Regional Prompt does to sampling, in the real ComfyUI: see `inside_comfyui.py`, which imports this."""

from typing import Any

# isort: split
from comfyui_bench import (
    CFG,
    CHAIN,
    OTHER,
    STEPS,
    Bench,
    Spy,
    difference,
    error_of,
    measurement,
    pack,
    parse,
    run,
)
from variant_measurements import controlled, lora_path, with_lora, write_layout_adapter

# isort: split
import comfy.sd
import comfy.supported_models
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher

import nodes

CIRCLE, SQUARE = "small red circle", "large blue square"
LEFT, RIGHT, WHOLE = "0 0 0.5 1", "0.5 0 1 1", "0 0 1 1"
HALVES = f"{CIRCLE} @ {LEFT} | left of | {SQUARE} @ {RIGHT}"
SWAPPED = f"{CIRCLE} @ {RIGHT} | right of | {SQUARE} @ {LEFT}"
THREE = f"{CIRCLE} @ 0 0 1 0.5\n{SQUARE} @ 0.25 0.25 0.75 0.75\ngreen star @ 0 0.5 0.5 1"
PARITY_STEPS = 8  # a divisor of the 1000 timesteps: others are rounded otherwise in the two hosts
BLOCKS = [("input", 1), ("input", 3), ("middle", 0), *(("output", n) for n in range(4))]


def regional(bench: Bench, *graphs: str, **changes: Any) -> tuple:
    """Model, positive and negative behind Regional Prompt."""
    inputs = {
        "model": bench.model,
        "positive": bench.positive,
        "negative": bench.negative,
        "clip": bench.clip,
        "strength": 1.0,
        "base_weight": 0.3,
        "start": 0.0,
        "end": 1.0,
    }
    lists = {name: value if isinstance(value, tuple) else (value,) for name, value in {**inputs, **changes}.items()}
    found = {name: list(values) for name, values in lists.items() if values != (None,)}
    return run("SGRegionalPrompt", scene_graph=[parse(graph) for graph in graphs], **found)


@measurement
def regions_matter(bench: Bench) -> dict:
    """Regions change the latents, swapped ones otherwise, twice is the same, and no weight is the prompt alone."""
    first = bench.sample(*regional(bench, HALVES))
    return {
        "from_base": difference(first, bench.base()),
        "swapped": difference(first, bench.sample(*regional(bench, SWAPPED))),
        "again": difference(first, bench.sample(*regional(bench, HALVES))),
        "without_base_weight": difference(first, bench.sample(*regional(bench, HALVES, base_weight=0.0))),
        "prompt_alone": difference(bench.sample(*regional(bench, HALVES, base_weight=1.0)), bench.base()),
        "exaggerated": difference(first, bench.sample(*regional(bench, HALVES, strength=2.0))),
    }


@measurement
def one_region_over_all(bench: Bench) -> dict:
    """An object all over the picture is its phrase as the prompt, by box and by mask."""
    plain = bench.sample(bench.model, bench.prompt(f"a {CIRCLE}"), bench.negative)
    by_box = bench.sample(*regional(bench, f"{CIRCLE} @ {WHOLE}", base_weight=0.0))
    by_mask = bench.sample(*regional(bench, CIRCLE, base_weight=0.0, masks=torch.ones(1, 32, 32)))
    return {
        "box": difference(plain, by_box),
        "mask": difference(plain, by_mask),
        "from_prompt": difference(plain, bench.base()),
    }


@measurement
def masks(bench: Bench) -> dict:
    """Masks of the boxes are the boxes; other masks are not."""
    graph = "\n".join(line.split(" @")[0] for line in THREE.split("\n"))
    boxes = torch.zeros(3, 64, 64)
    for mask, line in zip(boxes, THREE.split("\n"), strict=True):
        x0, y0, x1, y1 = (int(64 * float(edge)) for edge in line.split("@ ")[1].split())
        mask[y0:y1, x0:x1] = 1
    drawn = bench.sample(*regional(bench, graph, masks=(boxes[:2], boxes[2:])))
    return {
        "of_boxes": difference(drawn, bench.sample(*regional(bench, THREE))),
        "turned": difference(drawn, bench.sample(*regional(bench, graph, masks=boxes.flip(1)))),
    }


class Rows:
    """Records the rows of queries that cross-attention gets, in a block, and whose they are said to be."""

    def __init__(self, model: ModelPatcher) -> None:
        self.model, self.rows, self.said = model.clone(), [], []
        self.model.set_model_attn2_replace(self.see, "middle", 0, 0)

    def see(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict) -> torch.Tensor:
        self.rows.append(len(q))
        self.said.append(sorted(options["cond_or_uncond"]))
        assert len(q) == len(k) == len(v)
        return optimized_attention(q, k, v, options["n_heads"])


@measurement
def regional_calls(bench: Bench) -> dict:
    """One UNet call a step; rows of cross-attention: the negative's, the prompt's and a region's each."""
    model, positive, negative = regional(bench, THREE, start=0.0, end=0.5)
    seen = Rows(model)
    spy = Spy(seen.model)
    bench.sample(spy.model, positive, negative, noise=bench.noise)
    without_negative = Rows(model)
    bench.sample(without_negative.model, positive, negative, cfg=1.0)
    return {"batches": spy.batches, "rows": seen.rows, "said": seen.said[0], "cfg_1": without_negative.rows}


@measurement
def regional_negative(bench: Bench) -> dict:
    """The negative's half is the base's own, bit for bit, and ConditioningZeroOut's too."""
    zeroed = nodes.ConditioningZeroOut().zero_out(bench.positive)[0]
    spy = Spy((applied := regional(bench, HALVES, negative=zeroed))[0])
    bench.sample(spy.model, *applied[1:])
    return {
        "difference": difference(bench.sample(*regional(bench, HALVES), cfg=0.0), bench.base(cfg=0.0)),
        "zeroed_batches": spy.batches,
    }


@measurement
def regional_passes_through(bench: Bench) -> dict:
    """Strength 0 and an empty schedule hand everything through; inputs stay as they were in any case."""
    same = {}
    for name, changes in (("strength", {"strength": 0.0}), ("schedule", {"start": 0.5, "end": 0.5})):
        model, positive, negative = regional(bench, HALVES, **changes)
        same[name] = model is bench.model and positive is bench.positive and negative is bench.negative
    keys = [set(extras) for _, extras in bench.positive + bench.negative]
    regional(bench, HALVES)
    same["inputs"] = "patches" not in bench.model.model_options["transformer_options"] and keys == [
        set(extras) for _, extras in bench.positive + bench.negative
    ]
    return same


@measurement
def regional_schedule(bench: Bench) -> dict:
    """A part of sampling, against ConditioningSetTimestepRange on conditionings with and without regions."""
    model, positive, negative = regional(bench, HALVES)
    ranged = nodes.ConditioningSetTimestepRange()
    parts = []
    for with_regions, plain in ((positive, bench.positive), (negative, bench.negative)):
        parts.append(ranged.set_range(with_regions, 0.0, 0.5)[0] + ranged.set_range(plain, 0.5, 1.0)[0])
    return {
        "difference": difference(bench.sample(model, *parts), bench.sample(*regional(bench, HALVES, end=0.5))),
        "from_whole": difference(bench.sample(model, *parts), bench.sample(model, positive, negative)),
    }


@measurement
def regional_batches(bench: Bench) -> dict:
    """A batch of one graph, and a list of graphs, with a prompt for all and with one for each: as one by one."""
    prompts = bench.prompt("a square"), bench.prompt("a star, " * 40)
    noises = [bench.noise[i : i + 1] for i in range(2)]

    def apart(graphs: tuple[str, str], positives: tuple) -> torch.Tensor:
        cases = zip(graphs, positives, noises, strict=True)
        return torch.cat([bench.sample(*regional(bench, g, positive=p), noise=noise) for g, p, noise in cases])

    once, both = (THREE, THREE), (THREE, HALVES)
    same = (bench.positive, bench.positive)
    one_graph = bench.sample(*regional(bench, THREE), noise=bench.noise)
    two_graphs = bench.sample(*regional(bench, *both), noise=bench.noise)
    return {
        "one_graph": difference(one_graph, apart(once, same)),
        "two_graphs": difference(two_graphs, apart(both, same)),
        "two_prompts": difference(
            bench.sample(*regional(bench, *both, positive=prompts), noise=bench.noise), apart(both, prompts)
        ),
        "between": difference(one_graph, two_graphs),
    }


@measurement
def regional_part_of_a_batch(bench: Bench) -> dict:
    """Core's Latent From Batch takes the second picture: it keeps its graph and its prompt."""
    graphs, prompts = (THREE, HALVES), (bench.prompt("a square"), bench.prompt("a star"))
    two = {"samples": torch.zeros(2, 4, 16, 16)}
    (second,) = nodes.LatentFromBatch().frombatch(two, 1, 1)

    def drawn(latent: dict | None, pictures: dict) -> torch.Tensor:
        model, positive, negative = regional(bench, *graphs, positive=prompts, latent=latent)
        return nodes.common_ksampler(model, 7, STEPS, 4.0, "ddim", "simple", positive, negative, pictures)[0]["samples"]

    whole = drawn(None, two)
    return {
        "second": difference(drawn(second, second), whole[1:]),
        "first_instead": difference(drawn({"samples": second["samples"]}, second), whole[1:]),
        "not_told": error_of(lambda: drawn(None, second)),
    }


@measurement
def regional_with_others(bench: Bench) -> dict:
    """LoRA, gated self-attention, ControlNet and replaced cross-attention, all with regions, in either order."""
    adapter = write_layout_adapter(bench, "regional-controlnet", seed=9)

    def replaced(model: ModelPatcher, gain: float = 3.0) -> ModelPatcher:
        model = model.clone()
        for place, number in BLOCKS:
            model.set_model_attn2_replace(
                lambda q, k, v, options: gain * optimized_attention(q, k, v, options["n_heads"]), place, number, 0
            )
        return model

    def lora_above(applied: tuple) -> tuple:
        return nodes.LoraLoaderModelOnly().load_lora_model_only(applied[0], lora_path().name, 1.0)[0], *applied[1:]

    def attention(model: Any = None, positive: Any = None, negative: Any = None) -> tuple:
        given = {"model": model, "positive": positive, "negative": negative}
        return bench.apply(**{name: value for name, value in given.items() if value is not None})

    def on(applied: tuple, **more: Any) -> tuple:
        model, positive, negative = applied
        return regional(bench, HALVES, model=model, positive=positive, negative=negative, **more)

    plain = regional(bench, HALVES)
    layout = {"positive": plain[1], "negative": plain[2], "on_negative": True}
    ways = {
        "lora": (regional(bench, HALVES, model=with_lora(bench)), lora_above(plain)),
        "attention": (on(attention()), attention(*plain)),
        "controlnet": (
            on((bench.model, *controlled(bench, adapter, on_negative=True))),
            (plain[0], *controlled(bench, adapter, **layout)),
        ),
        "replaced": (regional(bench, HALVES, model=replaced(bench.model)), (replaced(plain[0]), *plain[1:])),
    }
    alone = bench.sample(*plain)
    found: dict[str, Any] = {}
    for name, (below, above) in ways.items():
        drawn = bench.sample(*below)
        found[name] = {"order": difference(drawn, bench.sample(*above)), "from_regions": difference(drawn, alone)}
    found["replaced_by_the_same"] = difference(alone, bench.sample(replaced(plain[0], 1.0), *plain[1:]))
    model, positive, negative = attention(*plain)
    everything = replaced(lora_above((model, positive, negative))[0])
    prompts = controlled(bench, adapter, positive=positive, negative=negative, on_negative=True)
    spy = Spy(everything)
    found["together"] = {"finite": bool(bench.sample(spy.model, *prompts).isfinite().all()), "batches": spy.batches}
    return found


@measurement
def regional_prompts(bench: Bench) -> dict:
    """Areas, combined and long prompts: each part keeps its own regions, and the long prompt's words are all read."""
    model, left, negative = regional(bench, HALVES)
    right = nodes.ConditioningSetArea().append(bench.positive, 64, 128, 64, 0, 1.0)[0]
    left_area = nodes.ConditioningSetArea().append(left, 64, 128, 0, 0, 1.0)[0]
    spy = Spy(model)
    (both,) = nodes.ConditioningCombine().combine(left, bench.positive)
    combined = bench.sample(spy.model, both, negative, steps=1)
    alone = [bench.sample(model, one, negative, steps=1) for one in (left, bench.positive)]
    more = bench.prompt("a green star")
    (long,) = nodes.ConditioningConcat().concat(bench.positive, more)
    (longer,) = nodes.ConditioningConcat().concat(left, more)
    long_first = bench.sample(*regional(bench, HALVES, positive=long))
    return {
        "areas": bool(bench.sample(model, left_area + right, negative).isfinite().all()),
        "combined": difference(combined, sum(alone) / 2),  # one DDIM step is affine in the UNet's answer
        "between": difference(*alone),
        "long": difference(long_first, bench.sample(model, longer, negative)),
        "from_short": difference(long_first, bench.sample(model, left, negative)),
    }


@measurement
def regional_sizes(bench: Bench) -> dict:
    """Pictures of any size that 8 divides; halves swapped are other halves in each."""
    found = {}
    for size in ((16, 24), (15, 17), (9, 30)):
        noise = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(3))
        one, other = (bench.sample(*regional(bench, graph), noise=noise) for graph in (HALVES, SWAPPED))
        found["×".join(map(str, size))] = {"finite": bool(one.isfinite().all()), "swapped": difference(one, other)}
    return found


@measurement
def regional_half_precision(bench: Bench) -> dict:
    """UNets in bfloat16 and float16: how far from float32 latents are, with regions and without."""
    results = {}
    for dtype in (torch.bfloat16, torch.float16):
        model = bench.model.clone()
        model.set_model_compute_dtype(dtype)
        plain = (model, bench.positive, bench.negative)
        results[str(dtype)] = {
            "regions": difference(
                *(bench.sample(*regional(bench, THREE, model=m), steps=1) for m in (model, bench.model))
            ),
            "base": difference(bench.sample(*plain, steps=1), bench.base(steps=1)),
        }
    return results


@measurement
def regional_parity(bench: Bench) -> dict:
    """Latents for comparison with the standalone sampler, and a layout of three objects, one in another."""
    caption = bench.prompt(pack("sg_models.graph.caption").caption(parse(THREE)))
    acts = {"base_weight": 0.2, "strength": 0.9, "end": 0.6}
    applied = regional(bench, THREE, positive=caption, **acts)
    bench.tensors["noise"] = bench.noise
    bench.tensors["regional"] = bench.sample(*applied, noise=bench.noise, steps=PARITY_STEPS)
    return {"graph": THREE, "steps": PARITY_STEPS, "guidance": CFG, **acts}


def tiny(config: Any, **sizes: Any) -> ModelPatcher:
    """A UNet of a family of Stable Diffusion, with random weights and few channels."""
    shape = {"image_size": 32, "in_channels": 4, "out_channels": 4, "num_res_blocks": [1, 1], "channel_mult": [1, 2]}
    shape |= {"use_spatial_transformer": True, "legacy": False} | config.unet_config | {"model_channels": 64} | sizes
    shape |= {"num_classes": "sequential"} if shape["adm_in_channels"] else {}
    torch.manual_seed(5)
    model = config(shape).get_model({}, "", "cpu").float()
    return ModelPatcher(randomised(model), torch.device("cpu"), torch.device("cpu"))


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    for name, parameter in module.named_parameters():
        torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name and name.endswith("weight") else 0.0, std=0.1)
    return module.eval()


def tiny_clip(config: Any) -> comfy.sd.CLIP:
    """The text encoders of a family, with random weights, three layers and few channels."""
    few = {"num_hidden_layers": 3, "intermediate_size": 32, "num_attention_heads": 2}
    options = {f"clip_{name}_model_config": {**few, "hidden_size": size} for name, size in (("l", 16), ("g", 24))}
    clip = comfy.sd.CLIP(config({}).clip_target(), model_options=options)
    randomised(clip.cond_stage_model)
    return clip


@measurement
def other_families(bench: Bench) -> dict:
    """SD 1.x and SDXL in shape: regions act, one over all is its phrase as the prompt, one UNet call a step."""
    found: dict[str, Any] = {}
    one_each = {"transformer_depth": [1, 1], "transformer_depth_output": [1] * 4, "transformer_depth_middle": 1}
    coarse = {"transformer_depth": [0, 2], "transformer_depth_output": [0, 0, 2, 2], "transformer_depth_middle": 2}
    for name, config, sizes in (
        ("sd15", comfy.supported_models.SD15, {"context_dim": 16, **one_each}),
        ("sdxl", comfy.supported_models.SDXL, {"context_dim": 40, "adm_in_channels": 1560, **coarse}),
    ):
        model, clip = tiny(config, **sizes), tiny_clip(config)
        prompt, phrase, negative = (nodes.CLIPTextEncode().encode(clip, t)[0] for t in ("an image", f"a {CIRCLE}", ""))
        given = {"model": model, "clip": clip, "positive": prompt, "negative": negative}
        halves = regional(bench, HALVES, **given)
        spy = Spy(halves[0])
        drawn = bench.sample(spy.model, *halves[1:])
        over_all = bench.sample(*regional(bench, f"{CIRCLE} @ {WHOLE}", **given, base_weight=0.0))
        pooled = [[phrase[0][0], prompt[0][1]]]  # SDXL also gets a vector of the whole prompt
        found[name] = {
            "batches": spy.batches,
            "from_base": difference(drawn, bench.sample(model, prompt, negative)),
            "swapped": difference(drawn, bench.sample(*regional(bench, SWAPPED, **given))),
            "over_all": difference(over_all, bench.sample(model, pooled, negative)),
            "small": error_of(lambda given=given: bench.sample(*regional(bench, f"{CIRCLE} @ 0 0 0.2 0.2", **given))),
        }
    return found


@measurement
def regional_words(bench: Bench) -> dict:
    """What a user reads."""
    said = pack("nodes.graph_regions").graph_regions
    mixed = f"{CIRCLE} @ 0 0 1 1\ndog\ncat @ 0 0 0.5 1\nbird @ 0.5 0 1 1"
    model, positive, negative = regional(bench, HALVES)
    wide = [[torch.zeros(1, 77, 768), {}]]
    (combined,) = nodes.ConditioningCombine().combine(bench.positive, bench.positive)
    clip = tiny_clip(comfy.supported_models.SD15)
    one_empty = torch.stack([torch.ones(8, 8), torch.zeros(8, 8)])
    return {
        "warnings": said([parse(mixed)], bench.clip, None).warnings,
        "masks_empty": said([parse("dog\ncat")], bench.clip, [one_empty]).warnings,
        "no_boxes": error_of(lambda: regional(bench, CHAIN)),
        "one_without": error_of(lambda: regional(bench, HALVES, OTHER)),
        "small": error_of(lambda: bench.sample(*regional(bench, f"{CIRCLE} @ 0 0 0.1 1"))),
        "single_mask": error_of(lambda: regional(bench, CIRCLE, masks=torch.ones(8, 8))),
        "small_mask": error_of(lambda: bench.sample(*regional(bench, CIRCLE, masks=torch.eye(64)[:1, None] * 0.9))),
        "just_large_enough": bool(bench.sample(*regional(bench, f"{CIRCLE} @ 0.1 0.3 0.225 0.425")).isfinite().all()),
        "mask_count": error_of(lambda: regional(bench, HALVES, masks=torch.ones(3, 8, 8))),
        "all_masks_empty": error_of(lambda: regional(bench, HALVES, masks=torch.zeros(2, 8, 8))),
        "two_models": error_of(lambda: regional(bench, HALVES, model=(bench.model, bench.model))),
        "prompts": error_of(lambda: regional(bench, HALVES, positive=(bench.positive, bench.positive))),
        "combined_prompts": error_of(lambda: regional(bench, HALVES, THREE, positive=(combined, bench.positive))),
        "twice": error_of(lambda: regional(bench, HALVES, model=model, positive=positive, negative=negative)),
        "unconnected": error_of(lambda: bench.sample(model, bench.positive, bench.negative)),
        "clip": error_of(lambda: regional(bench, HALVES, clip=clip)),
        "wide": error_of(lambda: regional(bench, HALVES, positive=wide)),
        "too_few_pictures": error_of(lambda: bench.sample(*regional(bench, HALVES, THREE))),
    }
