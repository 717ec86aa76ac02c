"""Results of runs that were never executed."""

from dataclasses import replace

from sefactory.training.runs.results import Result
from sefactory.training.trainer import Scores
from sefactory.training.verdicts.tables import NO_BLOCKS

SETUP = {
    "data": {"dataset": "digits"},
    "network": "residual network of depth 8 and width 8",
    "places": [],
    "recipe": {"image_passes": 512, "lr": 0.1, "momentum": 0.9, "ema": None},
    "test": True,
}


def result(
    label: str, seed: int, score: float | None, *, static: bool = False, test: bool = True, setting: str = "a"
) -> Result:
    """A run with a test score in percent; diverged for None. Validation scores are 10 points below."""
    scores = [None if score is None else Scores(0.5, (score - less) / 100, None) for less in (10, 0)]
    key = NO_BLOCKS if label == "plain" else f"digest of {label}"
    one = Result(
        run=f"{setting}-{label}-{static}-{seed}-{test}",
        setting=f"{setting}{test}",
        variant=key,
        label=label,
        seed=seed,
        static=static,
        status="finished" if score is not None else "diverged",
        metric="accuracy",
        validation=scores[0],
        test=scores[1] if test else None,
        epochs=2,
        image_passes=512,
        parameters=1000 + 10 * len(label),
        macs=5000,
        seconds=2.0,
        error="" if score is not None else "the loss of epoch 1 is nan",
        setup=SETUP | {"test": test},
        environment={"date": "2026-12-01T10:00:00", "torch": "2.13.0", "cpu": "a cpu", "device": "cpu"},
        inference_ms=0.02,
    )
    return replace(one, setup=one.setup | {"places": [{"at": "layer*"}]}) if label != "plain" else one
