"""Copies of a network, and checkpoints."""

import copy
import io
import pickle

import torch
from torch import nn

from .network import Tool, plain


def save_and_load(model: nn.Module) -> nn.Module:
    """torch.save of the whole network."""
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded: nn.Module = torch.load(buffer, weights_only=False)
    return loaded


def load_strictly(model: nn.Module) -> nn.Module:
    """A checkpoint of the network without blocks, and then one with them."""
    state = copy.deepcopy(model.state_dict())
    model.load_state_dict(plain().state_dict(), strict=True)
    model.load_state_dict(state, strict=True)
    return model


TOOLS: dict[str, Tool] = {
    "`copy.deepcopy`": copy.deepcopy,
    "`pickle`": lambda model: pickle.loads(pickle.dumps(model)),
    "`torch.save`": save_and_load,
    "`load_state_dict(strict=True)`": load_strictly,
}
