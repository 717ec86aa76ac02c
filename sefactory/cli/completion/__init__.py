"""Tab completion: the words of an unfinished command line come in, the candidates for its last word go out.

Imports neither Hydra nor torch. The scripts beside the modules connect bash, zsh and fish.
"""
