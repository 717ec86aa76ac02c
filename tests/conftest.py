"""torchvision may have no compiled operators for the torch that is here; then it needs their schemas before it is imported."""

import torch


def _declared() -> torch.library.Library | None:
    """The schemas, kept for as long as the tests run; nothing where torchvision brings its own or is not installed."""
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


LIBRARY = _declared()
