"""Random configs over the whole grammar: each builds and runs with its declared sizes, or is rejected."""
