"""The authors' modules and our blocks are equal, and a pair that is not is an error."""

import pytest
import torch
from timing import pairs

from tests.sampling import SEVEN_PAPERS
from tests.scripts.pairs import SMALL, wrong_pair


@pytest.mark.parametrize("name", [*pairs.SEVEN, "pam"])
def test_the_authors_operations_and_ours_are_one_function(name: str) -> None:
    pairs.check_equal(pairs.paper_pair(name, 64), SMALL)


def test_the_seven_papers_are_measured() -> None:
    assert sorted(pairs.SEVEN) == sorted(SEVEN_PAPERS)


@pytest.mark.parametrize(
    ("name", "how", "what"),
    [
        ("senet", "gate=tanh", "senet: eval output of ours differs by "),
        ("sknet", "let.m=0.1", "sknet: series.split.parallel.k3.1.running_mean of ours after training differs by "),
        ("triplet", "fuse=sum", "triplet: eval output of ours differs by "),
        ("cbam", "+series.channel.excite.0.mlp.activation=gelu", "cbam: eval output of ours differs by "),
    ],
)
def test_a_wrong_pair_is_refused(name: str, how: str, what: str) -> None:
    with pytest.raises(pairs.MismatchError) as caught:
        pairs.check_equal(wrong_pair(name, how), SMALL)
    assert str(caught.value).startswith(what)


class Detached(torch.nn.Module):
    """A right output without its gradients."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x).detach() + 0 * x


def test_a_wrong_gradient_is_refused() -> None:
    pair = pairs.paper_pair("senet", 64)
    with pytest.raises(pairs.MismatchError, match="senet: eval input gradient of ours differs by"):
        pairs.check_equal(pairs.Pair("senet", pair.authors, Detached(pair.ours), copy_weights=pair.copy_weights), SMALL)
