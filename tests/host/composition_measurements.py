"""Scene graphs beside everything else that a workflow may hold: see `inside_comfyui.py`, which imports this.

Each measurement compares latents with what they must be: those of another way to say the same.
"""

import gc
import weakref
from typing import Any

# isort: split
from comfyui_bench import (
    CFG,
    CHAIN,
    OTHER,
    STEPS,
    Bench,
    Spy,
    attached,
    difference,
    error_of,
    measurement,
    pack,
    parse,
    run,
    slow_measurement,
)
from variant_measurements import controlled, lora_path, predicted, with_lora, write_layout_adapter

# isort: split
import comfy.gligen
import comfy.model_management
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_rebatch import LatentRebatch

import nodes

THIRD = "small green star | right of | large red triangle"
WIDE = (16, 24)  # latents that are not square


@measurement
def lora_under_attention(bench: Bench) -> dict:
    """A LoRA below gated self-attention or above it is the same model, and both take part."""
    lora = with_lora(bench)
    model, positive, negative = bench.apply(model=lora)
    below = bench.sample(model, positive, negative)
    graph_first, *conditionings = bench.apply()
    above = nodes.LoraLoaderModelOnly().load_lora_model_only(graph_first, lora_path().name, 1.0)[0]
    return {
        "order": difference(below, bench.sample(above, *conditionings)),
        "untrained_on_lora": difference(
            bench.sample(*bench.apply("untrained", model=lora)), bench.sample(lora, bench.positive, bench.negative)
        ),
        "from_lora": difference(below, bench.sample(lora, bench.positive, bench.negative)),
        "from_attention": difference(below, bench.sample(*bench.apply())),
    }


@measurement
def attention_and_two_controlnets(bench: Bench) -> dict:
    """Whichever of the three is applied first."""
    one = write_layout_adapter(bench, "composed-first", seed=3)
    two = write_layout_adapter(bench, "composed-second", seed=4)

    def on(adapter: Any, conditionings: tuple) -> tuple:
        return controlled(bench, adapter, positive=conditionings[0], negative=conditionings[1], on_negative=True)

    model, *grounded = bench.apply()
    last = bench.sample(model, *on(two, on(one, tuple(grounded))))
    positive, negative = on(one, on(two, (bench.positive, bench.negative)))
    first = bench.sample(*bench.apply(positive=positive, negative=negative))
    silent = bench.sample(*bench.apply("untrained", positive=positive, negative=negative))
    return {
        "order": difference(first, last),
        "untrained_attention": difference(silent, bench.sample(bench.model, positive, negative)),
        "without_second": difference(last, bench.sample(model, *on(one, tuple(grounded)))),
        "without_attention": difference(last, silent),
    }


@measurement
def replaced_attention(bench: Bench) -> dict:
    """Cross-attention replaced in every block, as image-prompt packs do: by the same, and by something else."""
    blocks = [("input", 1), ("input", 3), ("middle", 0), *(("output", n) for n in range(4))]

    def replaced(model: Any, gain: float) -> Any:
        model = model.clone()
        for place, number in blocks:
            model.set_model_attn2_replace(
                lambda q, k, v, options: gain * optimized_attention(q, k, v, options["n_heads"]), place, number, 0
            )
        return model

    model, positive, negative = bench.apply()
    below = bench.sample(*bench.apply(model=replaced(bench.model, 3.0)))
    return {
        "by_the_same": difference(bench.sample(replaced(model, 1.0), positive, negative), bench.sample(*bench.apply())),
        "order": difference(bench.sample(replaced(model, 3.0), positive, negative), below),
        "by_another": difference(below, bench.sample(*bench.apply())),
    }


@measurement
def combined(bench: Bench) -> dict:
    """ConditioningCombine: the UNet's answers to two graphs are averaged, as those to two prompts are."""
    model, positive, negative = bench.apply()
    second = attached(model, bench.positive, bench.tokens(graph=OTHER)[0])
    (both,) = nodes.ConditioningCombine().combine(positive, second)
    spy = Spy(model)
    latents = bench.sample(spy.model, both, negative, steps=1)
    apart = [bench.sample(model, one, negative, steps=1) for one in (positive, second)]
    return {
        "batches": spy.batches,
        "difference": difference(latents, sum(apart) / 2),  # one DDIM step is affine in the UNet's answer
        "between": difference(*apart),
    }


@measurement
def concatenated(bench: Bench) -> dict:
    """ConditioningConcat: the longer prompt keeps its graph, whichever came first."""
    model, positive, negative = bench.apply()
    more = bench.prompt("a red circle")
    (after,) = nodes.ConditioningConcat().concat(positive, more)
    (longer,) = nodes.ConditioningConcat().concat(bench.positive, more)
    before = attached(model, longer, bench.tokens()[0])
    latents = bench.sample(model, after, negative)
    return {
        "order": difference(latents, bench.sample(model, before, negative)),
        "from_prompt": difference(latents, bench.sample(model, positive, negative)),
        "from_no_graph": difference(latents, bench.sample(bench.model, longer, bench.negative)),
    }


@measurement
def timestep_range(bench: Bench) -> dict:
    """ConditioningSetTimestepRange on conditionings with a graph and on ones without: as the node's own `end`."""
    model, positive, negative = bench.apply()
    ranged = nodes.ConditioningSetTimestepRange()
    parts = []
    for grounded, plain in ((positive, bench.positive), (negative, bench.negative)):
        parts.append(ranged.set_range(grounded, 0.0, 0.5)[0] + ranged.set_range(plain, 0.5, 1.0)[0])
    return {"difference": difference(bench.sample(model, *parts), bench.sample(*bench.apply(end=0.5)))}


@measurement
def graph_per_picture(bench: Bench) -> dict:
    """A batch of two pictures with a graph each is the two runs of one."""
    first, second = bench.embeds(), bench.embeds(graph=OTHER)
    (both,) = run("SGBatchEmbeds", embeds_1=first, embeds_2=second)
    together = bench.sample(*bench.apply(embeds=both), noise=bench.noise)
    apart = [
        bench.sample(*bench.apply(embeds=one), noise=bench.noise[i : i + 1]) for i, one in enumerate((first, second))
    ]
    return {
        "difference": difference(together, torch.cat(apart)),
        "with_one_graph": difference(together, bench.sample(*bench.apply(), noise=bench.noise)),
    }


@measurement
def layout_per_picture(bench: Bench) -> dict:
    """The same with layouts."""
    adapter = write_layout_adapter(bench, "batched-controlnet", seed=5)
    layouts = [predicted(bench, adapter, graph)[0] for graph in (CHAIN, OTHER)]
    (both,) = run("SGBatchLayouts", layout_1=layouts[0], layout_2=layouts[1])
    together = bench.sample(bench.model, *controlled(bench, adapter, layout=both), noise=bench.noise)
    apart = [
        bench.sample(bench.model, *controlled(bench, adapter, layout=one), noise=bench.noise[i : i + 1])
        for i, one in enumerate(layouts)
    ]
    several = {"adapter": adapter, "width": 128, "height": 128}
    embeds = [run("GraphEncoder", scene_graph=parse(g), clip=bench.clip, adapter=adapter)[0] for g in (CHAIN, OTHER)]
    (batched,) = run("SGBatchEmbeds", embeds_1=embeds[0], embeds_2=embeds[1])
    layout, boxes, masks, drawing, semantic_map = run("LayoutPredictor", embeds=batched, **several)
    return {
        "difference": difference(together, torch.cat(apart)),
        "between": difference(*apart),
        "predicted_together": difference(layout.control, both.control),
        "sizes": [[len(frame) for frame in boxes], *(len(part) for part in (masks, drawing, semantic_map))],
    }


@measurement
def parts_of_a_batch(bench: Bench) -> dict:
    """Core's nodes take a batch of three pictures apart: each keeps its graph, or its layout, as it keeps its noise."""
    graphs = (CHAIN, OTHER, THIRD)
    adapter = write_layout_adapter(bench, "parted-controlnet", seed=8)
    embeds = batched("SGBatchEmbeds", "embeds", [bench.embeds(graph=graph) for graph in graphs])
    layout = batched("SGBatchLayouts", "layout", [predicted(bench, adapter, graph)[0] for graph in graphs])

    def attention(latent: dict | None) -> tuple:
        return bench.apply(embeds=embeds, latent=latent)

    def controlnet(latent: dict | None) -> tuple:
        return bench.model, *controlled(bench, adapter, layout=layout, latent=latent)

    three = {"samples": torch.zeros(3, 4, 16, 16)}
    (second,) = nodes.LatentFromBatch().frombatch(three, 1, 1)
    (pair, rest) = LatentRebatch.execute([three], [2]).args[0]
    six = {"samples": torch.zeros(6, 4, 16, 16)}
    found: dict[str, Any] = {}
    for name, applied in (("attention", attention), ("controlnet", controlnet)):
        whole = ksampler(applied(None), three)
        found[name] = {
            "second": difference(ksampler(applied(second), second), whole[1:2]),
            "first_instead": difference(ksampler(applied({"samples": second["samples"]}), second), whole[1:2]),
            "rebatched": difference(torch.cat([ksampler(applied(part), part) for part in (pair, rest)]), whole),
            "begun_anew": difference(ksampler(applied(six), six)[:3], ksampler(applied(None), six)[:3]),
            "not_told": error_of(lambda applied=applied: ksampler(applied(None), second)),
            "other_latent": error_of(lambda applied=applied: ksampler(applied(second), three)),
        }
    return found


def ksampler(applied: tuple, latent: dict) -> torch.Tensor:
    """Latents of core's KSampler, with the noise of the latent's places in its batch."""
    model, positive, negative = applied
    return nodes.common_ksampler(model, 7, STEPS, CFG, "ddim", "simple", positive, negative, latent)[0]["samples"]


def batched(node: str, socket: str, parts: list) -> Any:
    """Several, chained through a node that joins two."""
    joined = parts[0]
    for part in parts[1:]:
        (joined,) = run(node, **{f"{socket}_1": joined, f"{socket}_2": part})
    return joined


@measurement
def wrong_batches(bench: Bench) -> dict:
    """What a user reads who joins what does not belong together."""
    one = write_layout_adapter(bench, "batch-one", seed=6)
    two = write_layout_adapter(bench, "batch-two", seed=7)
    layout, small, other = (
        predicted(bench, adapter, size=size)[0]
        for adapter, size in ((one, (128, 128)), (one, (64, 128)), (two, (128, 128)))
    )
    return {
        "embeds_of_two": error_of(
            lambda: run("SGBatchEmbeds", embeds_1=bench.embeds(), embeds_2=bench.embeds("other"))
        ),
        "layouts_of_two": error_of(lambda: run("SGBatchLayouts", layout_1=layout, layout_2=other)),
        "sizes": error_of(lambda: run("SGBatchLayouts", layout_1=layout, layout_2=small)),
    }


@measurement
def part_of_the_way(bench: Bench) -> dict:
    """Image to image, and inpainting: what the mask leaves out stays as it was."""
    latent = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1.0
    runs = {"image_to_image": {"denoise": 0.5}, "inpainting": {"noise_mask": mask}}
    found: dict[str, Any] = {}
    for name, options in runs.items():
        drawn = bench.sample(*bench.apply(), latent=latent, **options)
        found[name] = {
            "from_base": difference(drawn, bench.base(latent=latent, **options)),
            "untrained": difference(
                bench.sample(*bench.apply("untrained"), latent=latent, **options), bench.base(latent=latent, **options)
            ),
        }
        if name == "inpainting":
            found[name]["outside_mask"] = difference(drawn[..., :8], latent[..., :8])
    return found


@measurement
def not_square(bench: Bench) -> dict:
    """Positions are told apart by rows and columns: every block is asked with the size that its map really has."""
    noise = torch.randn(1, 4, *WIDE, generator=torch.Generator().manual_seed(3))
    model, positive, negative = bench.apply()
    seen: list[tuple] = []
    blocks = bench.adapters["loud"].patcher.model.gated_attention
    handles = [
        blocks.block(address).register_forward_pre_hook(lambda _, given: seen.append((given[0].shape[1], given[2])))
        for address in blocks.addresses
    ]
    drawn = bench.sample(model, positive, negative, noise=noise, steps=1)
    for handle in handles:
        handle.remove()
    return {
        "sizes": sorted({size for _, size in seen}),
        "agree": all(count == size[0] * size[1] for count, size in seen),
        "finite": bool(drawn.isfinite().all()),
        "untrained": difference(bench.sample(*bench.apply("untrained"), noise=noise), bench.base(noise=noise)),
    }


@measurement
def unloaded_and_loaded_again(bench: Bench) -> dict:
    """Models that ComfyUI threw out in between; and nothing of an adapter is kept when nobody uses it."""
    arguments = bench.apply()
    before = bench.sample(*arguments)
    comfy.model_management.unload_all_models()
    loaded = len(comfy.model_management.current_loaded_models)
    after = bench.sample(*arguments)
    passing = bench.load(bench.paths["other"])
    embeds = run("GraphEncoder", scene_graph=parse(CHAIN), clip=bench.clip, adapter=passing)[0]
    bench.sample(*bench.apply(adapter=passing, embeds=embeds))
    weights = weakref.ref(passing.patcher.model)
    del passing, embeds
    comfy.model_management.unload_all_models()
    comfy.model_management.cleanup_models()
    gc.collect()
    return {"loaded": loaded, "difference": difference(before, after), "left_over": weights() is not None}


@measurement
def cancelled(bench: Bench) -> dict:
    """Cancelled after a step and run again: as if nothing had been."""
    before = bench.sample(*bench.apply())
    steps: list[int] = []

    def cancel(step: int, *_: Any) -> None:
        steps.append(step)
        comfy.model_management.interrupt_current_processing()

    arguments = bench.apply()
    try:
        bench.sample(*arguments, callback=cancel)
        stopped = False
    except comfy.model_management.InterruptProcessingException:
        stopped = True
    return {"stopped": stopped, "steps": len(steps), "difference": difference(before, bench.sample(*arguments))}


@slow_measurement
def compiled_eager(bench: Bench) -> dict:
    return compiled(bench, "eager")


@slow_measurement
def compiled_inductor(bench: Bench) -> dict:
    return compiled(bench, "inductor")


def compiled(bench: Bench, backend: str) -> dict:
    """torch.compile around the patched UNet, as core's node does it."""
    model, positive, negative = bench.apply()
    plain = bench.sample(model, positive, negative)
    torch.compiler.reset()
    clone = model.clone(disable_dynamic=True)
    set_torch_compile_wrapper(model=clone, backend=backend)
    return {"difference": difference(bench.sample(clone, positive, negative), plain)}


@measurement
def cores_gligen(bench: Bench) -> dict:
    """Our gated self-attention and core's, with the same weights in SD 2.1's three widths, on the same input."""
    library = pack("sg_models.layers.gated_attention")
    found = {}
    for width in (320, 640, 1280):
        torch.manual_seed(width)
        heads = width // 64
        ours = library.GatedSelfAttention(width, 1024, heads, attention=pack("nodes.attention").host_attention)
        for gate in (ours.alpha_attn, ours.alpha_dense):
            gate.fill_(0.7)
        core = comfy.gligen.GatedSelfAttentionDense(width, 1024, heads, 64)
        core.load_state_dict(ours.state_dict())
        x, content = torch.randn(2, 48, width), torch.randn(2, 5, 1024)
        everywhere_and_valid = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]).expand(2, 5, 5)
        expected = core(x, content)
        got = ours(x, library.Grounding(torch.cat([content, everywhere_and_valid], dim=-1)), (8, 6))
        found[width] = {"difference": difference(got, expected), "from_nothing": difference(expected, x)}
    return found
