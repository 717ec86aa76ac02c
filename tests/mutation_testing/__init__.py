"""Mutants: configs of the golden cases that are wrong in one thing, and whether a recording tells them."""

from .generation import Mutant, mutants, original
from .known import EQUIVALENT, UNSEEN, Known, equivalence, miss
from .ledger import Row, blind, faults, row, stale
from .values import kind_of
from .verdicts import Probe, Verdict, judged, probes, told_by_reference

__all__ = [
    "EQUIVALENT",
    "UNSEEN",
    "Known",
    "Mutant",
    "Probe",
    "Row",
    "Verdict",
    "blind",
    "equivalence",
    "faults",
    "judged",
    "kind_of",
    "miss",
    "mutants",
    "original",
    "probes",
    "row",
    "stale",
    "told_by_reference",
]
