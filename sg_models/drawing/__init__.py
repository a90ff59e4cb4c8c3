"""Pictures of graphs and layouts, for people."""
