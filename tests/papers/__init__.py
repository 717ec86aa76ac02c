"""Shipped configs against the papers: recordings of the authors' code and references in plain torch."""
