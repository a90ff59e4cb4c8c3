"""The graph conditioning signal: a graph's vector G among the text states that the UNet's cross-attention reads.

"Image Synthesis with Graph Conditioning" (arXiv 2401.14111), S_cond. Its text is the labels of the objects, so that
relations reach the UNet through G alone. The context keeps CLIP's own 77 places: what is put in goes at the cost of
padding at the end, and graphs, no graph and prompts stay in one call of the UNet. Two things differ from the released
code: the way from a graph's vector to a word's width is learned, not a stretching of the numbers; and "no graph" has a
vector of its own, where the unconditional branch had the same graph, which guidance then cannot amplify. `fuse` is this
project's own: what a vector says of all objects at once, each word asks it for its own.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Mode = Literal["interleave", "append", "replace", "fuse"]
INTERLEAVE, APPEND, REPLACE, FUSE = MODES = get_args(Mode)
NULL_STD = 0.02


class GraphSignal(nn.Module):
    """Graph vectors and text states → the context of the UNet.

    `mode` says where G goes among the states s of a text whose end-of-text state is e = s[n]:

    - `interleave`, the paper's: s[0], G, s[1], G, …, s[n - 1], G, e, …. The released code goes on at s[2n], which loses
      e. Where the words leave less room, the first ones alone have a G behind them; one has, at least.
    - `append`: s[0], …, s[n - 1], e, G, …; behind a text that fills all places, G has that of e.
    - `replace`: G in all places; the text has no say.
    - `fuse`: as interleave, but the G behind s[k] is made of the vector and of s[k].

    Raises `ValueError` for another one.
    """

    def __init__(
        self,
        vector_dim: int,
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
        self.project = operations.Linear(vector_dim, context_dim, **factory)
        self.null_graph = nn.Parameter(torch.randn(context_dim, **factory) * NULL_STD)
        if mode == FUSE:
            self.ask = nn.Sequential(
                operations.Linear(vector_dim + context_dim, context_dim, **factory),
                nn.SiLU(),
                operations.Linear(context_dim, context_dim, **factory),
            )

    def forward(self, states: Tensor, ends: Tensor, vectors: Tensor, is_null: Tensor | None = None) -> Tensor:
        """Text states [B, L, D], the places of their end-of-text tokens [B] and graph vectors [B, J] → [B, L, D].

        `is_null` [B] bool says which graphs are left out: their vectors do not matter, and their texts should be empty.
        """
        words = self.words(states, vectors)
        if is_null is not None:
            words = torch.where(is_null[:, None, None], self.null_graph.to(states), words)
        return put_in(states, ends, words, self.mode)

    def words(self, states: Tensor, vectors: Tensor) -> Tensor:
        """The G behind each of the states [B, L, D], of graph vectors [B, J]: [B, L, D]."""
        words = self.project(vectors).to(states)[:, None].expand_as(states)  # [B, L, D]
        if self.mode == FUSE:
            every = vectors[:, None].expand(-1, states.shape[1], -1)
            words = words + self.ask(torch.cat([every, states.to(every)], dim=-1)).to(states)
        return words

    def without_graph(self, states: Tensor, ends: Tensor) -> Tensor:
        """The context of "no graph" from an empty text's states [B, L, D], with its end-of-text places [B]."""
        return put_in(states, ends, self.null_graph.to(states).expand_as(states), self.mode)


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
