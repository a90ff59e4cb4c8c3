"""Adapter files, the table of variants, and the modules that a file holds."""
