"""Blocks in existing networks: takes an nn.Module and block configs, inserts the blocks, and reports what changed.

May import from every room except cli.
"""
