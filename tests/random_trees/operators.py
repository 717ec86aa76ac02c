"""Random operators with parameters that mostly fit their input sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from sefactory.shapes import Sizes, ceil_div, multiply

Names = Mapping[str, int]
Generated = tuple[Any, Sizes]

ACTIVATIONS = ["sigmoid", "hard_sigmoid", "tanh", "relu", "relu6", "silu", "gelu", "hard_swish", "identity", "softplus"]
NORMS = ["batch_norm", "layer_norm", "group_norm"]
STATISTICS = ["mean", "max", "min", "sum", "std", "var", "l1", "l2", "logsumexp"]
SHAPE_PRESERVING = [*ACTIVATIONS[:3], *NORMS, "linear_c", "mlp", "gain", "affine", "softmax", "attention"]
SHAPE_CHANGING = [
    *("activation", "activation", "pool", "pool", "pool", "window", "cluster", "linear", "linear", "linear_c", "conv", "conv"),
    *("mlp", "multiscale", "attention", "attention", "slice", "stack", "stack", "unstack", "softmax", "gain", "affine"),
    *("standardize", "elementwise", "clamp", "dropout", "resize", "resize", "unfold", "spectrum"),
    *NORMS,
]


@dataclass
class Operators:
    """Generates one operator with parameters that mostly fit."""

    rng: Random
    channels: int

    def any(self, sizes: Sizes, names: Names) -> Generated:
        """Any operator."""
        return self.named(self.rng.choice(SHAPE_CHANGING), sizes, names)

    def shape_preserving(self, sizes: Sizes, names: Names) -> Generated:
        """An operator that keeps the grid."""
        return self.named(self.rng.choice(SHAPE_PRESERVING), sizes, names)

    def named(self, name: str, sizes: Sizes, names: Names) -> Generated:
        """The operator `name`; `linear_c` mixes C alone."""
        if name in ACTIVATIONS:
            return self.bare(name), sizes
        grown: Generated = getattr(self, name)(sizes, names)
        return grown

    def size(self, n: int, names: Names) -> Any:
        """A size, as a number or as an expression that is equal to it."""
        same = [name for name, value in names.items() if value == n]
        texts = [*same, f"max({n}, 1)", f"{2 * n}/2", f"min({n}, C*{n})", f"{n} + C - C"]
        texts += [f"C/{self.channels // n}"] if n and self.channels % n == 0 else []
        texts += [f"odd({n})"] if n % 2 else []
        return n if self.rng.random() < 0.5 else self.rng.choice(texts)

    def some(self, options: str, least: int = 1) -> str:
        """Some of the letters, in any order."""
        return "".join(self.rng.sample(options, self.rng.randint(least, len(options)))) if options else ""

    def known(self, sizes: Sizes, *taken: str) -> str:
        """The axes with a known size that have no role yet."""
        return "".join(a for a in sizes.axes if isinstance(sizes[a], int) and a not in "".join(taken))

    def expand_axes(self, sizes: Sizes, *options: str) -> tuple[str, str]:
        """Axes as they are written, and what they stand for."""
        deep = ["D", "DHW", "WD"] if "D" in sizes.axes else []
        found = self.rng.choice([*options, *deep, sizes.grid, self.some(sizes.axes)])
        return ("grid" if found == sizes.grid and self.rng.random() < 0.6 else found), found

    def divisor(self, n: int) -> int:
        return self.rng.choice([d for d in range(1, n + 1) if n % d == 0])

    def maybe(self, **options: Any) -> dict[str, Any]:
        """Some of the options."""
        return {name: value for name, value in options.items() if self.rng.random() < 0.5}

    def width(self) -> int:
        return self.rng.choice([1, 2, 3, 4, 6, 8, self.channels, self.channels])

    def bare(self, name: str) -> Any:
        return self.rng.choice([name, name, {name: None}, {name: {}}])

    # ---- the operators ----

    def activation(self, sizes: Sizes, names: Names) -> Generated:
        return self.bare(self.rng.choice(ACTIVATIONS)), sizes

    def pool(self, sizes: Sizes, names: Names) -> Generated:
        written, over = self.expand_axes(sizes, "HW", "H", "W", "C", "S", "WH")
        by = self.rng.sample(STATISTICS, self.rng.choice([1, 1, 1, 2, 3]))
        out = sizes.replace(dict.fromkeys(over, 1))
        out = out.replace({"S": out.number("S") * len(by)})
        if over == sizes.grid and by == ["mean"]:
            return self.rng.choice(["pool", {"pool": "grid"}, {"pool": None}]), out
        return {"pool": {"over": written, "by": by[0] if len(by) == 1 else by, **self.maybe(eps=1e-3, unbiased=False)}}, out

    def window(self, sizes: Sizes, names: Names) -> Generated:
        extent = self.rng.choice([1, 2, 2, 3, 4])
        out = sizes.replace({a: ceil_div(sizes[a], extent) for a in sizes.grid})
        kernel = self.rng.choice([extent, 2 * extent - 1, 7, 4])  # 4 may be refused
        given = self.maybe(kernel=kernel, by=self.rng.choice(["mean", "max"]), borders=True)
        return {"window": {"extent": self.size(extent, names), **given}}, out

    def cluster(self, sizes: Sizes, names: Names) -> Generated:
        if sizes["S"] != 1 or sizes.has_unit_axes(sizes.spatial_axes):
            return self.pool(sizes, names)
        count = self.rng.randint(1, 3)
        out = sizes.replace({**dict.fromkeys(sizes.spatial_axes, 1), "S": count})
        options = self.maybe(bias=False, hard=True, rounds=self.rng.choice([1, 2, "C/C"]))
        return {"cluster": {"count": self.size(count, names), **options}}, out

    def linear_c(self, sizes: Sizes, names: Names) -> Generated:
        out = self.width()
        return {"linear": {"mix": "C", "out": self.size(out, names), **self.maybe(bias=True)}}, sizes.replace({"C": out})

    def linear(self, sizes: Sizes, names: Names) -> Generated:
        mix = self.some(self.known(sizes), 0)[:3]
        each = self.some(self.known(sizes, mix), 0) if self.rng.random() < 0.5 else ""
        if not mix:
            return {"linear": {"mix": "", "each": each, **self.maybe(bias=True)}}, sizes
        groups = self.divisor(sizes.number(mix[0])) if self.rng.random() < 0.4 else 1
        out = groups * self.rng.randint(1, 4)
        given = {"mix": mix, "each": each, "out": self.size(out, names), "groups": groups, **self.maybe(bias=True)}
        return {"linear": given}, sizes.replace({axis: out if axis == mix[0] else 1 for axis in mix})

    def conv(self, sizes: Sizes, names: Names) -> Generated:
        written, along = self.expand_axes(sizes, "HW", "C", "H", "W", "CW", "HC", "S", "SHW", sizes.grid)
        written, along = (along[:3], along[:3]) if len(along) > 3 else (written, along)
        free = self.known(sizes, along)
        mix = self.some(free, 0)[:2]
        each = self.some(self.known(sizes, along, mix), 0)
        stride, groups, out = self.rng.choice([1, 1, 1, 2, 3]), 1, 1
        given: dict[str, Any] = {"along": written, "mix": mix, "each": each, "kernel": self.kernel(along, names)}
        if mix:
            groups = self.divisor(sizes.number(mix[0])) if self.rng.random() < 0.4 else 1
            out = groups * self.rng.randint(1, 3)
            given |= {"out": self.size(out, names), "groups": groups}
        given |= {"stride": stride, **self.maybe(bias=True, dilation=2)}
        changed = {axis: out if axis == mix[0] else 1 for axis in mix} | {a: ceil_div(sizes[a], stride) for a in along}
        if self.rng.random() < 0.3:
            given["padding"] = self.rng.choice(["zeros", "circular", "reflect", "replicate"])
        elif self.rng.random() < 0.2:
            changed |= self.windowed(given, sizes, along)
        return {"conv": given}, sizes.replace(changed)

    def kernel(self, along: str, names: Names) -> Any:
        """Odd: one for all axes, or one for each."""
        if self.rng.random() < 0.7:
            return self.rng.choice([1, 3, 3, 5])
        return [self.size(self.rng.choice([1, 3, 5]), names) for _ in along]

    def windowed(self, given: dict[str, Any], sizes: Sizes, along: str) -> dict[str, Any]:
        """An explicit padding, with even kernels too. Where it does not fit, the package has to reject it."""
        kernels = [self.rng.choice([1, 2, 3, 4]) for _ in along]
        paddings = [self.rng.choice([0, 0, 1, 2]) for _ in along]
        given |= {"kernel": kernels, "padding": paddings}
        left: dict[str, Any] = {}
        for axis, k, p in zip(along, kernels, paddings, strict=True):
            n = sizes[axis]
            reach = given.get("dilation", 1) * (k - 1)
            left[axis] = ceil_div(n if not isinstance(n, int) else max(n + 2 * p - reach, 1), given["stride"])
        return left

    def mlp(self, sizes: Sizes, names: Names) -> Generated:
        hidden = self.size(self.rng.choice([1, 2, 4]), names)
        return {"mlp": hidden if self.rng.random() < 0.3 else {"hidden": hidden, **self.maybe(bias=True)}}, sizes

    def multiscale(self, sizes: Sizes, names: Names) -> Generated:
        written, along = self.expand_axes(sizes, "C", "HW", "W", "S", "C")
        written, along = (along[:3], along[:3]) if len(along) > 3 else (written, along)
        mix = self.some(self.known(sizes, along), 0)[:1]
        kernels, fuse = self.rng.choices([1, 3, 5], k=self.rng.randint(1, 3)), self.rng.choice(["sum", "mean", "concat"])
        out = sizes.replace({"C": sizes.number("C") * (len(kernels) if fuse == "concat" else 1)})
        given = {"kernels": kernels, "along": written, "fuse": fuse, "mix": mix, **self.maybe(bias=True)}
        return {"multiscale": given}, out

    def attention(self, sizes: Sizes, names: Names) -> Generated:
        channels = sizes.number("C")
        tokens = [
            t for t in ("HW", "H", "W", "C", "S", "CH", "SW", "WH", "WC", "SHW", sizes.grid) if not sizes.has_unit_axes(t)
        ]
        if not tokens:
            return self.linear_c(sizes, names)
        token = self.rng.choice(tokens)
        written = "grid" if token == sizes.grid and self.rng.random() < 0.6 else token
        given = {"tokens": written, **self.maybe(scale=self.rng.choice([-1, 0.5, "1/4"]))}
        given |= self.rng.choice(
            [{}, {}, {"factored": True}, {"similarity": "cosine"}, {"factored": True, "similarity": "dot"}]
        )
        shapes = [(k, h) for k in (1, 2, 3) for h in (1, 2, 4) if 2 * k * h < channels and channels % h == 0]
        if "C" in token:
            return self.channel_attention(given, sizes)
        lengths = [self.rng.randint(1, 5) for _ in token]
        position = self.maybe(position=self.rng.choice([1, 3, 8]) if len(token) == 1 else lengths)
        if shapes and self.rng.random() < 0.5:
            key, heads = self.rng.choice(shapes)
            shaped = {"key": self.size(key, names), "heads": heads}
            return {"attention": given | shaped | position}, sizes.replace({"C": channels - 2 * key * heads})
        return {"attention": given | {"heads": self.divisor(channels)} | position}, sizes

    def channel_attention(self, given: dict[str, Any], sizes: Sizes) -> Generated:
        """The tokens are the channels of a head."""
        channels = sizes.number("C")
        if channels % 3 == 0 and channels > 3 and self.rng.random() < 0.7:
            heads = self.rng.choice([d for d in range(1, channels // 3) if channels // 3 % d == 0])
            return {"attention": given | {"key": channels // 3 // heads, "heads": heads}}, sizes.replace({"C": channels // 3})
        return {"attention": given | self.maybe(heads=self.divisor(channels))}, sizes

    def slice(self, sizes: Sizes, names: Names) -> Generated:
        axis = self.rng.choice(self.known(sizes))
        size = sizes.number(axis)
        start = self.rng.randrange(size)
        stop = self.rng.randint(start + 1, size)
        given = {"over": axis, "start": start, **({"stop": self.size(stop, names)} if stop < size else {})}
        return {"slice": given}, sizes.replace({axis: stop - start})

    def stack(self, sizes: Sizes, names: Names) -> Generated:
        if sizes["S"] != 1:
            return self.unstack(sizes, names)
        parts = self.divisor(sizes.number("C"))
        groups = self.divisor(sizes.number("C") // parts)
        return {"stack": {"parts": parts, "groups": groups}}, sizes.replace({"S": parts, "C": sizes.number("C") // parts})

    def unstack(self, sizes: Sizes, names: Names) -> Generated:
        groups = self.divisor(sizes.number("C"))
        out = sizes.replace({"S": 1, "C": sizes.number("S") * sizes.number("C")})
        return {"unstack": groups if self.rng.random() < 0.5 else {"groups": groups}}, out

    def softmax(self, sizes: Sizes, names: Names) -> Generated:
        over = [axes for axes in ("S", "C", "HW", "H", "W", "SC", "WHC", sizes.grid) if not sizes.has_unit_axes(axes)]
        chosen = self.rng.choice(over) if over else ""
        return ({"softmax": "grid" if chosen == sizes.grid else chosen} if over else "sigmoid"), sizes

    def gain(self, sizes: Sizes, names: Names) -> Generated:
        each = self.some(self.known(sizes), 0)
        return {"gain": {"each": each, **self.maybe(bias=True, start=0.5, bias_start=1)}}, sizes

    def affine(self, sizes: Sizes, names: Names) -> Generated:
        return {"affine": self.maybe(scale=self.rng.choice([2, "1/3", -1.5]), shift=1)}, sizes

    def batch_norm(self, sizes: Sizes, names: Names) -> Generated:
        each = self.rng.choice(["C", self.some(self.known(sizes))])
        return {"batch_norm": {"each": each, **self.maybe(start=0.5, momentum="1/20", eps=1e-3)}}, sizes

    def layer_norm(self, sizes: Sizes, names: Names) -> Generated:
        return self.rng.choice(["layer_norm", {"layer_norm": 1e-3}]), sizes

    def group_norm(self, sizes: Sizes, names: Names) -> Generated:
        return {"group_norm": self.divisor(sizes.number("C"))}, sizes

    def standardize(self, sizes: Sizes, names: Names) -> Generated:
        over, _ = self.expand_axes(sizes, "HW", "H", "C")
        return {"standardize": {"over": over, **self.maybe(eps=1e-3, unbiased=False)}}, sizes

    def elementwise(self, sizes: Sizes, names: Names) -> Generated:
        """abs, square, sqrt, exp, log, of values that neither leave their domain nor grow without end."""
        shifted = {"affine": {"shift": 1}}
        series = [["abs"], ["tanh", "square"], ["abs", "sqrt"], ["tanh", "exp"], ["abs", shifted, "log"]]
        return self.rng.choice(series), sizes

    def clamp(self, sizes: Sizes, names: Names) -> Generated:
        bounds = self.maybe(min=self.rng.choice([-1, 0, "-1/2", 2]), max=self.rng.choice([1, "3/2", 6]))
        return {"clamp": bounds}, sizes  # without bounds, or with the lower one above, it is refused

    def dropout(self, sizes: Sizes, names: Names) -> Generated:
        return {"dropout": self.maybe(p=self.rng.choice([0, 0.5, 1]), over=self.some(sizes.axes, 0))}, sizes

    def resize(self, sizes: Sizes, names: Names) -> Generated:
        mode = self.maybe(mode=self.rng.choice(["nearest", "bilinear", "area"]))
        large = max(sizes.shape(1, {"D": 4, "H": 7, "W": 9})[3:]) > 20
        step, grid = self.rng.choice([2, 3]), sizes.grid
        match self.rng.choice(["to", "coarser", "coarser" if large else "finer", "free"]):
            case "to":
                to = {axis: self.rng.randint(1, 8) for axis in grid}
                return {"resize": {"to": [self.size(n, names) for n in to.values()], **mode}}, sizes.replace(to)
            case "coarser":
                return {"resize": {"scale": f"1/{step}", **mode}}, sizes.replace({a: ceil_div(sizes[a], step) for a in grid})
            case "finer":
                return {"resize": {"scale": 2, **mode}}, sizes.replace({a: multiply(sizes[a], 2) for a in grid})
        if not all(isinstance(sizes[a], int) for a in grid):  # a fixed grid is what this scale needs
            return ({"resize": {"scale": 0.7, **mode}} if self.rng.random() < 0.1 else "relu"), sizes
        return {"resize": {"scale": 0.7, **mode}}, sizes.replace({a: max(7 * sizes.number(a) // 10, 1) for a in grid})

    def unfold(self, sizes: Sizes, names: Names) -> Generated:
        if sizes.number("S") > 4:
            return self.pool(sizes, names)
        over, kernel = self.rng.choice(["HW", "H", "W", "C", "WC", sizes.grid]), self.rng.choice([1, 3])
        out = sizes.replace({"S": sizes.number("S") * kernel ** len(over)})
        return {"unfold": {"over": over, "kernel": 2 if self.rng.random() < 0.05 else kernel}}, out

    def spectrum(self, sizes: Sizes, names: Names) -> Generated:
        count = self.divisor(sizes.number("C"))
        frequencies = [[self.rng.randrange(3) for _ in sizes.grid] for _ in range(count)]
        grid = self.rng.choice([3, 7, [3, 5, 4][: len(sizes.grid)], 2])  # 2 may be too coarse
        return {"spectrum": {"frequencies": frequencies, "grid": grid}}, sizes.replace(dict.fromkeys(sizes.spatial_axes, 1))
