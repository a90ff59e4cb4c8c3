"""The graph conditioning signal: a graph's vector G among the text states that the UNet's cross-attention reads.

"Image Synthesis with Graph Conditioning" (arXiv 2401.14111), S_cond. Its text is the labels of the objects, so that
relations reach the UNet through G alone. The context keeps CLIP's own 77 places: what is put in goes at the cost of
padding at the end, and graphs, no graph and prompts stay in one call of the UNet. Two things differ from the released
code: the way from a graph's vector to a word's width is learned, not a stretching of the numbers; and "no graph" has a
vector of its own, where the unconditional branch had the same graph, which guidance then cannot amplify. `fuse` is this
project's own: what a vector says of all objects at once, each word asks the graph for its own; before training, it says
the text again, which the UNet reads as ever.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

Mode = Literal["interleave", "append", "replace", "fuse"]
INTERLEAVE, APPEND, REPLACE, FUSE = MODES = get_args(Mode)
NULL_STD = 0.02
HEAD_DIM = 64


@dataclass(frozen=True)
class EncodedGraphs:
    """B graphs as a graph encoder sees them, with up to N objects each."""

    vectors: Tensor  # [B, J], one for each whole graph
    objects: Tensor  # [B, N, D]
    there: Tensor  # [B, N] bool, which of them a graph has


class GraphSignal(nn.Module):
    """Graph vectors and text states → the context of the UNet.

    `mode` says where G goes among the states s of a text whose end-of-text state is e = s[n]:

    - `interleave`, the paper's: s[0], G, s[1], G, …, s[n - 1], G, e, …. The released code goes on at s[2n], which loses
      e. Where the words leave less room, the first ones alone have a G behind them; one has, at least.
    - `append`: s[0], …, s[n - 1], e, G, …; behind a text that fills all places, G has that of e.
    - `replace`: G in all places; the text has no say.
    - `fuse`: as interleave, but the G behind s[k] is s[k] and what `WordGraph` makes of the graph for it.

    Raises `ValueError` for another one.
    """

    def __init__(
        self,
        vector_dim: int,
        graph_dim: int,
        context_dim: int,
        mode: str,
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"no mode is called {mode!r}; write {', '.join(MODES[:-1])} or {MODES[-1]}")
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.mode = mode
        self.null_graph = nn.Parameter(torch.randn(context_dim, **factory) * NULL_STD)
        if mode == FUSE:
            self.project = WordGraph(vector_dim, graph_dim, context_dim, operations=operations, **factory)
        else:
            self.project = operations.Linear(vector_dim, context_dim, **factory)

    def forward(self, states: Tensor, ends: Tensor, graphs: EncodedGraphs, is_null: Tensor | None = None) -> Tensor:
        """Text states [B, L, D], the places of their end-of-text tokens [B] and their graphs → [B, L, D].

        `is_null` [B] bool says which graphs are left out: these do not matter, and their texts should be empty.
        """
        words = self.words(states, graphs)
        if is_null is not None:
            words = torch.where(is_null[:, None, None], self.no_words(states), words)
        return put_in(states, ends, words, self.mode)

    def words(self, states: Tensor, graphs: EncodedGraphs) -> Tensor:
        """The G behind each of the states [B, L, D] of graphs: [B, L, D]."""
        if self.mode == FUSE:
            return states + self.project(states, graphs)
        return self.project(graphs.vectors)[:, None].to(states).expand_as(states)

    def no_words(self, states: Tensor) -> Tensor:
        """What is behind each of the states [B, L, D] where there is no graph: [B, L, D]."""
        null = self.null_graph.to(states).expand_as(states)
        return states + null if self.mode == FUSE else null

    def without_graph(self, states: Tensor, ends: Tensor) -> Tensor:
        """The context of "no graph" from an empty text's states [B, L, D], with its end-of-text places [B]."""
        return put_in(states, ends, self.no_words(states), self.mode)


class WordGraph(nn.Module):
    """What a graph says to each word of a text: its vector, and what the word finds among the objects of the graph.

    The last layer is zero at first.
    """

    def __init__(
        self,
        vector_dim: int,
        graph_dim: int,
        context_dim: int,
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.heads = max(1, context_dim // HEAD_DIM)
        self.norm = operations.LayerNorm(graph_dim, **factory)
        self.to_q = operations.Linear(context_dim, context_dim, bias=False, **factory)
        self.to_k = operations.Linear(graph_dim, context_dim, bias=False, **factory)
        self.to_v = operations.Linear(graph_dim, context_dim, bias=False, **factory)
        self.hidden = operations.Linear(vector_dim + 2 * context_dim, context_dim, **factory)
        self.out = operations.Linear(context_dim, context_dim, **factory)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, states: Tensor, graphs: EncodedGraphs) -> Tensor:
        """Text states [B, L, D] and their graphs → [B, L, D]."""
        objects = self.norm(graphs.objects.to(states))  # [B, N, D]
        q, k, v = (
            rearrange(tensor, "b n (h d) -> b h n d", h=self.heads)
            for tensor in (self.to_q(states), self.to_k(objects), self.to_v(objects))
        )
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=graphs.there[:, None, None])  # [B, H, L, D / H]
        vectors = graphs.vectors.to(states)[:, None].expand(-1, states.shape[1], -1)
        known = torch.cat([states, rearrange(found, "b h l d -> b l (h d)"), vectors], dim=-1)
        return self.out(F.silu(self.hidden(known)))


def put_in(states: Tensor, ends: Tensor, words: Tensor, mode: str) -> Tensor:
    """Each text's states [B, L, D] with the words of its graph [B, L, D] in the places of a mode: [B, L, D]."""
    batch, length, _ = states.shape
    both = torch.cat([states, words], dim=1)  # [B, 2 L, D]
    rows = [sources(int(end), length, mode) for end in ends]
    return both[torch.arange(batch, device=states.device)[:, None], torch.tensor(rows, device=states.device)]


def sources(end: int, length: int, mode: str) -> list[int]:
    """For each of `length` places of a context: which state k of the text goes there, or `length` + k for its G.

    `end` is the place of the text's end-of-text state.
    """
    if mode == REPLACE:
        return [length] * length
    if mode == APPEND:
        before = min(end + 1, length - 1)
        return [*range(before), length, *range(before, length)][:length]
    followed = max(1, min(end, length - 1 - end))  # words with a G behind them; the others and e take the rest
    pairs = [place for word in range(followed) for place in (word, length + word)]
    return [*pairs, *range(followed, length)][:length]
