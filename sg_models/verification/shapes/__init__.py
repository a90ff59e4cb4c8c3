"""The oracle of Shapes, a procedural world: what is seen in its pictures, exactly."""
