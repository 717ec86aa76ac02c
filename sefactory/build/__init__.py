"""A config and the sizes of its input come in, and a Block goes out: parsed, checked on the meta device, then built.

May import errors, shapes, config, operators, kernels, compiler and block.
"""
