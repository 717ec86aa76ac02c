"""Finished results on disk: a record comes in under the digest of what it describes, and is found again by that digest.

May import errors and shapes, and no torch.
"""
