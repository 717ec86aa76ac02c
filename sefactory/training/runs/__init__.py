"""One training as a function of its config: a config comes in, a result goes out and stays in a folder of the store.

May import the rooms before training, and the files of this room that train.
"""
