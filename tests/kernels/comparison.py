"""Random inputs, and equality of two results with their first and second gradients."""

import torch
from torch import Tensor


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype).requires_grad_()


def agree(ours: Tensor, theirs: Tensor, inputs: tuple[Tensor, ...], within: float = 1e-11) -> None:
    torch.testing.assert_close(ours, theirs, rtol=within, atol=within)
    g = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1), dtype=theirs.dtype)
    again = torch.autograd.grad(ours, inputs, g, create_graph=True)
    found, expected = (torch.autograd.grad(y, inputs, g) for y in (ours, theirs))
    for a, b, c in zip(found, expected, again, strict=True):
        torch.testing.assert_close(a, b, rtol=within, atol=within * float(b.abs().max()))
        torch.testing.assert_close(c, b, rtol=within, atol=within * float(b.abs().max()))
