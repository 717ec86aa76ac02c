"""The parts of scripts/speed.py: pairs of modules, the clock, measurements, variants, builds, results, and the page."""
