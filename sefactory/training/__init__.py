"""Trains networks with and without blocks: a network, a data set, a recipe and a seed come in, weights and scores go out.

May import the rooms before it: errors to networks.
"""
