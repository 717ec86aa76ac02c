"""Mutants with their verdicts, and what is at fault where they are not those that the lists expect."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tests.papers.references import Golden

from .generation import Mutant
from .known import EQUIVALENT, UNSEEN, Known, equivalence, miss
from .verdicts import Verdict, judged, told_by_reference

Standing = Literal["refused", "caught", "missed", "equivalent"]


@dataclass(frozen=True)
class Row:
    """A mutant, what the recording says of it and, where it says nothing, what plain torch says."""

    mutant: Mutant
    verdict: Verdict
    second: Verdict | None = None

    @property
    def told(self) -> bool:
        """Whether one of the two tells it."""
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


def row(mutant: Mutant, golden: Golden) -> Row:
    """A mutant judged, by plain torch as well where the recording cannot tell it."""
    verdict = judged(mutant, golden)
    return Row(mutant, verdict, told_by_reference(mutant) if verdict.outcome == "survived" else None)


def blind(rows: Iterable[Row]) -> Iterator[str]:
    """Recordings that catch no mutant of a kind of which some matter there."""
    count = Counter((found.mutant.case, found.mutant.kind, found.standing) for found in rows)
    for case, kind in dict.fromkeys((case, kind) for case, kind, standing in count if standing == "missed"):
        if not count[case, kind, "caught"]:
            yield f"no mutant of this kind is caught: {case} {kind}"


def faults(rows: Iterable[Row]) -> Iterator[str]:
    """Rows that the lists do not expect."""
    for found in rows:
        name = f"{found.mutant.case} {found.mutant.label}"
        if equivalence(found.mutant.case, found.mutant.label):
            if found.told:
                yield f"listed as equivalent, and told: {name}"
        elif found.standing == "missed":
            if not miss(found.mutant.case, found.mutant.label):
                yield f"survives, and no list knows it: {name}"
            if not found.told:
                yield f"told by nothing: {name}"


def stale(rows: Iterable[Row]) -> Iterator[str]:
    """Entries of the lists that speak of no mutant, or of none that survives."""
    survivors = [found for found in rows if found.standing in ("equivalent", "missed")]
    for entry in (*EQUIVALENT, *UNSEEN):
        if not any(found.known([entry]) for found in survivors):
            yield f"an entry without a survivor: {entry.cases} {entry.label}"
