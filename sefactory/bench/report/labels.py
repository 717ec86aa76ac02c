"""Positions of the labels of points in a plot: no label overlaps another one, a marker, or the border of the axes."""

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

MARKER = 4.5  # half the size of a marker with its free space, in points
GAP = 7.0  # from the centre of a marker to its label
SHIFTS = (0.0, *(sign * step for step in (6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 48.0, 60.0, 72.0) for sign in (1, -1)))
NEAR = 10.0  # a label that is further above or below its marker is joined to it by a line
LEADER_STEPS = 8
MAX_ORDERS = 12


class Box(NamedTuple):
    """A rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: "Box") -> bool:
        """True if the two rectangles have an area in common."""
        return self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top

    def contains(self, other: "Box") -> bool:
        """True if no part of the other rectangle is outside of this one."""
        return self.left <= other.left and other.right <= self.right and self.bottom <= other.bottom and other.top <= self.top


class Position(NamedTuple):
    """The box of a label, and the end of the line that joins it to its marker; None if it needs no line."""

    box: Box
    leader_end: tuple[float, float] | None


def marker_box(x: float, y: float) -> Box:
    """The area of the marker at a point."""
    return Box(x - MARKER, y - MARKER, x + MARKER, y + MARKER)


class Label(NamedTuple):
    """The size of a label, and the centre of the marker that it names."""

    x: float
    y: float
    width: float
    height: float


def place_labels(labels: Sequence[Label], occupied: Sequence[Box], border: Box) -> list[Position | None]:
    """A position inside the border for each label, so that nothing is overlapped; None where there is no room.

    `occupied` holds the boxes of all markers and of the lines between them. Labels are placed one after the other. If one
    finds no room, other orders are tried, and the one with the most labels is taken.
    """
    best: list[Position | None] = [None] * len(labels)
    for seed in range(MAX_ORDERS):
        order = list(range(len(labels)))
        if seed:
            Random(seed).shuffle(order)
        positions = _place_in_order([labels[i] for i in order], occupied, border)
        if positions.count(None) < best.count(None):
            best = [positions[order.index(i)] for i in range(len(labels))]
        if None not in best:
            break
    return best


def _place_in_order(labels: Sequence[Label], occupied: Sequence[Box], border: Box) -> list[Position | None]:
    taken, leaders, positions = list(occupied), list[Box](), list[Position | None]()
    for label in labels:
        position = next((p for p in _candidates(label) if _is_free(label, p, taken, leaders, border)), None)
        positions.append(position)
        if position:
            taken.append(position.box)
            leaders += _leader_boxes(label, position)
    return positions


def _is_free(label: Label, position: Position, taken: Sequence[Box], leaders: Sequence[Box], border: Box) -> bool:
    """True if a label fits; the lines that join labels to markers may cross each other, but no label and no marker."""
    return (
        border.contains(position.box)
        and not any(map(position.box.overlaps, taken))
        and not any(map(position.box.overlaps, leaders))
        and not any(box.overlaps(other) for box in _leader_boxes(label, position) for other in taken)
    )


def _candidates(label: Label) -> Iterator[Position]:
    """Positions to the right and the left of a marker and above or below it, the nearest first."""
    x, y, width, height = label
    for shift in SHIFTS:
        bottom, is_near = y + shift - height / 2, abs(shift) <= NEAR
        for left, end in ((x + GAP, x + GAP), (x - GAP - width, x - GAP)):
            yield Position(Box(left, bottom, left + width, bottom + height), None if is_near else (end, y + shift))
        if abs(shift) >= height / 2 + MARKER:
            end = y + shift - math.copysign(height / 2, shift)
            is_near = abs(end - y) <= NEAR
            yield Position(Box(x - width / 2, bottom, x + width / 2, bottom + height), None if is_near else (x, end))


def _leader_boxes(label: Label, position: Position) -> list[Box]:
    """Small boxes along the line to the marker, from outside of the marker on."""
    if position.leader_end is None:
        return []
    width, height = position.leader_end[0] - label.x, position.leader_end[1] - label.y
    steps = [(width * step / LEADER_STEPS, height * step / LEADER_STEPS) for step in range(LEADER_STEPS)]
    centres = [(label.x + dx, label.y + dy) for dx, dy in steps if max(abs(dx), abs(dy)) > MARKER + 1]
    return [Box(x - 0.5, y - 0.5, x + 0.5, y + 0.5) for x, y in centres]
