"""Plain attributes are set without torch's look at them, and everything else as torch does it."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

from sefactory.operators import containers as structure
from sefactory.operators.module import Module
from sefactory.shapes import Sizes

FILES = Path(structure.__file__).parent.glob("operators/[a-z]*.py")
FAMILIES = [import_module(f"sefactory.operators.{path.stem}") for path in FILES]


def test_all_modules_of_the_package_are_such() -> None:
    own = [kind for family in [*FAMILIES, structure] for _, kind in inspect.getmembers(family, inspect.isclass)]
    own = [kind for kind in own if issubclass(kind, nn.Module) and kind.__module__.startswith("sefactory.")]
    assert len(own) > 20 and all(issubclass(kind, Module) for kind in own)


class Both(Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))
        self.weight, self.inner = nn.Parameter(torch.ones(3)), nn.ReLU()


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "HW", (1, 2), [1, 2], Sizes.of_map(8)])
def test_a_plain_value_is_an_attribute_and_nothing_else(value: object) -> None:
    module = Both()
    module.said = value
    assert module.said is value and vars(module)["said"] is value
    assert [*dict(module.named_parameters()), *dict(module.named_buffers()), *dict(module.named_children())] == [
        "weight",
        "seen",
        "inner",
    ]


@pytest.mark.parametrize("name", ["weight", "seen", "inner"])
def test_what_is_registered_is_kept_by_torch(name: str) -> None:
    """None lets go of it, and what is no tensor or module is refused, as in any module of torch."""
    module = Both()
    with pytest.raises(TypeError, match=f"cannot assign .*'{name}'"):
        setattr(module, name, 3)
    setattr(module, name, None)
    assert getattr(module, name) is None and name not in vars(module) and name not in module.state_dict()


def test_a_module_begins_as_one_of_torch() -> None:
    """With the same attributes, in registries of its own."""
    ours, theirs, other = vars(Module()), vars(nn.Module()), vars(Module())
    assert ours == theirs and list(ours) == list(theirs)
    assert not any(ours[name] is other[name] for name in ours if isinstance(ours[name], dict | set))


def test_a_parameter_takes_no_name_of_the_module() -> None:
    module = Both()
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        module.forward = nn.Parameter(torch.ones(1))  # type: ignore[assignment]
    module.said = 3
    module.said = nn.Parameter(torch.ones(1))
    assert "said" in module._parameters and "said" not in vars(module)


@pytest.mark.parametrize("name", ["weight", "seen", "inner", "said", "forward", "", "a.b"])
def test_a_module_and_a_buffer_take_the_names_that_torch_gives_them(name: str) -> None:
    """A name that is taken, or is none, is refused in torch's words; a module takes the place of one."""

    def outcome(begin: type[nn.Module], register: bool) -> object:
        module = begin()
        module.said = 3
        module.register_buffer("seen", torch.zeros(2))
        module.weight, module.inner = nn.Parameter(torch.ones(3)), Module()
        try:
            module.register_buffer(name, torch.ones(1)) if register else setattr(module, name, Module())
        except (KeyError, TypeError) as refused:
            return type(refused), str(refused).replace("sefactory.operators.module.Module", "Module")
        return name in vars(module), [list(held) for held in (module._parameters, module._buffers, module._modules)]

    assert outcome(Module, True) == outcome(nn.Module, True)
    assert outcome(Module, False) == outcome(nn.Module, False)


def test_a_buffer_may_stay_out_of_the_state() -> None:
    module = Both()
    module.register_buffer("grid", torch.zeros(1), persistent=False)
    module.register_buffer("none", None)
    assert list(module.state_dict()) == ["weight", "seen"] and list(module._buffers) == ["seen", "grid", "none"]


def test_tensors_and_modules_are_registered() -> None:
    module = Both()
    module.position = None
    module.position = nn.Parameter(torch.zeros(1))
    module.gate = nn.Sigmoid()
    assert "position" in module._parameters and "gate" in module._modules
    assert "position" not in vars(module) and "gate" not in vars(module)
    module.eval()
    assert not module.training and not module.gate.training
