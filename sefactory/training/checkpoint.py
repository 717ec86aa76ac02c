"""The state of a training in one safetensors file: weights, averaged weights, optimizer, and the number of finished epochs."""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..store.files import replace_file

EPOCHS = "epochs"
"""The key of the metadata with the number of finished epochs."""


def save_checkpoint(file: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, epochs: int) -> None:
    """Writes the state after so many epochs, in full or not at all. Raises OSError if the file cannot be written."""
    tensors = {
        f"{name}.{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
        if isinstance(tensor, Tensor)
    }
    tensors |= dict(_optimizer_tensors(optimizer))
    copies = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}  # two keys may share memory
    replace_file(file, save(copies, {EPOCHS: str(epochs)}))


def load_checkpoint(file: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> int:
    """Sets modules and optimizer to a saved state, and returns its number of epochs; 0 if there is no file that can be read.

    Raises ValueError for a file of other modules.
    """
    try:
        with safe_open(file, framework="pt") as content:
            tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118  (it is no mapping)
            epochs = int((content.metadata() or {}).get(EPOCHS, 0))
    except (OSError, SafetensorError):  # absent, or cut off by a copy
        return 0
    for name, module in modules.items():
        state = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{file} is the state of another network: {str(error).splitlines()[-1].strip()}") from None
    _restore_optimizer(optimizer, tensors)
    return epochs


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors of an optimizer, each with its key: the number of the parameter and the name of the tensor."""
    for number, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield f"optimizer.{number}.{name}", value


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Sets the state of an optimizer to the tensors of a file."""
    parameters = _parameters(optimizer)
    optimizer.state.clear()
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            parameter = parameters[int(number)]
            device = parameter.device if value.dim() else value.device  # AdamW counts its steps on the CPU
            optimizer.state[parameter][name] = value.to(device)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
