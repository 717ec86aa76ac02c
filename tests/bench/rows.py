"""Rows of a benchmark with known values."""

from sefactory.bench.results import Row, axis_sizes

ENVIRONMENT = {"torch": "2.13.0", "cores": 2, "load": 0.5, "cpu": "<Some> & Co"}
NAMES = ("senet", "sknet", "cbam", "coordatt", "triplet", "seaformer", "danet")
SHAPES = ((8, 256, 56, 56), (8, 512, 28, 28), (8, 1024, 14, 14), (8, 2048, 7, 7))
NASTY = '<script>alert("x")</script> & $a_b$ [red]é'


def row(name: str, shape: tuple[int, int, int, int] = SHAPES[0], order: int = 1) -> Row:
    """A complete row whose times grow with `order`."""
    return Row(
        name,
        "x".join(map(str, shape)),
        *axis_sizes(shape),
        parameters=811_264 * order,
        macs=1_234_000_000 * order,
        elements=20_600_000,
        saved_bytes=92_600_000,
        peak_bytes=204_000_000,
        forward_s=0.0112 * order,
        forward_iqr_s=0.0006,
        forward_interval_s=0.0003,
        forward_rounds_s=[0.0112 * order] * 15,
        train_s=0.378 * order,
        train_iqr_s=0.018,
        train_interval_s=0.009,
        train_rounds_s=[0.378 * order] * 15,
        rounds=15,
        baseline="danet",
        baseline_forward_s=0.0112,
        baseline_train_s=0.378,
        forward_ratio=float(order),
        train_ratio=0.125,
        forward_ratio_interval=0.04,
        train_ratio_interval=0.001,
        forward_floor_s=0.001,
        train_floor_s=0.0025,
        forward_over_floor=11.2 * order,
        train_over_floor=151.2 * order,
        load_before=0.5,
        load_after=0.7,
        runnable=1.1,
        waiting=0.01,
        split={"conv": 0.004 * order, "batch_norm": 0.002 * order},
        nodes={"excite.0": 0.004 * order, "excite.1": 0.002 * order},
    )


def seven() -> list[Row]:
    """Seven blocks at four shapes, the last named the fastest."""
    return [row(name, shape, 7 - i) for shape in SHAPES for i, name in enumerate(NAMES)]
