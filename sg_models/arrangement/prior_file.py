"""The file of a learned prior: the network's weights, the table of phrase vectors, and what both were made of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..files.safetensors_file import WeightsFileError, read_weights, write_weights
from .phrase_vectors import PhraseVectors
from .prior_network import PriorNetwork

KIND, FORMAT, PREFIX = "arrange", "1", "scene_graph."
SHIPPED = Path(__file__).resolve().parents[2] / "models" / "arrange" / "layout-prior.safetensors"
NETWORK, VOCABULARY, ROWS, SCALES = "network.", "phrases.vocabulary", "phrases.rows", "phrases.scales"
PHRASES = "static wordpiece vectors, in this file"
REMEDY = "write it again with train/train_arrange.py"


@dataclass(frozen=True)
class PriorFile:
    """A file's contents. `config` are the sizes of `PriorNetwork`; `attribution` names what it was trained on."""

    vectors: PhraseVectors
    state_dict: dict[str, Tensor]
    config: dict[str, Any]
    dataset: str
    steps: int
    attribution: str = ""
    temperature: float = 1.0
    name: str = field(default="prior", compare=False)

    def network(self) -> PriorNetwork:
        """The network with its weights, float32; raises `WeightsFileError` where they do not fit its sizes."""
        try:
            network = PriorNetwork(**self.config)
            network.load_state_dict({name: tensor.float() for name, tensor in self.state_dict.items()})
        except (TypeError, ValueError, RuntimeError) as error:
            raise WeightsFileError(f"{self.name} does not hold what its header says ({error}); {REMEDY}") from error
        return network


def write_prior_file(path: Path, prior: PriorFile) -> None:
    """Writes a prior, the weights in the dtype that they have."""
    vectors = prior.vectors
    tensors = {NETWORK + name: tensor for name, tensor in prior.state_dict.items()}
    tensors[VOCABULARY] = torch.from_numpy(np.frombuffer("\n".join(vectors.vocabulary).encode(), np.uint8).copy())
    tensors[ROWS], tensors[SCALES] = torch.from_numpy(vectors.rows), torch.from_numpy(vectors.scales)
    fields = {
        "format": FORMAT,
        "kind": KIND,
        "phrase_encoder": PHRASES,
        "config": json.dumps(prior.config),
        "dataset": prior.dataset,
        "steps": str(prior.steps),
        "temperature": str(prior.temperature),
        "attribution": prior.attribution,
    }
    model_spec = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "scene-graph-arrangement",
        "modelspec.implementation": "scene-graph-conditioning",
        "modelspec.title": path.stem,
        "modelspec.date": datetime.now(timezone.utc).date().isoformat(),
        "modelspec.license": "Apache-2.0",
    }
    write_weights(path, tensors, {PREFIX + key: value for key, value in fields.items()} | model_spec)


def read_prior_file(path: Path) -> PriorFile:
    """Reads what `write_prior_file` wrote; raises `WeightsFileError` for a missing, damaged or foreign file."""
    path = Path(path)
    tensors, metadata = read_weights(path)
    header = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    if header.get("kind") != KIND:
        raise WeightsFileError(f"{path.name} is no prior of arrangements (its header has no {PREFIX}kind {KIND})")
    if header.get("format") != FORMAT:
        raise WeightsFileError(f"{path.name} has format {header.get('format')}; this version reads {FORMAT}: update it")
    try:
        return PriorFile(
            _vectors(tensors),
            {key.removeprefix(NETWORK): tensor for key, tensor in tensors.items() if key.startswith(NETWORK)},
            json.loads(header["config"]),
            header["dataset"],
            int(header["steps"]),
            header["attribution"],
            float(header["temperature"]),
            path.name,
        )
    except (KeyError, ValueError) as error:
        raise WeightsFileError(f"{path.name} lacks a part or has a damaged one ({error!r}); {REMEDY}") from error


def _vectors(tensors: Mapping[str, Tensor]) -> PhraseVectors:
    vocabulary = tensors[VOCABULARY].numpy().tobytes().decode().split("\n")
    return PhraseVectors(vocabulary, tensors[ROWS].numpy(), tensors[SCALES].numpy())
