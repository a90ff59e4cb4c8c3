"""Which of several graphs a picture of a batch gets: the one at the picture's own place.

Core's nodes that take a batch apart (*Latent From Batch*, *Rebatch Latents*) note in the latent where each picture was,
as `batch_index`, and noise follows that. The note does not reach the UNet: what is sampled there knows its size alone.
So whoever wants the same of graphs connects the latent to the node that applies them.
"""

from typing import Any

import comfy.conds
from torch import Tensor

LATENT_TOOLTIP = (
    "Only needed where each picture of a batch has a graph of its own and the sampler gets a part of the batch (Latent "
    "From Batch, Rebatch Latents): the latent that the sampler gets. It tells which pictures those are."
)
PART_OF_A_BATCH = (
    "{node} got {count} {what} for a batch of {pictures}. Draw as many pictures as there are {what}; or, if these are "
    "a part of a larger batch, connect the sampler's latent to {node}, too: it tells which pictures they are."
)
OTHER_LATENT = (
    "{node} got a latent of {count} pictures, and the sampler draws {pictures}. Connect the same latent to both."
)


class PerPicture(comfy.conds.CONDRegular):
    """A tensor of which each picture of a batch gets a row, in the keeping of a conditioning.

    `places` says which graph each row is of; `node` and `what` are for sentences.

    `chosen` says that the rows are those of the sampler's very pictures. Otherwise they begin anew where there are more
    pictures. ComfyUI would leave rows out where there are fewer; here that stops the run.
    """

    def __init__(self, rows: Tensor, node: str, what: str, places: list[int], chosen: bool) -> None:
        super().__init__(rows)
        self.node, self.what, self.places, self.chosen = node, what, places, chosen

    def with_rows(self, rows: Tensor) -> "PerPicture":
        """Other rows [B, …] for the same pictures."""
        return PerPicture(rows, self.node, self.what, self.places, self.chosen)

    def process_cond(self, batch_size: int, **kwargs: Any) -> comfy.conds.CONDRegular:
        count = len(self.cond)
        if batch_size < count or (self.chosen and batch_size != count):
            said = OTHER_LATENT if self.chosen else PART_OF_A_BATCH
            raise ValueError(said.format(node=self.node, what=self.what, count=count, pictures=batch_size))
        return comfy.conds.CONDRegular(self.cond).process_cond(batch_size=batch_size, **kwargs)


def per_picture(rows: Tensor, latent: dict[str, Any] | None, node: str, what: str) -> PerPicture:
    """Rows [G, …] of G graphs for the pictures of a latent, or in the order of the pictures where none is given.

    `node` and `what` are for its sentences: who got the rows, and what they are.
    """
    if latent is None or len(rows) == 1:
        return PerPicture(rows, node, what, list(range(len(rows))), chosen=False)
    originally = latent.get("batch_index") or range(len(latent["samples"]))
    places = [place % len(rows) for place in originally]
    return PerPicture(rows[places], node, what, places, chosen=True)
