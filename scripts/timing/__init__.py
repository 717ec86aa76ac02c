"""The parts of scripts/speed.py: pairs and their gate, the clock, cells and their file, variants, builds, the page."""
