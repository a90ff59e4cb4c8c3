"""The network of the learned prior: a box for one object after another, given those that are already placed.

p(boxes | graph) = Π p(box of object t | graph, boxes of the objects before t), in any order of the objects. A graph
encoder (Johnson et al. 2018) reads names, attributes and relations; then each object looks at those before it, with
their boxes and what the graph says of the two, by attention whose message is a network of the pair (as in GATv2, Brody
et al. 2022). What comes out is a mixture of Gaussians (Bishop 1994): some components in the picture's frame, others in
the frame of each object before it, so that "a hat on a man" is a place on that man. A mixture has modes where a
regression has their mean, and its density is exact.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from ..layers.fourier import fourier_features
from ..layers.graph_encoder import GraphEncoder
from .prior_mixture import LEAST_STD, Mixture, to_places

BOX_FREQUENCIES = 6
BOX_FEATURES = 8 * BOX_FREQUENCIES + 4
MOST_STD = 1.5
START = math.log(MOST_STD / 0.25 - 1)  # a standard deviation of a quarter to begin with
USUAL = (0.5, 0.5, -1.5, -1.5)  # the place around which the picture's own components begin
MOST_LOGIT = 20.0  # of attention, whose exponential is still summed


@dataclass(frozen=True)
class PriorBatch:
    """Graphs with O objects and R relations together. Objects are placed in the order of `rank` within their graph."""

    names: Tensor  # [O, P] phrase vectors
    attributes: Tensor  # [O, P] the mean of the attributes' vectors, zeros without any
    predicates: Tensor  # [R, P]
    edges: Tensor  # [2, R] subject and object
    graph_of: Tensor  # [O]
    rank: Tensor  # [O]
    shown: Tensor  # [O] bool: whether those that come later look at it though nothing relates the two
    aspect: Tensor  # [B] log of the picture's width over its height
    boxes: Tensor  # [O, 4] (x0, y0, x1, y1) in [0, 1]

    def to(self, device: torch.device | str) -> "PriorBatch":
        """The same batch on a device."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class Pairs:
    """Objects with those that are placed before them, and what relations say of the two."""

    later: Tensor  # [P] the object that looks
    earlier: Tensor  # [P] the one that is looked at
    said: list[Tensor]  # [P, H] for each layer and the head: the sum over their relations, zeros where none joins them


class PriorNetwork(nn.Module):
    """`phrase_dim` of the phrase vectors; `dim`, `hidden` and `heads` of the layers; `encoder_layers` and `layers` of
    the two parts; `components` of the picture's frame and `anchored` ones for each object before."""

    def __init__(
        self,
        phrase_dim: int,
        dim: int,
        hidden: int,
        heads: int,
        encoder_layers: int,
        layers: int,
        components: int,
        anchored: int,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.encoder = GraphEncoder(phrase_dim, dim, hidden, encoder_layers, device=device)
        self.attribute_in = nn.Linear(phrase_dim, phrase_dim, bias=False, device=device)
        self.whole = nn.Linear(dim + 2, dim, device=device)  # the whole graph, how many objects, aspect
        self.placed = nn.Sequential(
            nn.Linear(dim + BOX_FEATURES, hidden, device=device), nn.SiLU(), nn.Linear(hidden, dim, device=device)
        )
        self.said = nn.ModuleList(nn.Linear(dim, dim, device=device) for _ in range(2))  # of subject, of object
        self.layers = nn.ModuleList(LookBack(dim, hidden, heads, dropout, device) for _ in range(layers))
        self.head = MixtureHead(dim, hidden, components, anchored, device)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: PriorBatch) -> Mixture:
        """The mixture of every object's place, given the boxes of those before it."""
        objects, relations = self.encode(batch)
        pairs = self.pairs(batch, relations)
        return self.look_back(objects, self.place(objects, batch.boxes), to_places(batch.boxes), pairs)

    def encode(self, batch: PriorBatch) -> tuple[Tensor, Tensor]:
        """What the graphs say without any box: features of the objects [O, D] and of the relations [R, D]."""
        names = batch.names + self.attribute_in(batch.attributes)
        objects, relations = self.encoder(self.dropout(names), self.dropout(batch.predicates), batch.edges)
        counts = torch.zeros_like(batch.aspect).index_add(0, batch.graph_of, torch.ones_like(objects[:, 0]))
        sums = objects.new_zeros(len(counts), objects.shape[1]).index_add(0, batch.graph_of, objects)
        whole = torch.cat([sums / counts[:, None], counts.log()[:, None], batch.aspect[:, None]], dim=-1)
        return objects + self.whole(whole)[batch.graph_of], relations

    def pairs(self, batch: PriorBatch, relations: Tensor) -> Pairs:
        """The pairs of objects of one graph of which one is before the other; see `PriorBatch.shown`."""
        before = (batch.graph_of[:, None] == batch.graph_of) & (batch.rank[:, None] > batch.rank)  # [O, O]
        subject, object_ = batch.edges
        related = torch.zeros_like(before)
        related[subject, object_] = related[object_, subject] = True
        later, earlier = (before & (batch.shown | related)).nonzero().T
        slots = batch.rank.new_full(before.shape, -1)
        slots[later, earlier] = torch.arange(len(later), device=slots.device)
        said = relations.new_zeros(len(later), relations.shape[1])
        for linear, ends in zip(self.said, ((subject, object_), (object_, subject)), strict=True):
            slot = slots[ends]
            said = said.index_add(0, slot[slot >= 0], linear(relations[slot >= 0]))
        return Pairs(later, earlier, [part.said(said) for part in self.pair_features()])

    def place(self, objects: Tensor, boxes: Tensor) -> list[Tensor]:
        """What later objects see of objects [O, D] with boxes [O, 4]: [O, H] for each layer and the head."""
        boxes_in = torch.cat([fourier_features(boxes, BOX_FREQUENCIES), to_places(boxes)], dim=-1)
        placed = objects + self.placed(torch.cat([objects, boxes_in], dim=-1))
        return [part.earlier(placed) for part in self.pair_features()]

    def look_back(self, objects: Tensor, placed: list[Tensor], places: Tensor, pairs: Pairs) -> Mixture:
        """The mixtures of Q objects [Q, D], the later ones of `pairs`. Of the earlier ones `placed` [O, H] is what
        `place` gives, and `places` [O, 4] are centre x, centre y, log width, log height."""
        *of_layers, of_head = zip(placed, pairs.said, strict=True)
        for layer, (seen, said) in zip(self.layers, of_layers, strict=True):
            objects = layer(objects, seen, said, pairs)
        return self.head(objects, *of_head, places, pairs)

    def pair_features(self) -> list["PairFeatures"]:
        """Of each layer and the head."""
        return [*(layer.pair for layer in self.layers), self.head.pair]  # type: ignore[misc]


class LookBack(nn.Module):
    """Objects look at those before them. The message of a pair is a network of both and of what is said of the two."""

    def __init__(
        self, dim: int, hidden: int, heads: int, dropout: float, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        self.pair = PairFeatures(dim, hidden, device)
        self.logits = nn.Linear(hidden, heads, bias=False, device=device)
        self.out = nn.Linear(hidden, dim, bias=False, device=device)
        self.own = nn.Sequential(
            nn.LayerNorm(dim, device=device),
            nn.Linear(dim, hidden, device=device),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim, device=device),
        )

    def forward(self, objects: Tensor, seen: Tensor, said: Tensor, pairs: Pairs) -> Tensor:
        """objects [Q, D] that look, what is seen of others [O, H] and said of the pairs [P, H] → objects [Q, D]."""
        features = self.pair(objects, seen, said, pairs)  # [P, H]
        # a pair's share of the attention; what is missing to 1 goes to nothing, where an object stands alone
        weights = self.logits(features).clamp(max=MOST_LOGIT).exp()  # [P, heads]
        sums = 1 + objects.new_zeros(len(objects), weights.shape[1]).index_add(0, pairs.later, weights)
        shares = (weights / sums[pairs.later])[:, :, None]  # [P, heads, 1]
        messages = (features.unflatten(1, (weights.shape[1], -1)) * shares).flatten(1)  # [P, H]
        total = features.new_zeros(len(objects), features.shape[1]).index_add(0, pairs.later, messages)
        objects = objects + self.out(total)
        return objects + self.own(objects)


class PairFeatures(nn.Module):
    """What one object is to another that is placed: [P, H]."""

    def __init__(self, dim: int, hidden: int, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, device=device)
        self.later = nn.Linear(dim, hidden, device=device)
        self.earlier = nn.Linear(dim, hidden, bias=False, device=device)
        self.said = nn.Linear(dim, hidden, bias=False, device=device)

    def forward(self, objects: Tensor, seen: Tensor, said: Tensor, pairs: Pairs) -> Tensor:
        later = self.later(self.norm(objects))
        return nn.functional.silu(later[pairs.later] + seen[pairs.earlier] + said)


class MixtureHead(nn.Module):
    """Mixtures from object features: components in the picture's frame, and in the frames of those placed before."""

    def __init__(
        self, dim: int, hidden: int, components: int, anchored: int, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        self.free = nn.Sequential(
            nn.LayerNorm(dim, device=device),
            nn.Linear(dim, hidden, device=device),
            nn.SiLU(),
            nn.Linear(hidden, 9 * components, device=device),
        )
        self.pair = PairFeatures(dim, hidden, device)
        self.anchored = nn.Linear(hidden, 9 * anchored, device=device)
        self.components, self.per_anchor = components, anchored

    def forward(self, objects: Tensor, seen: Tensor, said: Tensor, places: Tensor, pairs: Pairs) -> Mixture:
        """Features of objects [Q, D], and as in `LookBack` and `PriorNetwork.look_back` → mixtures of Q objects."""
        free = self.free(objects).unflatten(-1, (self.components, 9))  # [Q, K, 9]
        usual = free.new_tensor(USUAL)
        apart = self.anchored(self.pair(objects, seen, said, pairs)).unflatten(-1, (self.per_anchor, 9))  # [P, A, 9]
        anchors = places[pairs.earlier][:, None]  # [P, 1, 4]
        scale = torch.cat([anchors[..., 2:].exp(), torch.ones_like(anchors[..., 2:])], dim=-1)  # offsets in its sides
        means = torch.cat([(usual + free[..., 1:5]).flatten(0, 1), (anchors + scale * apart[..., 1:5]).flatten(0, 1)])
        rows = torch.cat([free.flatten(0, 1), apart.flatten(0, 1)])  # [C, 9]
        owner = torch.arange(len(objects), device=objects.device).repeat_interleave(self.components)
        owner = torch.cat([owner, pairs.later.repeat_interleave(self.per_anchor)])
        stds = LEAST_STD + (MOST_STD - LEAST_STD) * (rows[:, 5:] - START).sigmoid()
        return Mixture(owner, rows[:, 0], means, stds, len(objects))
