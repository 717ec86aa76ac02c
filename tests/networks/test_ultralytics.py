"""YOLO11n of Ultralytics with blocks is trained, loaded in a new process, fused, exported and used."""

from pathlib import Path

import pytest

from tests.networks.routes import run, snippet

pytestmark = pytest.mark.exhaustive

SETUP = """
import copy, os
import numpy as np, torchvision
from ultralytics import YOLO
from ultralytics.utils.nms import TorchNMS
from tests.networks.models import set_alpha
from tests.networks.untouched import check_untouched

torchvision.ops.nms = TorchNMS.nms  # a torchvision for another torch has none
torch.manual_seed(0)
x = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
best = folder + "/runs/a/weights/best.pt"

def distance(a, b):
    '''The largest difference of class scores (0 to 1) and of boxes in sides of the image.'''
    scale = torch.tensor([1 / 128] * 4 + [1.0]).view(1, 5, 1)
    return float(((torch.as_tensor(a) - torch.as_tensor(b)) * scale).abs().max())

def running(model):
    return sum(status.calls == 1 and not status.fault for status in sf.check(model, input_size=(3, 128, 128)))
"""
DATA = """
import cv2
for kind in ("images", "labels"):
    os.makedirs(f"{folder}/{kind}")
numbers = np.random.default_rng(0)
for i in range(8):
    image = numbers.integers(0, 255, (128, 128, 3), dtype="uint8")
    image[20:80, 40:100] = 255 * (i % 2)
    cv2.imwrite(f"{folder}/images/{i}.png", image)
    open(f"{folder}/labels/{i}.txt", "w").write("0 0.55 0.4 0.45 0.45")
open(f"{folder}/data.yaml", "w").write(f"{{path: {folder}, train: images, val: images, names: [box]}}")
options = {"device": "cpu", "project": folder + "/runs", "name": "a", "workers": 0, "plots": False, "amp": False}
options |= {"epochs": 1, "imgsz": 128, "batch": 4, "optimizer": "SGD", "lr0": 1e-3, "warmup_epochs": 0}
"""
CALLBACKS = """
def start(trainer):
    '''Starts with an effect of the blocks, and with batch statistics: with initial ones all maps vanish.'''
    set_alpha(trainer.model, 0.5)
    norms = [(norm, norm.momentum) for norm in trainer.model.modules() if isinstance(norm, torch.nn.BatchNorm2d)]
    for norm, momentum in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        trainer.model.train()(torch.rand(32, 3, 128, 128))
    for norm, momentum in norms:
        norm.momentum = momentum
    trainer.ema.ema.load_state_dict(trainer.model.state_dict())

def keep_output(trainer):
    torch.save(trainer.ema.ema.eval()(x)[0], folder + "/y.pt")

yolo.add_callback("on_pretrain_routine_end", start)
yolo.add_callback("on_model_save", keep_output)
"""
EVALUATE = """
import onnx, onnxruntime
yolo = YOLO(best)
model = yolo.model.float().eval()
with torch.no_grad():
    y = model(x)[0]
    fused = copy.deepcopy(model).fuse(verbose=False)
    figures = {"loaded": running(model), "half": distance(y, torch.load(folder + "/y.pt"))}
    figures |= {"fused": running(fused), "fuse": distance(fused(x)[0], y)}
    without = copy.deepcopy(model)
    sf.remove(without, "model.*")
    figures["without"] = distance(without(x)[0], y)
exported = YOLO(best).export(format="onnx", imgsz=128, simplify=False)
names = [tensor.name.split(".inserted.")[0] for tensor in onnx.load(exported).graph.initializer if ".inserted." in tensor.name]
figures["exported"] = len(set(names))
yolo.predict(np.zeros((128, 128, 3), "uint8"), imgsz=128, verbose=False)
figures["predicted"] = running(yolo.model)
session = onnxruntime.InferenceSession(exported)
figures["onnx"] = distance(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], y)
print(json.dumps(figures))
"""
CHANGES = {
    "(3, 640, 640)": "(3, 128, 128)",
    'data="data.yaml"': 'data=folder + "/data.yaml", **options',
    "yolo.train(": f"{CALLBACKS}\nyolo.train(",
}


def test_blocks_stay_from_training_to_export(tmp_path: Path) -> None:
    train = SETUP + DATA + snippet("**Ultralytics.**", CHANGES) + "\nprint(running(yolo.model))"
    assert run(tmp_path, train) == 8
    figures = run(tmp_path, SETUP + EVALUATE)
    print(figures)
    assert [figures[step] for step in ("loaded", "fused", "exported", "predicted")] == [8] * 4
    assert 0 < figures["half"] < 1e-2 and figures["fuse"] < 1e-4 and figures["onnx"] < 1e-3
    assert figures["without"] > 0.1


def test_the_network_is_untouched(tmp_path: Path) -> None:
    script = 'model = YOLO("yolo11n.yaml").model.eval()\ncheck_untouched(model, x, "stage:-1")\nprint("true")'
    assert run(tmp_path, SETUP + script)


LAYER = """
from ultralytics.nn.tasks import DetectionModel
backbone = [[-1, 1, "Conv", [64, 3, 2]], [-1, 1, "Conv", [128, 3, 2]], [-1, 1, "Attention", [128]], [-1, 1, "Conv", [64, 3, 2]]]
model = DetectionModel({"nc": 1, "backbone": backbone, "head": [[[2, 3], 1, "Detect", ["nc"]]]}, verbose=False)
fused = copy.deepcopy(model).eval().fuse(verbose=False)
print(json.dumps([type(module.model[2]).__name__ for module in (model, fused)] + [model(x)["boxes"].shape[0]]))
"""


def test_a_block_is_a_layer_of_a_yaml_file(tmp_path: Path) -> None:
    assert run(tmp_path, SETUP + snippet("A block can also be a layer", {}) + LAYER) == ["Block", "Block", 1]
