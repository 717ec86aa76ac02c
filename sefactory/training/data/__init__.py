"""Data sets: the name of one and its parameters come in, images in memory with their labels go out.

Nothing is downloaded.
"""
