"""A block with the authors' weights, and what a recording says about it."""

from torch import Tensor, autograd

import sefactory as sf
from tests.papers.recorded_cases import CASES
from tests.papers.references import Golden

Evidence = dict[str, Tensor]


def built(name: str, golden: Golden, extra: list[str] | None = None) -> sf.Block:
    """The block of a case with the authors' weights."""
    case = CASES[name]
    block = sf.build(case.config, golden.input.shape[1], overrides=[*case.overrides, *(extra or [])])
    sf.load_official(block, golden.state, source=case.source)
    return block


def gradient(block: sf.Block, x: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """Eval output and input gradient."""
    x = x.clone().requires_grad_()
    y = block.eval()(x)
    (grad,) = autograd.grad((y * cotangent).sum(), x)
    return y.detach(), grad


def official_buffers(block: sf.Block, source: str, state: Evidence) -> Evidence:
    """Our running statistics under the authors' names and in their shapes, lists cut apart again."""
    mapping, found = block.config["official"][source], Evidence()
    for key, tensor in block.state_dict().items():
        if "running" not in key:
            continue
        entry = max((e for e in mapping if key == e or key.startswith(f"{e}.")), key=len)
        theirs = mapping[entry] if isinstance(mapping[entry], list) else [mapping[entry]]
        names = [name + key[len(entry) :] for name in theirs]
        parts = tensor.split([state[name].numel() for name in names])
        found.update({name: part.reshape(state[name].shape) for name, part in zip(names, parts, strict=True)})
    return found


def evidence(block: sf.Block, golden: Golden, source: str) -> Evidence:
    """What a recording holds, from a block: output, input gradient, train output and the statistics it leaves."""
    output, grad = gradient(block, golden.input, golden.cotangent)
    train = block.train()(golden.input).detach()
    found = {"output": output, "gradient": grad, "train": train}
    return found | {f"statistics {key}": t.clone() for key, t in official_buffers(block, source, golden.state).items()}


def recorded(golden: Golden) -> Evidence:
    """The same from the recording."""
    found = {"output": golden.output, "gradient": golden.grad_input, "train": golden.output_train}
    return found | {f"statistics {key}": tensor for key, tensor in golden.buffers_train.items()}
