"""Networks of timm, torchvision and pytorchcv by name: without a download, and beside a torch that torchvision does not fit."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorchcv.model_provider as pytorchcv
import timm
import torch
import torchvision

import sefactory as sf
from sefactory.networks import zoos
from tests.sampling import sampled

ROOT = Path(__file__).parents[2]
PLACE = {"at": "norm", "block": "simam"}

ZOOS = [
    (
        "tim:resnet50",
        "host: 'tim:resnet50'; allowed: ZOO:NAME, with a zoo of timm, torchvision, pytorchcv; did you mean 'timm'?",
    ),
    ("resnet50", "host: 'resnet50'; allowed: ZOO:NAME, with a zoo of timm, torchvision, pytorchcv"),
    (3, "host: 3; allowed: ZOO:NAME, with a zoo of timm, torchvision, pytorchcv"),
    ("timm:os.system('x')", "host: \"timm:os.system('x')\"; allowed: ZOO:NAME, with a zoo of timm, torchvision, pytorchcv"),
    ("timm:resnet5o", "host: timm has no network 'resnet5o'; did you mean 'resnet50'?"),
    ("torchvision:resnet5", "host: torchvision has no network 'resnet5'; did you mean 'resnet50'?"),
    ("pytorchcv:resnet5", "host: pytorchcv has no network 'resnet5'; did you mean 'resnet50'?"),
]


@pytest.mark.parametrize(("name", "message"), ZOOS)
def test_a_network_that_no_zoo_has(name: Any, message: str) -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.host({"host": name, "place": [PLACE]})
    assert str(caught.value) == message


# ---- Import ----------------------------------------------------------------------------------------------------------

UNFIT = f"it is installed, but does not fit torch {torch.__version__}: install "
IMPORTS: list[tuple[str, Exception, str]] = [
    *(
        (zoo, ModuleNotFoundError(f"No module named '{zoo}'", name=zoo), f"(No module named '{zoo}'); pip install {zoo}")
        for zoo in zoos.ZOOS
    ),
    (
        "timm",
        ModuleNotFoundError("No module named 'torchvision'", name="torchvision"),
        "(No module named 'torchvision'); pip install torchvision",
    ),
    (
        "pytorchcv",
        ModuleNotFoundError("No module named 'cv2.utils'", name="cv2.utils"),
        "(No module named 'cv2.utils'); pip install cv2",
    ),
    (
        "timm",
        ImportError("libcudart.so.13: cannot open\nshared object file"),
        f"(libcudart.so.13: cannot open); {UNFIT}torch, torchvision, timm in releases made for each other",
    ),
    (
        "torchvision",
        AttributeError("module 'torch' has no attribute 'Tag'"),
        f"(module 'torch' has no attribute 'Tag'); {UNFIT}torch, torchvision in releases made for each other",
    ),
]


@pytest.mark.parametrize(("zoo", "error", "text"), IMPORTS, ids=[text[:40] for *_, text in IMPORTS])
def test_a_library_that_cannot_be_imported(zoo: str, error: Exception, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: str) -> None:
        raise error

    monkeypatch.setattr(zoos, "import_module", fail)
    with pytest.raises(sf.ConfigError) as caught:
        sf.host({"host": f"{zoo}:resnet50", "place": [PLACE]})
    assert str(caught.value) == f"host: {zoo} cannot be imported {text}"


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The imports, of a torchvision that needs the operator `missing` for the first time it is imported."""
    imported = list[str]()

    def import_module(module: str) -> None:
        imported.append(module)
        if not hasattr(torch.ops.torchvision, "missing"):
            raise RuntimeError("operator torchvision::missing does not exist")

    monkeypatch.setattr(zoos, "import_module", import_module)
    monkeypatch.setattr(zoos, "_declared", libraries := [])
    monkeypatch.setattr(zoos, "OPERATORS", ("nms", "missing"))  # nms is there already
    yield imported
    for library in libraries:
        library._destroy()


def test_operators_that_torchvision_lacks_are_declared(operators: list[str]) -> None:
    zoos.import_torchvision()
    zoos.import_torchvision()
    assert operators == ["torchvision"] * 3
    with pytest.raises(NotImplementedError, match="torchvision::missing"):
        torch.ops.torchvision.missing(torch.zeros(1, 4), torch.zeros(1), 0.5)


def test_other_operators_are_not_declared(operators: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoos, "OPERATORS", ("nms",))
    with pytest.raises(RuntimeError, match="operator torchvision::missing does not exist"):
        zoos.import_torchvision()
    with pytest.raises(RuntimeError, match="operator torchvision::missing does not exist"):
        zoos.import_torchvision()


@pytest.mark.exhaustive
def test_hosts_are_measured_in_a_new_process(tmp_path: Path) -> None:
    """Without conftest.py, which imports torchvision as `create_network` does."""
    hosts = ["senet_resnet50", "cbam_resnet50"]
    arguments = ["bench", f"hosts=[{','.join(hosts)}]", "batch=1", "rounds=1", "seconds=0.0001", f"hydra.run.dir={tmp_path}"]
    code = f"import sys; from sefactory.cli import main; sys.exit(main.run({arguments}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["block"] for row in rows] == ["timm:resnet50", *hosts] and all(row["forward_ratio"] for row in rows)


# ---- Weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are asked for raise, whether they were downloaded before or not."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(timm.models._builder, "load_pretrained", refuse)
    monkeypatch.setattr(torch, "load", refuse)  # of pytorchcv


def one_of_each_module(zoo: str, functions: dict[str, Any]) -> dict[str, str]:
    """The first network of every file of a zoo, by the name of the file."""
    return {function.__module__: f"{zoo}:{name}" for name, function in reversed(functions.items())}


OTHER_MEDIA = r".*\.(jasper|jasperdr|quartznet|visemenet|propainter|propainter_ip)"  # of pytorchcv: sound and video
NETWORKS = [
    *(f"torchvision:{name}" for name in torchvision.models.list_models() if not name.startswith("regnet")),
    "torchvision:regnet_y_400mf",
    *one_of_each_module("timm", {name: timm.model_entrypoint(name) for name in timm.list_models()}).values(),
    *(
        name
        for module, name in one_of_each_module("pytorchcv", pytorchcv._models).items()
        if not re.fullmatch(OTHER_MEDIA, module)
    ),
]
SAMPLE = {
    "torchvision:lraspp_mobilenet_v3_large": 3_221_538,
    "torchvision:ssdlite320_mobilenet_v3_large": 3_440_060,
    "torchvision:deeplabv3_mobilenet_v3_large": 11_025_477,  # without the auxiliary classifier
    **{f"{zoo}:resnet18": 11_689_512 for zoo in zoos.ZOOS},
}
"""Networks, and their numbers of parameters."""


@pytest.mark.filterwarnings("ignore:The default weight initialization of:FutureWarning")  # googlenet, inception_v3
@pytest.mark.parametrize("name", sampled(NETWORKS, SAMPLE))
def test_weights_are_not_loaded(name: str, offline: None) -> None:
    with torch.device("cpu" if "regnet" in name else "meta"):  # torchvision's reads values of tensors
        count = sum(p.numel() for p in zoos.create_network(name).parameters())
    assert 0 < count == SAMPLE.get(name, count)


def test_weights_are_loaded_where_they_are_asked_for(offline: None) -> None:
    for name in ("timm:resnet18", "torchvision:resnet18", "pytorchcv:resnet18", "torchvision:lraspp_mobilenet_v3_large"):
        with pytest.raises(sf.ConfigError) as caught, torch.device("meta"):
            zoos.create_network(name, pretrained=True)
        zoo, network = name.split(":")
        assert str(caught.value) == f"host: {zoo} cannot create {network!r} (weights are loaded)"


def test_a_network_that_needs_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, pretrained: bool, task: zoos.Task | None) -> None:
        raise ModuleNotFoundError("No module named 'librosa'", name="librosa")

    monkeypatch.setitem(zoos.ZOOS, "pytorchcv", lambda: (["jasper5x3"], create))
    with pytest.raises(sf.ConfigError) as caught:
        zoos.create_network("pytorchcv:jasper5x3")
    assert str(caught.value) == "host: pytorchcv cannot create 'jasper5x3' (No module named 'librosa'); pip install librosa"


def test_a_tag_of_timm_names_weights() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in zoos.create_network("timm:resnet18.a1_in1k").parameters()) > 11e6
    with pytest.raises(sf.ConfigError, match=r"^host: timm has no network 'resnet81.a1_in1k'"):
        zoos.create_network("timm:resnet81.a1_in1k")
