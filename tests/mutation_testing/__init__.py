"""Mutation testing of the recordings: configs with one error each (mutants), and which recordings catch them."""

from .generation import Mutant, mutants, original
from .known import EQUIVALENT, UNSEEN, Known, equivalent_entry, unseen_entry
from .ledger import Row, row, stale_entries, uncaught_kinds, unexpected
from .values import kind_of
from .verdicts import Probe, Verdict, probes, verdict_of_recording, verdict_of_reference

__all__ = [
    "EQUIVALENT",
    "UNSEEN",
    "Known",
    "Mutant",
    "Probe",
    "Row",
    "Verdict",
    "uncaught_kinds",
    "equivalent_entry",
    "unexpected",
    "verdict_of_recording",
    "kind_of",
    "unseen_entry",
    "mutants",
    "original",
    "probes",
    "row",
    "stale_entries",
    "verdict_of_reference",
]
