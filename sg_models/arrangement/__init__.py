"""Boxes for every object of a graph, so that its relations hold."""
