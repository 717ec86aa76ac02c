"""Declares torchvision's operators if they are not compiled for this torch: without their schemas it cannot be imported."""

import torch


def _declare_operators() -> torch.library.Library | None:
    """Returns the library of the schemas, which must stay alive; None if torchvision is imported or is not installed."""
    try:
        import torchvision as _  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    except ImportError:
        pass
    return None


LIBRARY = _declare_operators()
