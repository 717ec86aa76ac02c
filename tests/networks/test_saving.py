"""A network with blocks comes back from disk, in a new process as well; a folder that does not fit is refused."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

import sefactory as sf
from sefactory.bench import versions
from tests.networks.attributes import attributes, changes
from tests.networks.models import build_network, images, max_difference, outputs, set_alpha, step
from tests.networks.small_net import SIZE, net
from tests.networks.small_net import images as maps

# The network, the block, the places, options.
CASES: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("timm resnet", "cbam", "layer*.*.bn2", {}),
    ("timm resnet", "coordatt", "BasicBlock", {"where": "before"}),
    ("timm resnet", ["senet", {"simam": {}}], "layer4", {"start": "own"}),
    ("timm resnet", "senet", "layer[34]", {"where": "before", "start": "own", "overrides": ["let.r=8"]}),
    ("timm efficientnet", "ecanet", "SqueezeExcite", {"where": "replace", "start": "own"}),
    ("timm efficientnet", "gcnet", "SqueezeExcite", {"where": "replace"}),
    ("torchvision mobilenet", "fcanet", "features.*.block", {}),
    ("yolo", "triplet", "SplitStack", {"start": "own"}),
]


@pytest.mark.parametrize(("name", "block", "at", "options"), CASES)
def test_a_restored_network_computes_the_same(name: str, block: Any, at: str, options: dict[str, Any], tmp_path: Path) -> None:
    model, x = build_network(name), images(2)
    sf.insert(model, block, at, input_size=(3, 64, 64), **options)
    step(model, x)
    model.eval()
    sf.save(model, tmp_path / "saved")
    again = sf.restore(tmp_path / "saved", build_network(name))
    assert max_difference(outputs(again, x), outputs(model, x)) == 0
    assert list(again.state_dict()) == list(model.state_dict())
    assert sf.recipe(again) == sf.recipe(model) == json.loads(json.dumps(sf.recipe(model)))
    assert not [path.name for path in (tmp_path / "saved").iterdir() if path.suffix == ".part"]


def test_a_recipe_is_the_config_of_a_host(tmp_path: Path) -> None:
    model = build_network("timm resnet")
    sf.insert(model, "cbam", "layer*.*.bn2")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(sf.recipe(model)))
    again = build_network("timm resnet")
    report = sf.place(again, tmp_path / "mine.yaml")
    assert len(report.places) == 8 and sf.recipe(again) == sf.recipe(model)


def test_entries_of_one_kind_share_a_config() -> None:
    model = build_network("timm resnet")
    sf.insert(model, "cbam", "layer*.*.bn2")
    found = [(entry["at"], entry["channels"]) for entry in sf.recipe(model)["place"]]
    assert found == [([f"layer{i}.0.bn2", f"layer{i}.1.bn2"], 32 * 2**i) for i in range(1, 5)]


def test_a_folded_network_is_restored(tmp_path: Path) -> None:
    model, x = net(), maps()
    sf.insert(model, "senet", "0", input_size=SIZE)
    set_alpha(model, 0.3)
    assert sf.fold(model) == []
    sf.save(model, tmp_path)
    assert max_difference(outputs(sf.restore(tmp_path, net()), x), outputs(model, x)) == 0


def test_removed_blocks_are_not_in_the_recipe() -> None:
    model = net()
    sf.insert(model, "senet", "*", input_size=SIZE, overrides=["let.r=4"])
    sf.remove(model, "0")
    assert [entry["at"] for entry in sf.recipe(model)["place"]] == [["1"]]
    assert sf.remove(model) == ("1",) and sf.recipe(model)["place"] == []


NEW_PROCESS = """
import sys, torch, sefactory as sf
torch.set_num_threads(1)
model = sf.restore(sys.argv[1]).eval()
torch.manual_seed(0)
torch.save(model(torch.randn(2, 3, 64, 64)), sys.argv[2])
"""


def test_a_host_is_restored_in_a_new_process(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model, _ = sf.host(
        {"host": "torchvision:mobilenet_v3_small", "input": [3, 64, 64], "place": [{"at": "stage:-1", "block": "cbam"}]}
    )
    assert sf.recipe(model)["host"] == "torchvision:mobilenet_v3_small"
    sf.save(model.eval(), tmp_path)
    subprocess.run([sys.executable, "-c", NEW_PROCESS, str(tmp_path), str(tmp_path / "y.pt")], check=True)
    torch.manual_seed(0)
    assert torch.equal(torch.load(tmp_path / "y.pt", weights_only=True), model(torch.randn(2, 3, 64, 64)))


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(32, 32, 1, bias=False), nn.Conv2d(32, 32, 1, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.b(self.a(x))
        return y


def test_shared_weights_are_saved_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, again = Tied(), Tied()
    sf.insert(model, "senet", "a", input_size=(32, 6, 6))
    sf.save(model, tmp_path)
    sf.restore(tmp_path, again)
    x = torch.randn(2, 32, 6, 6)
    assert torch.equal(again(x), model(x)) and again.a.original.weight is again.b.weight


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = net()
    sf.insert(model, "senet", "0", input_size=SIZE)
    sf.save(model, tmp_path / "saved")
    return tmp_path / "saved"


def refusal(folder: Path, model: nn.Module | None) -> str:
    """The message; the network is as it was."""
    before = attributes(model) if model is not None else {}
    with pytest.raises(sf.ConfigError) as caught:
        sf.restore(folder, model)
    assert model is None or changes(model, before) == []
    return str(caught.value)


def edit(folder: Path, **entries: Any) -> None:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **entries}))


def edit_place(folder: Path, **entries: Any) -> None:
    entry = yaml.safe_load((folder / "recipe.yaml").read_text())["place"][0]
    edit(folder, place=[{**entry, **entries}])


def test_a_folder_without_the_files(saved: Path, tmp_path: Path) -> None:
    (saved / "model.safetensors").unlink()
    assert refusal(saved, net()) == f"{saved}: has no model.safetensors; give a folder that sefactory.save wrote"
    missing = tmp_path / "missing"
    message = f"{missing}: has no recipe.yaml, model.safetensors; give a folder that sefactory.save wrote"
    assert refusal(missing, net()) == message


def test_no_network(saved: Path) -> None:
    assert refusal(saved, None) == (
        "recipe.yaml: host: is missing, so the network is not known; pass the network without blocks: "
        f"sefactory.restore({str(saved)!r}, model)"
    )


def test_another_version(saved: Path) -> None:
    edit(saved, made_with={"recipe": 2, "sefactory": "9.0"})
    assert refusal(saved, net()) == (
        "recipe.yaml made_with.recipe: 2; allowed: 1; restore it with the version of sefactory that wrote it"
    )


def test_the_config_of_a_host_is_no_recipe(saved: Path) -> None:
    (saved / "recipe.yaml").write_text("place: [{at: '0', block: senet}]")
    assert refusal(saved, net()) == "recipe.yaml made_with.recipe: None; allowed: 1; use sefactory.place"


def test_a_place_that_the_network_lacks(saved: Path) -> None:
    edit_place(saved, at=["layer1.bn", "0"])
    assert refusal(saved, net()) == (
        "recipe.yaml: place.0 at layer1.bn: the network has no module of this path; its top-level modules are 0, 1"
    )


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"channels": 0}, "channels is 0; allowed: positive whole numbers"),
        ({"channels": "32"}, "channels is '32'; allowed: positive whole numbers"),
        ({"size": 7}, "size is 7; allowed: positive whole numbers"),
        ({"at": "0"}, "at is '0'; allowed: a list of paths"),
        ({"grid": "HD"}, "grid is 'HD'; allowed: one of W, HW, DHW"),
        ({"name": 3}, "name is 3; allowed: a text"),
    ],
)
def test_entries_of_a_wrong_form(saved: Path, entries: dict[str, Any], message: str) -> None:
    edit_place(saved, **entries)
    assert refusal(saved, net()) == f"recipe.yaml place.0: {message}"


def test_weights_that_lack_a_key(saved: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    save_file({key: value for key, value in weights.items() if "inserted" not in key}, saved / "model.safetensors")
    assert refusal(saved, net()) == (
        "model.safetensors: lacks 5 keys (0.inserted.mix, 0.inserted.block.excite.0.0.weight, "
        "0.inserted.block.excite.0.0.bias, ...); save the network again with sefactory.save"
    )


def test_another_network(saved: Path) -> None:
    other = nn.Sequential(nn.Conv2d(3, 32, 5, padding=2), nn.Conv2d(32, 8, 3, padding=1, bias=False)).double()
    assert refusal(saved, other).splitlines() == [
        "model.safetensors 0.weight: has the shape (32, 3, 3, 3), the network needs (32, 3, 5, 5)",
        "model.safetensors: has keys that the network lacks: 1.bias; pass the network that was saved",
    ]


def test_a_broken_file(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(b"no tensors")
    assert refusal(saved, net()).startswith("model.safetensors: cannot be read: ")


def test_a_network_with_blocks_already(saved: Path) -> None:
    model = net()
    sf.insert(model, "simam", "0", input_size=SIZE)
    assert refusal(saved, model).startswith("recipe.yaml: 0: has a block already; ")


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.save(net(), tmp_path / "none")
    assert str(caught.value) == "model: has no inserted blocks; insert them first, or save its state dict with safetensors"
    model = net()
    sf.insert(model, "senet", "0", input_size=SIZE)
    (tmp_path / "file").write_text("")
    with pytest.raises(sf.ConfigError) as caught:
        sf.save(model, tmp_path / "file")
    assert str(caught.value) == f"{tmp_path / 'file'}: is a file; give a folder"
    model[0].inserted.block = sf.freeze(model[0].inserted.block.eval())
    with pytest.raises(sf.ConfigError) as caught:
        sf.recipe(model)
    assert str(caught.value) == "0: its block is frozen, so its weights are folded; take the recipe before sefactory.freeze"


def write_half(path: str | Path) -> NoReturn:
    """Stops in the middle of a file, as at a full disk."""
    Path(path).write_bytes(b"half")
    raise OSError("disk is full")


WRITERS: list[tuple[str, Callable[..., NoReturn]]] = [
    ("sefactory.networks.saving.save_model", lambda model, path: write_half(path)),
    ("pathlib.Path.write_text", lambda path, text, encoding: write_half(path)),
]


@pytest.mark.parametrize(("name", "writer"), WRITERS, ids=["weights", "recipe"])
def test_a_failed_save_keeps_the_old_files(
    name: str, writer: Callable[..., NoReturn], saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = shutil.copytree(saved, saved.parent / "old")
    model = sf.restore(saved, net())
    sf.insert(model, "simam", "1", input_size=SIZE)
    monkeypatch.setattr(name, writer)
    with pytest.raises(OSError, match="disk is full"):
        sf.save(model, saved)
    for file in ("recipe.yaml", "model.safetensors"):
        assert (saved / file).read_bytes() == (old / file).read_bytes()


def test_a_state_dict_has_the_recipe(tmp_path: Path) -> None:
    model = build_network("timm resnet")
    sf.insert(model, "cbam", "layer*.*.bn2")
    sf.insert(model, "senet", "layer4")
    outer = nn.ModuleDict({"model": model})
    for state in (model.state_dict(), outer.state_dict(), copy.deepcopy(model).state_dict()):
        torch.save(state, tmp_path / "state.pt")
        assert sf.recipe(torch.load(tmp_path / "state.pt", weights_only=True)) == sf.recipe(model)
    again = build_network("timm resnet")
    sf.place(again, sf.recipe(model.state_dict()))
    again.load_state_dict(model.state_dict(), strict=True)
    assert max_difference(outputs(again, images(2)), outputs(model, images(2))) == 0
    assert len([hook for hook in model._state_dict_hooks.values() if "recipe" in hook.__name__]) == 1


def test_a_state_dict_without_a_recipe() -> None:
    model = net()
    sf.insert(model, "senet", "0", input_size=SIZE)
    message = (
        "state dict: its metadata has no recipe; take the state dict of a network with inserted blocks as torch.load "
        "returns it, not a copy of its items"
    )
    for state in (net().state_dict(), dict(model.state_dict())):
        with pytest.raises(sf.ConfigError) as caught:
            sf.recipe(state)
        assert str(caught.value) == message
    model[0].inserted.block = sf.freeze(model[0].inserted.block.eval())
    assert "sefactory" not in model.state_dict()._metadata[""]  # type: ignore[attr-defined]


def test_the_order_of_a_series_counts() -> None:
    steps = {"channel": {"senet": None}, "norm": ["batch_norm"]}
    model = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 1))
    sf.insert(model, {"series": steps}, "0", input_size=SIZE, start="own")
    sf.insert(model, {"series": dict(reversed(steps.items()))}, "1", input_size=SIZE, start="own")
    assert [entry["at"] for entry in sf.recipe(model)["place"]] == [["0"], ["1"]]


def test_a_recipe_is_a_copy() -> None:
    model = net()
    sf.insert(model, "senet", "0", input_size=SIZE)
    sf.recipe(model)["place"][0]["block"]["let"]["r"] = 8
    assert sf.recipe(model)["place"][0]["block"]["let"]["r"] == 16


def test_recipes_of_the_parts_of_a_network() -> None:
    model = nn.Sequential(net().float(), net().float())
    for part in model:
        sf.insert(part, "senet", "0", input_size=SIZE)
    paths = [path for entry in sf.recipe(model.state_dict())["place"] for path in entry["at"]]
    assert paths == [path for entry in sf.recipe(model)["place"] for path in entry["at"]] == ["0.0", "1.0"]


def test_a_step_that_is_appended_behind_a_block(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU()), nn.Conv2d(32, 4, 1)).eval()
    sf.insert(model, "senet", "0", input_size=SIZE, start="own")
    model[0].append(nn.ReLU())
    assert sf.recipe(model)["place"][0]["where"] == "after"


def test_a_recipe_names_paths_and_not_patterns(saved: Path) -> None:
    edit_place(saved, at=["Conv2d"])
    message = "recipe.yaml: place.0 at Conv2d: the network has no module of this path; its top-level modules are 0, 1"
    assert refusal(saved, net()) == message
    model = nn.Sequential(nn.ModuleDict({"x[1]": nn.Conv2d(3, 32, 1)}))
    model.forward = lambda x: model[0]["x[1]"](x)
    sf.insert(model, "senet", r"0.x[[]1]", input_size=SIZE)
    sf.save(model, saved)
    again = nn.Sequential(nn.ModuleDict({"x[1]": nn.Conv2d(3, 32, 1)}))
    assert list(sf.restore(saved, again).state_dict()) == list(model.state_dict())


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    versions.package_version.cache_clear()
    monkeypatch.setattr(versions.metadata, "version", missing)
    model = net()
    sf.insert(model, "senet", "0", input_size=SIZE)
    assert sf.recipe(model.state_dict())["made_with"] == {"recipe": 1, "sefactory": "unknown"}
    versions.package_version.cache_clear()
