"""Networks with blocks go through the tools of their libraries, and come back in a new process with the same output.

The scripts run in processes of their own, as the libraries of users do. A library that is missing is a reason to skip.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.exhaustive

PRELUDE = """
import json, sys, torch
import sefactory as sf
from sefactory.networks.zoos import import_torchvision

torch.set_num_threads(1)
import_torchvision()
folder = sys.argv[1]

def scramble(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if "inserted" in name and tensor.is_floating_point():
                tensor.uniform_(0.1, 0.5)
    return model.eval()
"""


def run(folder: Path, script: str, *packages: str) -> dict[str, float]:
    """The last line that a script prints, as JSON; skips if a package is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "YOLO_OFFLINE": "1"}
    environment |= {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false"}
    command = [sys.executable, "-c", PRELUDE + script, str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


YOLO = """
import copy, os
import numpy as np, torchvision
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.nms import TorchNMS

torchvision.ops.nms = TorchNMS.nms  # a torchvision for another torch has none
x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
best = folder + "/runs/a/weights/best.pt"

def distance(a, b):
    return float((torch.as_tensor(a) - torch.as_tensor(b)).abs().max() / torch.as_tensor(b).abs().max())

def running(model):
    return sum(status.calls == 1 and not status.fault for status in sf.check(model, input_size=(3, 64, 64)))
"""
TRAIN = """
import cv2
for kind in ("images", "labels"):
    os.makedirs(f"{folder}/{kind}")
numbers = np.random.default_rng(0)
for i in range(8):
    image = numbers.integers(0, 255, (64, 64, 3), dtype="uint8")
    image[10:40, 20:50] = 255 * (i % 2)
    cv2.imwrite(f"{folder}/images/{i}.png", image)
    open(f"{folder}/labels/{i}.txt", "w").write("0 0.55 0.4 0.45 0.45")
open(f"{folder}/data.yaml", "w").write(f"{{path: {folder}, train: images, val: images, names: [box]}}")

yolo = YOLO("yolo11n.yaml")
detect = yolo.model.model[-1]
before = {key: value for key, value in detect.__dict__.items()}
sf.insert(yolo.model, "cbam", "C3k2", input_size=(3, 64, 64))
is_untouched = all(detect.__dict__[key] is value for key, value in before.items())
recipe = sf.recipe(yolo.model)

class Trainer(DetectionTrainer):
    def get_model(self, cfg=None, weights=None, verbose=True):
        model = super().get_model(cfg, None, verbose)
        sf.place(model, recipe, input_size=(3, 64, 64))
        if weights is not None:
            model.load(weights)
        return model

    def save_model(self):
        super().save_model()
        torch.save(self.ema.ema.eval()(x)[0], folder + "/y.pt")

options = {"device": "cpu", "project": folder + "/runs", "name": "a", "workers": 0, "plots": False, "amp": False}
yolo.train(trainer=Trainer, data=folder + "/data.yaml", epochs=1, imgsz=64, batch=4, **options)
print(json.dumps({"untouched": is_untouched, "running": running(yolo.model)}))
"""
EVALUATE = """
yolo = YOLO(best)
model = yolo.model.float().eval()
with torch.no_grad():
    y = model(x)[0]
    fused = copy.deepcopy(model).fuse(verbose=False)
    figures = {"loaded": running(model), "half": distance(y, torch.load(folder + "/y.pt"))}
    figures |= {"fused": running(fused), "fuse": distance(fused(x)[0], y)}
exported = YOLO(best).export(format="onnx", imgsz=64, simplify=False)
yolo.predict(np.zeros((64, 64, 3), "uint8"), imgsz=64, verbose=False)
figures["predicted"] = running(yolo.model)
import onnxruntime
session = onnxruntime.InferenceSession(exported)
figures["onnx"] = distance(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], y)
print(json.dumps(figures))
"""


def test_ultralytics_trains_loads_fuses_predicts_and_exports(tmp_path: Path) -> None:
    packages = ("ultralytics", "cv2", "onnx", "onnxruntime")
    assert run(tmp_path, YOLO + TRAIN, *packages) == {"untouched": True, "running": 8}
    figures = run(tmp_path, YOLO + EVALUATE, *packages)
    print(figures)
    assert figures["loaded"] == figures["fused"] == figures["predicted"] == 8
    assert 0 < figures["half"] < 1e-2 and figures["fuse"] < 1e-4 and figures["onnx"] < 1e-3


TRANSFORMERS = """
import transformers
from transformers import AutoConfig, AutoModelForImageClassification

widths = {"hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1]}
tokens = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "image_size": 64}
small = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 64, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
small |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "num_queries": 5, "use_timm_backbone": False}
small |= {"use_pretrained_backbone": False, "backbone": None}
backbone = {"embedding_size": 16, "layer_type": "basic", "out_features": ["stage4"], **widths}
CASES = {
    "ResNet": ("ForImageClassification", {"embedding_size": 16, "layer_type": "basic", **widths}, "stage:-1"),
    "ConvNextV2": ("ForImageClassification", {"image_size": 64, **widths}, "stage:-1"),
    "ViT": ("ForImageClassification", {"patch_size": 16, **tokens}, "ViTLayer"),
    "DeiT": ("ForImageClassification", {"patch_size": 16, **tokens}, "DeiTLayer"),
    "Dinov2WithRegisters": ("ForImageClassification", {"patch_size": 16, **tokens}, "Dinov2WithRegistersLayer"),
    "Swin": (
        "ForImageClassification",
        {"image_size": 64, "embed_dim": 32, "depths": [1, 1, 1], "num_heads": [2, 2, 4], "window_size": 4},
        "SwinMLP",
    ),
    "Segformer": (
        "ForSemanticSegmentation",
        {**widths, "num_attention_heads": [1, 2, 4, 4], "decoder_hidden_size": 64},
        ["SegformerLayer", "stage:-1"],
    ),
    "Detr": ("ForObjectDetection", small, ["stage:-1", "DetrEncoderLayer"]),
}
task, options, at = CASES[NAME]
if NAME == "Detr":
    options["backbone_config"] = transformers.ResNetConfig(**backbone)
kind, config = getattr(transformers, NAME + task), getattr(transformers, NAME + "Config")
x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
"""
HUGGING_FACE_SAVE = """
model = kind(config(**options)).eval()
before = model(pixel_values=x).logits
report = sf.insert(model, "cbam", at, example={"pixel_values": x})
change = float((model(pixel_values=x).logits - before).abs().max())
scramble(model)
y = model(pixel_values=x).logits
torch.save(y, folder + "/y.pt")
model.config.save_pretrained(folder)
sf.save(model, folder)
print(json.dumps({"change": change, "moved": bool((y - before).abs().max() > 0), "places": len(report.places)}))
"""
HUGGING_FACE_RESTORE = """
model = sf.restore(folder, kind(config.from_pretrained(folder))).eval()
equal = torch.equal(model(pixel_values=x).logits, torch.load(folder + "/y.pt"))
print(json.dumps({"equal": equal, "places": len([s for s in sf.check(model, example={"pixel_values": x}) if not s.fault])}))
"""


@pytest.mark.parametrize("name", ["ResNet", "ConvNextV2", "ViT", "DeiT", "Dinov2WithRegisters", "Swin", "Segformer", "Detr"])
def test_transformers_come_back_from_their_config_and_the_recipe(name: str, tmp_path: Path) -> None:
    setup = f"NAME = {name!r}\n" + TRANSFORMERS
    saved = run(tmp_path, setup + HUGGING_FACE_SAVE, "transformers")
    assert saved["change"] == 0 and saved["moved"] and saved["places"]
    restored = run(tmp_path, setup + HUGGING_FACE_RESTORE, "transformers")
    assert restored == {"equal": True, "places": saved["places"]}


LIGHTNING = """
import lightning, timm

class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = timm.create_model("resnet18", num_classes=3)

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["recipe"] = sf.recipe(self.network)

    def on_load_checkpoint(self, checkpoint):
        if not sf.recipe(self.network)["place"]:
            sf.place(self.network, checkpoint["recipe"])

x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
"""
LIGHTNING_TRAIN = """
model = Classifier()
sf.insert(model.network, "cbam", "layer*")
data = torch.utils.data.TensorDataset(torch.rand(8, 3, 64, 64), torch.arange(8) % 3)
trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=4))
trainer.save_checkpoint(folder + "/model.ckpt")
torch.save(model.eval().network(x), folder + "/y.pt")
print(json.dumps({"trained": float(sum(p.abs().sum() for n, p in model.named_parameters() if n.endswith("mix"))) > 0}))
"""
LIGHTNING_LOAD = """
model = Classifier.load_from_checkpoint(folder + "/model.ckpt", weights_only=True).eval()
equal = torch.equal(model.network(x), torch.load(folder + "/y.pt"))
print(json.dumps({"equal": equal, "places": len(sf.check(model.network))}))
"""


def test_lightning_loads_a_checkpoint_with_blocks(tmp_path: Path) -> None:
    assert run(tmp_path, LIGHTNING + LIGHTNING_TRAIN, "lightning", "timm") == {"trained": True}
    assert run(tmp_path, LIGHTNING + LIGHTNING_LOAD, "lightning", "timm") == {"equal": True, "places": 4}


TWELVE = [
    ("timm", "timm.create_model('resnet18')", "cbam", "layer*.*.bn2"),
    ("timm", "timm.create_model('vit_tiny_patch16_224', img_size=64)", "senet", "blocks.*"),
    ("timm", "timm.create_model('efficientnet_b0')", "ecanet", "SqueezeExcite"),
    ("torchvision", "torchvision.models.mobilenet_v3_small()", "coordatt", "stage:-1"),
    ("torchvision", "torchvision.models.swin_t()", "cbam", "features.7"),
    ("pytorchcv", "pytorchcv.model_provider.get_model('resnet18')", "triplet", "stage:-1"),
    ("pytorchcv", "pytorchcv.model_provider.get_model('mobilenetv2_w1')", "senet", "stage:-2"),
    (
        "segmentation_models_pytorch",
        "segmentation_models_pytorch.Unet('resnet18', encoder_weights=None)",
        "cbam",
        "encoder.layer4",
    ),
    ("segmentation_models_pytorch", "segmentation_models_pytorch.FPN('resnet18', encoder_weights=None)", "senet", "stage:-1"),
    ("ultralytics", "ultralytics.YOLO('yolo11n.yaml').model", "coordatt", "C3k2"),
    ("transformers", "transformers.ResNetModel(transformers.ResNetConfig(depths=[1, 1, 1, 1]))", "cbam", "stage:-1"),
    ("transformers", "transformers.SegformerModel(transformers.SegformerConfig())", "senet", "stage:-1"),
]
RESTORE = """
from importlib import import_module
{package} = import_module({package!r})
if {package!r} == "pytorchcv":
    import pytorchcv.model_provider

def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if hasattr(value, "values") else value if isinstance(value, list | tuple) else ()
    return [tensor for item in items for tensor in tensors(item)]

x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
if {package!r} in ("torchvision", "pytorchcv"):
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
model = {make}
"""
SAVE = """
sf.insert(model, {block!r}, {at!r}, example=x)
scramble(model)
with torch.no_grad():
    torch.save(tensors(model(x)), folder + "/y.pt")
sf.save(model, folder)
print("true")
"""
AGAIN = """
sf.restore(folder, model).eval()
with torch.no_grad():
    y, saved = tensors(model(x)), torch.load(folder + "/y.pt")
print(json.dumps(len(y) > 0 and all(torch.equal(a, b) for a, b in zip(y, saved, strict=True))))
"""


@pytest.mark.parametrize(("package", "make", "block", "at"), TWELVE)
def test_a_network_is_restored_in_a_new_process(package: str, make: str, block: str, at: str, tmp_path: Path) -> None:
    values = {"package": package, "make": make, "block": block, "at": at}
    run(tmp_path, (RESTORE + SAVE).format(**values), package)
    assert run(tmp_path, (RESTORE + AGAIN).format(**values), package)
