"""YAML text or Python containers come in, and a syntax tree goes out: read, merged, overridden, then parsed.

May import errors and shapes, and no torch.
"""
