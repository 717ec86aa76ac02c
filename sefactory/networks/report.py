"""What an insertion did to a network."""

from dataclasses import dataclass
from typing import Literal

from .selectors import Shape

Where = Literal["after", "before", "replace"]
Start = Literal["identity", "own"]
WHERE, START = ("after", "before", "replace"), ("identity", "own")


@dataclass(frozen=True)
class Placement:
    """One block that was inserted: where, which, for maps of which shape, and what it adds."""

    path: str
    where: Where
    block: str
    shape: Shape
    start: Start
    parameters: int
    macs: int


@dataclass(frozen=True)
class Report:
    """What an insertion did: the places, and the keys of the state dict that stayed, came and went."""

    places: tuple[Placement, ...]
    kept: tuple[str, ...]
    new: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Parameters of all inserted blocks."""
        return sum(place.parameters for place in self.places)

    @property
    def macs(self) -> int:
        """Multiply-adds that they add to one forward."""
        return sum(place.macs for place in self.places)

    @property
    def key_counts(self) -> str:
        """`22 keys kept, 10 new, 0 missing`."""
        return f"{len(self.kept)} keys kept, {len(self.new)} new, {len(self.missing)} missing"

    def __str__(self) -> str:
        lines = [f"{p.path}  {p.where}  {p.block}  {'x'.join(map(str, p.shape[1:]))}  +{p.parameters:,}" for p in self.places]
        return "\n".join([*lines, f"+{self.parameters:,} parameters, +{self.macs:,} multiply-adds; {self.key_counts}"])
