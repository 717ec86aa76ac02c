"""A module tree comes in, a program of torch calls that computes the same goes out, for the CPU and for other devices.

`tracer.py` builds a graph of `ir.py`, `passes/` rewrite it, `codegen/` makes a program of it, and `runtime.py` runs that.
It imports kernels, operators and shapes.
"""
