"""Shapes, a procedural world whose pictures have exact scene graphs."""
