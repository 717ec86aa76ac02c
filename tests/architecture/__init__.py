"""The order of the rooms, names, file sizes, state-dict keys and packaging."""
