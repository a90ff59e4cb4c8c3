"""The layout of variants (iii) and (iv): boxes, masks and the map made of them, learned without the UNet.

Maps are made with the true boxes, as in sg2im; what is predicted is used when there are none.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.layers.graph_batch import GraphBatch
from sg_models.layers.layout import MASK_SIDE, Layout
from train.bases.dry_run import Plan
from train.bases.empty_base import EmptyBase
from train.data.graph_samples import SampleBatch
from train.losses.layout_losses import box_figures, box_loss, cell_classes, cell_loss, mask_loss

LEAST_OBJECTS = 24


@dataclass
class LayoutSizes:
    """Options of an adapter's sizes."""

    graph_dim: int = 128
    graph_hidden: int = 256
    graph_layers: int = 4
    box_layers: int = 3
    objects: int | None = None
    """most objects of a graph; as many as the largest one has if left out, 24 at least"""
    layout_width: int = 64
    channels: int = 16
    """of the map that the ControlNet is given"""


class LayoutLosses(nn.Module):
    """All that a layout is trained on; the maps are made with the true boxes."""

    def __init__(self, adapter: LayoutAdapter, size: tuple[int, int]) -> None:
        super().__init__()
        self.adapter, self.size = adapter, size

    def forward(self, graphs: GraphBatch) -> tuple[dict[str, Tensor], Layout]:
        """A batch with targets → the losses by name, and the layout with the true boxes.

        Without true masks there is no loss of masks, and an object covers its whole box. One whose box is not known is
        in no map and in no loss.
        """
        predictor, truth = self.adapter.layout, graphs.truth
        objects, relations = self.adapter.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)
        losses = {"boxes": box_loss(predictor.box(objects, relations, graphs), graphs)}
        layout = predictor.compose(objects, truth.boxes, graphs, self.size)
        if truth.masks is None:
            masks = torch.ones(len(objects), MASK_SIDE, MASK_SIDE, device=objects.device)
        else:
            masks = truth.masks.float()
            losses["masks"] = mask_loss(layout.masks[truth.placed], masks[truth.placed])
        cells = cell_classes(masks, truth.boxes, graphs.batch, self.size)
        losses["cells"] = cell_loss(predictor, layout.semantics, graphs, cells)
        return losses, layout


class LayoutObjective:
    """Loss and report of a layout alone. `bare` are validation graphs without boxes, on the model's device."""

    def __init__(self, bare: GraphBatch) -> None:
        self.bare = bare

    def loss(
        self, model: nn.Module, batch: SampleBatch, generator: torch.Generator, step: int = 0
    ) -> tuple[Tensor, dict[str, float]]:
        losses, _ = model(batch.encoded.to(self.bare.x.device))
        return torch.stack(list(losses.values())).sum(), {name: value.item() for name, value in losses.items()}

    def report(self, model: LayoutLosses) -> dict[str, float]:
        """Of boxes predicted for graphs without any."""
        figures = box_figures(model.adapter.predict_boxes(self.bare), self.bare)
        tqdm.write(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        return figures


def adapter_sizes(sizes: LayoutSizes, phrase_dim: int) -> dict[str, int]:
    """An adapter's `config` (see `LayoutAdapter`) for a phrase encoder."""
    chosen = {name: getattr(sizes, name) for name in asdict(LayoutSizes())}
    return chosen | {"objects": sizes.objects or LEAST_OBJECTS, "phrase_dim": phrase_dim}


def make_plan(sizes: LayoutSizes, base: EmptyBase) -> Plan:
    """For `--dry-run`; of activations it counts the decoder's, which are most of them."""
    adapter, side = LayoutAdapter(adapter_sizes(sizes, base.context_dim)), base.latent_side
    decoder = nn.Sequential(adapter.layout.decoder, adapter.layout.semantic)
    return Plan(adapter, lambda count: decoder(torch.empty(count, sizes.graph_dim + 1, side, side)))
