"""What the nodes that verify and pick do in ComfyUI: see `inside_comfyui.py`, which imports this."""

import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# isort: split
from comfyui_bench import BASE_DIRECTORY, COMFYUI, Bench, error_of, measurement, pack, parse, run

# isort: split
import comfy.model_management
import numpy as np
import torch
from comfy_execution.graph import ExecutionBlocker
from comfy_extras.nodes_rtdetr import DrawBBoxes
from PIL import Image, ImageDraw

import nodes

NANO = Path(__file__).resolve().parents[3] / "shared/data/detector-yolox-nano/yolox_nano.onnx"
RED, BLUE = (220, 40, 40), (45, 85, 210)
ASKED = "small red square | left of | large blue square"


def picture(red: int | None, blue: int | None) -> torch.Tensor:
    """A small red square and a large blue one, at x, in SG-Mini's world: [1, 128, 128, 3]."""
    image = Image.new("RGB", (128, 128), (218, 218, 218))
    draw = ImageDraw.Draw(image)
    for x, colour, half in ((red, RED, 12), (blue, BLUE, 22)):
        if x is not None:
            draw.rectangle((x - half, 64 - half, x + half, 64 + half), fill=colour)
    return torch.from_numpy(np.asarray(image, np.float32) / 255)[None]


def batch() -> torch.Tensor:
    """Wrong way round; one missing; right; right, the fourth picture twice as large."""
    return torch.cat([picture(100, 40), picture(25, None), picture(25, 90)])


def verified(images: torch.Tensor, graphs: list[Any], bboxes: Any = None, known: str = "") -> tuple:
    given = {"bboxes": [bboxes], "seen_by": ["bboxes"]} if bboxes is not None else {"seen_by": ["Shapes oracle"]}
    return run("SGVerify", images=[images], scene_graph=graphs, known_names=[known], **given)


def box(label: str | None, x: float, **more: Any) -> dict[str, Any]:
    """A box of core's, as its detectors give them."""
    named = {} if label is None else {"label": label}
    return {"x": x, "y": 40.0, "width": 20.0, "height": 20.0, "score": 0.8, **named, **more}


@measurement
def verification_by_oracle(bench: Bench) -> dict:
    """Three pictures of one graph, then with a graph each."""
    verification, drawing, report, scores = verified(batch(), [parse(ASKED)])
    turned = parse("large blue square | left of | small red square")
    each = verified(batch(), [turned, turned, parse(ASKED)])
    large = torch.nn.functional.interpolate(picture(25, 90).movedim(-1, 1), size=(384, 256)).movedim(1, -1)
    return {
        "relations": [one.relations[0].outcome.value for one in verification.reports],
        "exact": [one.exact for one in verification.reports],
        "scores": scores,
        "report": report,
        "drawing": list(drawing.shape),
        "colours": len((drawing * 255).round().reshape(-1, 3).unique(dim=0)),
        "each": [one.relations[0].outcome.value for one in each[0].reports],
        "other_size": verified(large, [parse(ASKED)])[3],
    }


@measurement
def verification_by_bboxes(bench: Bench) -> dict:
    """Boxes as core's detectors give them: frames, a frame, and a box."""
    asked = parse("dog | left of | cat")
    one = torch.zeros(1, 96, 128, 3)
    frame = [box("dog", 0.0), box("cat", 90.0)]
    two = verified(torch.zeros(2, 96, 128, 3), [asked], [frame, [box("dog", 90.0), box("cat", 0.0)]])
    unknown = verified(one, [parse("dog | left of | unicorn")], [frame], known="cat, Dog")
    layout = [box("brown dog", 0.0), box("cat", 90.0)]
    outcome = {
        "two": [report.relations[0].outcome.value for report in two[0].reports],
        "flat": verified(one, [asked], frame)[3],
        "box": verified(one, [parse("dog")], frame[0])[3],
        "none": verified(one, [asked], [[]])[3],
        "unknown": unknown[0].reports[0].relations[0].why,
        "any_name": verified(one, [parse("dog | left of | unicorn")], [frame])[0].reports[0].relations[0].why,
        "phrase": verified(one, [parse("brown dog | left of | cat")], [layout])[3],
    }
    return outcome


@measurement
def verification_errors(bench: Bench) -> dict:
    """What a user reads who connects what does not fit."""
    asked, images = parse(ASKED), batch()
    verification = verified(images, [asked])[0]

    def pick(**changes: Any) -> Any:
        return run("SGPickBest", **{"images": images, "verification": verification, "count": 1, **changes})

    return {
        "no_boxes": error_of(lambda: run("SGVerify", images=[images], scene_graph=[asked], seen_by=["bboxes"])),
        "frames": error_of(lambda: verified(images, [asked], [[box("dog", 0.0)]])),
        "label": error_of(lambda: verified(images[:1], [asked], [[box("dog", 0.0), box(None, 9.0)]])),
        "no_box": error_of(lambda: verified(images[:1], [asked], [[{"label": "dog"}]])),
        "text": error_of(lambda: verified(images[:1], [asked], "dog")),
        "graphs": error_of(lambda: verified(images, [asked, asked])),
        "pictures": error_of(lambda: pick(images=images[:2])),
        "latents": error_of(lambda: pick(latent={"samples": torch.zeros(2, 4, 16, 16)})),
    }


@measurement
def picking(bench: Bench) -> dict:
    """The best two of three pictures, with their latents and without."""
    images = batch()
    verification = verified(images, [parse(ASKED)])[0]
    latent = {"samples": torch.arange(3.0).reshape(3, 1, 1, 1), "batch_index": [4, 5, 6]}
    latent["noise_mask"] = torch.arange(3.0).reshape(3, 1, 1, 1)
    kept, latents, places, scores, report = run(
        "SGPickBest", images=images, verification=verification, count=2, latent=latent
    )
    without = run("SGPickBest", images=images, verification=verification, count=9)
    return {
        "places": places,
        "scores": scores,
        "pictures": [int(torch.equal(kept[k], images[place])) for k, place in enumerate(places)],
        "latents": latents["samples"].flatten().tolist(),
        "masks": latents["noise_mask"].flatten().tolist(),
        "batch_index": latents["batch_index"],
        "untouched": latent["batch_index"] == [4, 5, 6] and len(latent["samples"]) == 3,
        "report": report,
        "all": without[2],
        "blocked": without[1].message if isinstance(without[1], ExecutionBlocker) else "",
    }


@measurement
def detection(bench: Bench) -> dict:
    """A tiny OWLv2 with random weights, from a folder: loaded, managed, asked for names and for phrases."""
    write_owl(BASE_DIRECTORY / "models" / "detection" / "tiny-owl")
    (BASE_DIRECTORY / "models" / "detection" / "nothing").mkdir(exist_ok=True)
    node = nodes.NODE_CLASS_MAPPINGS["SGDetectorLoader"]
    offered = node.INPUT_TYPES()["required"]["detector_name"][1]["options"]
    (detector,) = run("SGDetectorLoader", detector_name="tiny-owl", hub_id="")
    graph = parse("brown dog | left of | cat")

    def seen(ask_for: str, threshold: float, graphs: list[Any]) -> list[list[dict]]:
        given = {"detector": [detector], "images": [torch.rand(2, 40, 60, 3)], "scene_graph": graphs}
        frames, names = run("SGDetect", **given, ask_for=[ask_for], threshold=[threshold])
        assert names == ""
        return frames

    frames = seen("names", 0.001, [graph])
    drawn = DrawBBoxes.execute(bboxes=frames, image=torch.rand(2, 40, 60, 3)).args[0]
    return {
        "offered": offered,
        "loaded": any(m.model is detector.patcher for m in comfy.model_management.current_loaded_models),
        "frames": len(frames),
        "labels": sorted({box["label"] for frame in frames for box in frame}),
        "phrases": sorted({box["label"] for frame in seen("phrases", 0.001, [graph]) for box in frame}),
        "each": [sorted({box["label"] for box in frame}) for frame in seen("names", 0.001, [parse("cow"), graph])],
        "nothing_so_sure": sum(map(len, seen("names", 1.0, [graph]))),
        "threshold_stays": detector.detector.threshold,
        "drawn": list(drawn.shape),
        "inside": all(-60 <= box["x"] <= 120 and box["width"] > 0 for frame in frames for box in frame),
    }


def write_owl(folder: Path) -> None:
    """As transformers saves one."""
    from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = tiny | {"vocab_size": 49408, "max_position_embeddings": 16}
    config = Owlv2Config(text_config=text, vision_config=tiny | {"image_size": 32, "patch_size": 16})
    config.projection_dim = 16
    torch.manual_seed(0)
    words = CLIPTokenizer.from_pretrained(COMFYUI / "comfy" / "sd1_tokenizer")
    with torch.inference_mode(False):
        Owlv2ForObjectDetection(config).save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 32, "width": 32}), words).save_pretrained(folder)


@measurement
def detector_errors(bench: Bench) -> dict:
    """What a user reads who has no detector, or one that cannot be opened."""
    folder = BASE_DIRECTORY / "models" / "detection"
    (folder / "broken").mkdir(parents=True, exist_ok=True)
    (folder / "broken" / "config.json").write_text("{}")
    (folder / "broken.onnx").write_bytes(b"nothing")
    node = nodes.NODE_CLASS_MAPPINGS["SGDetectorLoader"]
    closed = SimpleNamespace(name="yolox.onnx", detector=SimpleNamespace(names=frozenset({"dog"})))
    words_for = pack("nodes.detector_nodes").words_for
    return {
        "unknown": node.validate_inputs(detector_name="nowhere"),
        "broken": error_of(lambda: run("SGDetectorLoader", detector_name="broken", hub_id="")),
        "onnx": error_of(lambda: run("SGDetectorLoader", detector_name="broken.onnx", hub_id="")),
        "phrases": error_of(lambda: words_for(parse("brown dog"), closed, "phrases")),
        "known": words_for(parse("brown dog | left of | unicorn"), closed, "names"),
        "has_onnxruntime": importlib.util.find_spec("onnxruntime") is not None,
    }


@measurement
def real_detector(bench: Bench) -> dict:
    """YOLOX-Nano on a picture of a stop sign, where its file and onnxruntime are."""
    if not NANO.exists() or importlib.util.find_spec("onnxruntime") is None:
        return {"missing": f"{NANO.name} or onnxruntime"}
    place = BASE_DIRECTORY / "models" / "detection" / NANO.name
    if not place.exists():
        os.symlink(NANO, place)
    (detector,) = run("SGDetectorLoader", detector_name=NANO.name, hub_id="")
    image = Image.new("RGB", (640, 480), (150, 190, 230))
    draw = ImageDraw.Draw(image)
    draw.regular_polygon((160, 180, 80), 8, fill=(190, 20, 30), outline="white")
    draw.text((160, 180), "STOP", "white", font_size=56, anchor="mm")
    images = torch.from_numpy(np.asarray(image, np.float32) / 255)[None]
    graph = parse("stop sign | left of | unicorn")
    given = {"detector": [detector], "images": [images], "scene_graph": [graph]}
    frames, names = run("SGDetect", **given, ask_for=["names"], threshold=[0.0])
    report = verified(images, [graph], frames, known=names)[0].reports[0]
    return {"frames": frames, "outcomes": [finding.outcome.value for finding in report.findings]}
