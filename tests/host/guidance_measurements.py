"""What the nodes of guidance do to sampling, in the real ComfyUI: see `inside_comfyui.py`, which imports this."""

import gc
from typing import Any

# isort: split
from comfyui_bench import CFG, PACK, Bench, difference, error_of, measurement, pack, parse, run, write_file
from regional_measurements import CIRCLE, HALVES, PARITY_STEPS, SWAPPED
from variant_measurements import with_lora

# isort: split
import comfy.clip_vision
import comfy.model_management
import torch

KINDS = ("content", "spatial", "style")
VISION = {  # a CLIP Vision of a few random weights, as wide as SG-Mini's texts
    "num_hidden_layers": 4,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "hidden_act": "gelu",
    "model_type": "clip_vision_model",
    "num_channels": 3,
    "patch_size": 16,
    "image_size": 64,
    "projection_dim": 128,
}


def shipped(bench: Bench) -> Any:
    return bench.load(PACK / "models" / "scene_graph" / "noised-clip-sg-mini.safetensors")


def clip_vision() -> comfy.clip_vision.ClipVisionModel:
    torch.manual_seed(5)
    model = comfy.clip_vision.ClipVisionModel(VISION)
    for parameter in model.model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def picture(bench: Bench) -> torch.Tensor:
    """A picture [1, 128, 128, 3]: red on the left, blue on the right."""
    image = torch.full((1, 128, 128, 3), 0.85)
    image[:, 40:90, 20:60] = torch.tensor([0.8, 0.1, 0.1])
    image[:, 40:90, 70:110] = torch.tensor([0.1, 0.1, 0.8])
    return image


def guided(bench: Bench, kind: str, **changes: Any) -> Any:
    """The model behind one node of guidance; several at `adapter` and the like are left out where None."""
    given = {"model": bench.model, "scale": 1.0, "start": 0.0, "end": 1.0, "adapter": shipped(bench), **changes}
    given = {name: value for name, value in given.items() if value is not None}
    if kind == "language":
        return run("SGLanguageGuidance", **{"clip": bench.clip, "text": CIRCLE, **given})[0]
    if kind in KINDS:
        return run("SGImageGuidance", **{"vae": bench.vae, "image": picture(bench), "kind": kind, **given})[0]
    graphs = given.pop("graphs", (HALVES,))
    lists = {name: [value] for name, value in {"clip": bench.clip, **given}.items()}
    return run("SGGraphGuidance", scene_graph=[parse(graph) for graph in graphs], **lists)[0]


def drawn(bench: Bench, model: Any, **options: Any) -> torch.Tensor:
    return bench.sample(model, bench.positive, bench.negative, **options)


@measurement
def guidance_matters(bench: Bench) -> dict:
    """Each guidance changes the latents, by its scale, and twice is the same."""
    plain, found = drawn(bench, bench.model), {}
    for kind in ("language", *KINDS, "graph"):
        once = drawn(bench, guided(bench, kind))
        found[kind] = {
            "from_base": difference(once, plain),
            "again": difference(once, drawn(bench, guided(bench, kind))),
            "weak": difference(once, drawn(bench, guided(bench, kind, scale=0.001))),
        }
    found["other_text"] = difference(*(drawn(bench, guided(bench, "language", text=t)) for t in (CIRCLE, "blue star")))
    found["other_graph"] = difference(*(drawn(bench, guided(bench, "graph", graphs=(g,))) for g in (HALVES, SWAPPED)))
    return found


@measurement
def guidance_passes_through(bench: Bench) -> dict:
    """Scale 0 and an empty schedule hand the model through; otherwise it is a clone."""
    cases = {"scale": {"scale": 0.0}, "schedule": {"start": 0.5, "end": 0.5}}
    return {
        f"{kind}_{name}": guided(bench, kind, **changes) is bench.model
        for kind in ("language", "content", "graph")
        for name, changes in cases.items()
    } | {"input": "sampler_post_cfg_function" not in bench.model.model_options}


@measurement
def guidance_schedule(bench: Bench) -> dict:
    """Where it acts: not at all where no step is, and otherwise than in the other half."""
    halves = [drawn(bench, guided(bench, "language", **part)) for part in ({"end": 0.5}, {"start": 0.5})]
    nowhere = drawn(bench, guided(bench, "language", start=0.55, end=0.6))
    return {"halves": difference(*halves), "nowhere": difference(nowhere, drawn(bench, bench.model))}


@measurement
def guidance_rows(bench: Bench) -> dict:
    """Each picture of a batch is guided as if it were alone, by a graph or a picture of its own where there are two."""
    noises, found = [bench.noise[i : i + 1] for i in range(2)], {}
    pictures = torch.cat([picture(bench), picture(bench).flip(2)])
    cases = {
        "language": [{}] * 3,
        "style": [{}] * 3,
        "content": [{"image": pictures}, {"image": pictures[:1]}, {"image": pictures[1:]}],
        "graph": [{"graphs": (HALVES, SWAPPED)}, {"graphs": (HALVES,)}, {"graphs": (SWAPPED,)}],
    }
    for kind, (together, *apart) in cases.items():
        both = drawn(bench, guided(bench, kind, **together), noise=bench.noise)
        alone = [drawn(bench, guided(bench, kind, **each), noise=n) for each, n in zip(apart, noises, strict=True)]
        found[kind] = difference(both, torch.cat(alone))
    return found


@measurement
def guidance_cold_and_warm(bench: Bench) -> dict:
    """On a model that was never used, on one that was, and with LoRAs baked in, before or behind; and both eyes."""
    found = {}
    for eye in ("noised", "clean"):
        comfy.model_management.unload_all_models()
        cold = drawn(bench, guided(bench, "graph", vae=bench.vae, eye=eye))
        drawn(bench, bench.model)
        warm = drawn(bench, guided(bench, "graph", vae=bench.vae, eye=eye))
        baked = drawn(bench, guided(bench, "graph", vae=bench.vae, eye=eye, model=with_lora(bench)))
        found[eye] = {
            "warm": difference(cold, warm),
            "guided_lora": difference(baked, drawn(bench, with_lora(bench))),
            "lora": difference(baked, cold),
        }
    return found


@measurement
def guidance_chains(bench: Bench) -> dict:
    """Two nodes are both there, and it goes with gated self-attention."""
    language, content = (drawn(bench, guided(bench, kind)) for kind in ("language", "content"))
    both = drawn(bench, guided(bench, "content", model=guided(bench, "language")))
    model, positive, negative = bench.apply()
    applied = bench.sample(model, positive, negative)
    applied_guided = bench.sample(guided(bench, "language", model=model), positive, negative)
    return {
        "from_first": difference(both, language),
        "from_second": difference(both, content),
        "with_graph": difference(applied, applied_guided),
    }


@measurement
def guidance_by_clip_vision(bench: Bench) -> dict:
    """Core's CLIP Vision looks at the predicted picture, for every kind."""
    vision, plain = clip_vision(), drawn(bench, bench.model)
    clean = {"adapter": None, "clip_vision": vision, "vae": bench.vae, "scale": 10.0}
    found = {k: difference(plain, drawn(bench, guided(bench, k, **clean))) for k in ("language", *KINDS, "graph")}
    square = picture(bench)[:, ::2, ::2]  # of the size that it sees, so that core does not resize it
    ours = pack("nodes.eyes").VisionTower(vision).embed(square.movedim(-1, 1))
    return found | {"embedding": difference(ours, vision.encode_image(square)["image_embeds"])}


def tracked_tensors() -> int:
    """How many tensors hold a graph of autograd."""
    gc.collect()
    tensors = (thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))
    return sum(tensor.grad_fn is not None for tensor in tensors)


@measurement
def guidance_lets_go(bench: Bench) -> dict:
    """A run cancelled in the middle ends as any other, the next one is whole, and no graph of autograd stays."""
    model, before = guided(bench, "language"), tracked_tensors()

    def cancel(step: int, *arguments: Any) -> None:
        if step == 1:
            comfy.model_management.interrupt_current_processing()

    kind = ""
    try:
        drawn(bench, model, callback=cancel)
    except comfy.model_management.InterruptProcessingException as error:
        kind = type(error).__name__
    comfy.model_management.interrupt_current_processing(False)
    whole = difference(drawn(bench, model), drawn(bench, guided(bench, "language")))
    return {"kind": kind, "whole": whole, "kept": tracked_tensors() - before}


@measurement
def guidance_errors(bench: Bench) -> dict:
    """What is said of inputs that make no guidance."""
    narrow = comfy.clip_vision.ClipVisionModel({**VISION, "projection_dim": 64})
    other = write_file("noised-of-another", "noised-clip", {}, {"noised.x": torch.zeros(1)}, base="sd21-base")
    return {
        "nothing": error_of(lambda: guided(bench, "language", adapter=None)),
        "no_vae": error_of(lambda: guided(bench, "language", adapter=None, clip_vision=clip_vision())),
        "no_adapter": error_of(
            lambda: guided(bench, "language", adapter=None, clip_vision=clip_vision(), vae=bench.vae, eye="noised")
        ),
        "narrow": error_of(lambda: guided(bench, "language", adapter=None, clip_vision=narrow, vae=bench.vae)),
        "kind": error_of(lambda: guided(bench, "language", adapter=bench.adapters["loud"])),
        "damaged": error_of(lambda: bench.load(other)),
        "boxes": error_of(lambda: guided(bench, "graph", graphs=("dog | on | box",))),
        "fewer": error_of(lambda: drawn(bench, guided(bench, "graph", graphs=(HALVES, SWAPPED)))),
    }


@measurement
def guidance_parity(bench: Bench) -> dict:
    """Latents for comparison with the standalone sampler."""
    bench.tensors["guidance.noise"] = bench.noise.clone()  # safetensors refuses what shares memory
    for kind in ("language", "graph"):
        model = guided(bench, kind, start=0.2)
        bench.tensors[f"guidance.{kind}"] = drawn(bench, model, noise=bench.noise, steps=PARITY_STEPS).clone()
    return {"graph": HALVES, "text": CIRCLE, "steps": PARITY_STEPS, "cfg": CFG, "start": 0.2}
