"""The report of what an insertion did to a network."""

from dataclasses import dataclass

from .options import Start, Where
from .tracing import Shape


@dataclass(frozen=True)
class Placement:
    """One inserted block: the module at `path`, the input shape of the block, and what it adds to the network."""

    path: str
    where: Where
    block: str
    shape: Shape
    start: Start
    parameters: int
    macs: int


@dataclass(frozen=True)
class Report:
    """What an insertion did: the inserted blocks, and the state-dict keys that are unchanged, new and no longer there."""

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
        """Multiply-adds that the blocks add to one forward pass."""
        return sum(place.macs for place in self.places)

    @property
    def key_counts(self) -> str:
        """`22 keys kept, 10 new, 0 missing`."""
        return f"{len(self.kept)} keys kept, {len(self.new)} new, {len(self.missing)} missing"

    def __str__(self) -> str:
        lines = [f"{p.path}  {p.where}  {p.block}  {'x'.join(map(str, p.shape[1:]))}  +{p.parameters:,}" for p in self.places]
        return "\n".join([*lines, f"+{self.parameters:,} parameters, +{self.macs:,} multiply-adds; {self.key_counts}"])
