"""From scores to verdicts: the scores of variants over common seeds come in, differences with intervals go out.

May import errors, store and runs/results.py.
"""
