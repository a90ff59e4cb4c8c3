"""A vision-language model that reads a picture's scene graph, in the words of the graph that it was drawn from.

Source: Li et al. 2024, "LAION-SG": a model lists triples from given names and relations. Here it is one with open
weights, asked for JSON, and what is no such JSON counts as not read.
"""

import json
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.detection import plain
from train.report.graph_overlap import GraphWords
from train.report.network_files import Source
from train.running.command_line import UsageError

LONGEST = 1024  # tokens of an answer
QUESTION = (
    "List what this picture shows as a scene graph. Use these names of objects alone: {names}. Use these relations "
    "alone: {predicates}. Leave out what the picture does not show. Answer with JSON and nothing else, such as "
    '{{"objects": ["dog", "sofa"], "relations": [["dog", "on", "sofa"]]}}.'
)


class VisionLanguageModel:
    """Any image-text-to-text model of transformers with a chat template."""

    def __init__(self, source: Source, device: str = "cpu") -> None:
        """Raises `UsageError` where there is none."""
        try:
            place = source.loadable()
            self.model = AutoModelForImageTextToText.from_pretrained(place, use_safetensors=True)
            self.processor = AutoProcessor.from_pretrained(place)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"there is no image-text-to-text model {source.name} here; name a folder of transformers' format with "
                "safetensors, or write --download-networks with a hub id"
            ) from error
        self.model, self.source = self.model.to(device).eval(), source

    def read(self, picture: np.ndarray, place: int, sample: int, graph: SceneGraph) -> GraphWords | None:
        return parse_answer(self.answer(picture, question(graph)))

    @torch.no_grad()
    def answer(self, picture: np.ndarray, text: str) -> str:
        """What the model says of a picture, uint8 [H, W, 3], without chance."""
        image = Image.fromarray(picture)
        content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self.model.device)
        said = self.model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        return self.processor.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def notes(self) -> dict[str, str]:
        return {"graphs of pictures": f"read by {self.source.name}"}


def question(graph: SceneGraph) -> str:
    """The question about a picture, with a graph's words in alphabetical order: it does not say what goes together."""
    names = sorted({plain(thing.name) for thing in graph.objects})
    predicates = sorted({plain(relation.predicate) for relation in graph.relations})
    return QUESTION.format(names=", ".join(names), predicates=", ".join(predicates) or "none")


def parse_answer(text: str) -> GraphWords | None:
    """The graph in an answer, strictly: JSON as it was asked for, bare or in a code fence; None for anything else."""
    try:
        value = json.loads(_without_fence(text))
        names, triples = value["objects"], value["relations"]
    except (ValueError, KeyError, TypeError):
        return None
    if not _are_words(names) or not isinstance(triples, list):
        return None
    if not all(_are_words(triple) and len(triple) == 3 for triple in triples):
        return None
    said = frozenset(tuple(map(plain, triple)) for triple in triples)
    ends = (end for subject, _, object_ in said for end in (subject, object_))
    return GraphWords(frozenset([*map(plain, names), *ends]), said)


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _without_fence(text: str) -> str:
    lines = text.strip().splitlines()
    if len(lines) > 2 and lines[0].startswith("```") and lines[-1] == "```":
        return "\n".join(lines[1:-1])
    return text
