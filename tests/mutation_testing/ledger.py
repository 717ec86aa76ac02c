"""Mutants with their verdicts, and those that differ from the lists of known survivors."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tests.papers.references import Recording

from .generation import Mutant
from .known import EQUIVALENT, UNSEEN, Known, equivalent_entry, unseen_entry
from .verdicts import Verdict, verdict_of_recording, verdict_of_reference

Standing = Literal["refused", "caught", "missed", "equivalent"]


@dataclass(frozen=True)
class Row:
    """A mutant, what the recording says of it and, where it says nothing, what plain torch says."""

    mutant: Mutant
    verdict: Verdict
    second: Verdict | None = None

    @property
    def is_caught(self) -> bool:
        """True if one of the two verdicts catches it."""
        return "caught" in (self.verdict.outcome, self.second.outcome if self.second else "")

    @property
    def standing(self) -> Standing:
        """Refused, caught by the recording, equivalent by the list, or missed."""
        if self.verdict.outcome != "survived":
            return self.verdict.outcome
        return "equivalent" if self.known(EQUIVALENT) else "missed"

    def known(self, entries: Iterable[Known]) -> bool:
        """Whether an entry of a list speaks of it."""
        return any(entry.match(self.mutant.case, self.mutant.label) for entry in entries)


def row(mutant: Mutant, recording: Recording) -> Row:
    """The verdicts on a mutant, of the reference only where the recording does not catch it."""
    verdict = verdict_of_recording(mutant, recording)
    return Row(mutant, verdict, verdict_of_reference(mutant) if verdict.outcome == "survived" else None)


def uncaught_kinds(rows: Iterable[Row]) -> Iterator[str]:
    """Recordings that catch no mutant of a kind of which some matter there."""
    count = Counter((found.mutant.case, found.mutant.kind, found.standing) for found in rows)
    for case, kind in dict.fromkeys((case, kind) for case, kind, standing in count if standing == "missed"):
        if not count[case, kind, "caught"]:
            yield f"no mutant of this kind is caught: {case} {kind}"


def unexpected(rows: Iterable[Row]) -> Iterator[str]:
    """Rows that the lists do not expect."""
    for found in rows:
        name = f"{found.mutant.case} {found.mutant.label}"
        if equivalent_entry(found.mutant.case, found.mutant.label):
            if found.is_caught:
                yield f"listed as equivalent, and caught: {name}"
        elif found.standing == "missed":
            if not unseen_entry(found.mutant.case, found.mutant.label):
                yield f"survives, and is in no list: {name}"
            if not found.is_caught:
                yield f"caught by nothing: {name}"


def stale_entries(rows: Iterable[Row]) -> Iterator[str]:
    """Entries of the lists that speak of no mutant, or of none that survives."""
    survivors = [found for found in rows if found.standing in ("equivalent", "missed")]
    for entry in (*EQUIVALENT, *UNSEEN):
        if not any(found.known([entry]) for found in survivors):
            yield f"an entry without a survivor: {entry.cases} {entry.label}"
