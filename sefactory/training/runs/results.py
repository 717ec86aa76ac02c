"""The result of a run, as it stands in its file result.json."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

from ..trainer import Scores

Status = Literal["finished", "diverged"]


@dataclass(frozen=True)
class Result:
    """What a run gave.

    - `run`, `setting`, `variant`: its digests (`Identity`).
    - `status`: `diverged` if a loss was no finite number; then there are no scores.
    - `metric`: the name of the score that counts: `accuracy`, or `mean_iou` for segmentation.
    - `validation`, `test`: the scores on these parts. `test` is None if the run did not read it.
    - `parameters`, `macs`: of the whole network, MACs for one image.
    - `seconds`: time of training, with the evaluations; `inference_ms`: time of the last
      one for an image.
    - `setup`: data, network and recipe in words; `environment`: versions, processor, date.
    """

    run: str
    setting: str
    variant: str
    label: str
    seed: int
    static: bool
    status: Status
    metric: str
    validation: Scores | None
    test: Scores | None
    epochs: int
    image_passes: int
    parameters: int
    macs: int
    seconds: float
    error: str
    setup: Mapping[str, Any]
    environment: Mapping[str, str]
    inference_ms: float | None = None

    @property
    def scored_test(self) -> bool:
        """True if the run scored the test images."""
        return bool(self.setup.get("test"))

    @property
    def score(self) -> float | None:
        """The score that counts, on the test images if the run read them, else on the validation images."""
        scores = self.test if self.scored_test else self.validation
        return None if scores is None else float(getattr(scores, self.metric))

    @property
    def images_per_second(self) -> float:
        """Image passes per second of training."""
        return self.image_passes / self.seconds if self.seconds else 0.0

    def as_record(self) -> dict[str, Any]:
        """Plain data for result.json."""
        record = asdict(self)
        for part in ("validation", "test"):
            scores: Scores | None = getattr(self, part)
            record[part] = scores and scores._asdict()
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Result":
        """The result of plain data. Raises ValueError if it is no result; keys of later versions are ignored."""
        try:
            names = [field.name for field in fields(cls) if field.name in record or field.default is MISSING]
            known = {name: record[name] for name in names}
            for part in ("validation", "test"):
                known[part] = known[part] and Scores(**known[part])
            return cls(**known)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"is no result of a run: {error}") from None
