"""What autocast does to a tensor."""

import torch
from torch import Tensor


def autocasting(x: Tensor) -> bool:
    """Whether autocast is on for the device of a tensor; some devices (meta) have none."""
    device = x.device.type
    return torch.amp.autocast_mode.is_autocast_available(device) and torch.is_autocast_enabled(device)
