"""Code generation: a graph of `ir.py` comes in, a `Program` of torch calls goes out. It imports kernels and operators.

`generate.py` has the table of emitters, one function for each kind of operation. `emitter.py` has what they share.
"""
