"""Training networks with and without blocks: a config comes in, the scores and weights of one run go out.

May import the rooms before it: errors to networks.
"""
