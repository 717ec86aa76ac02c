"""Invariants of every operator and every shipped config: cases, checks, export checks."""
