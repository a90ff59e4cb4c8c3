"""Files that are whole or absent, and refused in words if they are damaged."""
