"""The spatial relations of the library, by the name that training's modules know them by."""

from sg_models.graph.spatial_relations import *  # noqa: F403
from sg_models.graph.spatial_relations import ABOVE, BELOW, INSIDE, LEFT, RIGHT, SURROUNDING  # noqa: F401
