"""Blocks in real networks: where they go, how they start, and networks by name."""
