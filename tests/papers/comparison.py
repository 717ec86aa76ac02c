"""The values of a block with the authors' weights, to be compared with a recording."""

from torch import Tensor, autograd

import sefactory as sf
from tests.papers.recorded_cases import CASES
from tests.papers.references import Recording

Values = dict[str, Tensor]


def official_block(name: str, recording: Recording, extra: list[str] | None = None) -> sf.Block:
    """The block of a case with the authors' weights."""
    case = CASES[name]
    block = sf.build(case.config, recording.input.shape[1], overrides=[*case.overrides, *(extra or [])])
    sf.load_official(block, recording.state, source=case.source)
    return block


def gradient(block: sf.Block, x: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """Eval output and input gradient."""
    x = x.clone().requires_grad_()
    y = block.eval()(x)
    (grad,) = autograd.grad((y * cotangent).sum(), x)
    return y.detach(), grad


def official_buffers(block: sf.Block, source: str, state: Values) -> Values:
    """Our running statistics under the authors' names and in their shapes; a tensor loaded from several is split again."""
    mapping, found = block.config["official"][source], Values()
    for key, tensor in block.state_dict().items():
        if "running" not in key:
            continue
        entry = max((e for e in mapping if key == e or key.startswith(f"{e}.")), key=len)
        theirs = mapping[entry] if isinstance(mapping[entry], list) else [mapping[entry]]
        names = [name + key[len(entry) :] for name in theirs]
        parts = tensor.split([state[name].numel() for name in names])
        found.update({name: part.reshape(state[name].shape) for name, part in zip(names, parts, strict=True)})
    return found


def measured_values(block: sf.Block, recording: Recording, source: str) -> Values:
    """The values that a recording holds: output, input gradient, training output and running statistics after it."""
    output, grad = gradient(block, recording.input, recording.cotangent)
    train = block.train()(recording.input).detach()
    found = {"output": output, "gradient": grad, "train": train}
    return found | {f"statistics {key}": t.clone() for key, t in official_buffers(block, source, recording.state).items()}


def case_values(name: str, recording: Recording, extra: list[str] | None = None) -> Values:
    """The values of the block of a case with the authors' weights."""
    return measured_values(official_block(name, recording, extra), recording, CASES[name].source)


def recorded_values(recording: Recording) -> Values:
    """The same values from the recording."""
    found = {"output": recording.output, "gradient": recording.grad_input, "train": recording.output_train}
    return found | {f"statistics {key}": tensor for key, tensor in recording.buffers_train.items()}
