"""Layouts: which axes the tensor of a node has after its batch axis, and in which order.

A layout is a word: `CHW` is (B, C, H, W), `C` is (B, C), `SHW` is (B, S, H, W). It has all axes that are not known to have
size 1, and may have others. An axis of size 1 may have any name.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from ...shapes import Sizes

View = Callable[[Tensor], Tensor]


def non_unit_axes(sizes: Sizes) -> str:
    """The axes that are not known to have size 1.

    >>> non_unit_axes(Sizes.of_map(8).replace({"W": 1}))
    'CH'
    """
    return "".join(axis for axis in sizes.axes if sizes[axis] != 1)


def strip_unit_axes(layout: str, sizes: Sizes) -> str:
    """A layout without its axes of size 1.

    >>> strip_unit_axes("SCH", Sizes.of_map(8).replace({"H": 1}))
    'C'
    """
    return "".join(axis for axis in layout if sizes[axis] != 1)


def broadcast_layout(layouts: Sequence[tuple[str, Sizes]], axes: str) -> str:
    """The layout to which several tensors broadcast: their own if it is one, else every axis that one of them needs.

    >>> x = Sizes.of_map(8)
    >>> broadcast_layout([("CH", x.replace({"W": 1})), ("CW", x.replace({"H": 1}))], x.axes)
    'CHW'
    """
    first = layouts[0][0]
    if all(layout == first for layout, _ in layouts):
        return first
    needed = {axis for layout, sizes in layouts for axis in strip_unit_axes(layout, sizes)}
    for layout, _ in layouts:  # one that is there already costs no view
        if needed <= set(layout) and list(layout) == sorted(layout, key=axes.index):
            return layout
    return "".join(axis for axis in axes if axis in needed) or axes[1]


def conversion(have: str, want: str, sizes: Sizes) -> View | None:
    """What makes a tensor of one layout one of another; None where it is one already.

    >>> import torch
    >>> found = conversion("CW", "CHW", Sizes.of_map(8).replace({"H": 1}))
    >>> found(torch.zeros(2, 8, 5)).shape
    torch.Size([2, 8, 1, 5])
    """
    if _equal(have, want, sizes):
        return None
    now, then = strip_unit_axes(have, sizes), strip_unit_axes(want, sizes)
    if now == then:
        return _reshaped(have, want, sizes)
    order = tuple(1 + now.index(axis) for axis in then)
    first, last = conversion(have, now, sizes), conversion(then, want, sizes)
    steps = [step for step in (first, lambda x: x.permute(0, *order), last) if step is not None]

    def convert(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return convert


def _equal(have: str, want: str, sizes: Sizes) -> bool:
    """True if two layouts differ in the names of axes of size 1 only."""
    return len(have) == len(want) and all(a == b or sizes[a] == sizes[b] == 1 for a, b in zip(have, want, strict=True))


def _reshaped(have: str, want: str, sizes: Sizes) -> View:
    numbers = [sizes[axis] for axis in want]
    if all(isinstance(n, int) for n in numbers):
        # numbers, and no tuple of them, which torch takes 0.7 us longer to read
        return lambda x: x.view(-1, *numbers)  # type: ignore[arg-type]
    places = (0, *[1 + have.index(axis) if sizes[axis] != 1 else -1 for axis in want])

    def reshaped(x: Tensor) -> Tensor:
        have_shape = x.shape
        return x.view(*[1 if place < 0 else have_shape[place] for place in places])

    return reshaped
