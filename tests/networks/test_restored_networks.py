"""Twelve networks of six packages with blocks are restored in a new process, equal bit for bit."""

from pathlib import Path

import pytest

from tests.networks.routes import SCRAMBLE, run

pytestmark = pytest.mark.exhaustive

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
from sefactory.networks.tracing import tensors_in
{package} = import_module({package!r})
if {package!r} == "pytorchcv":
    import pytorchcv.model_provider

x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
if {package!r} in ("torchvision", "pytorchcv"):
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
model = {make}
"""
SAVE = """
for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
    norm.momentum = 1.0  # with initial statistics the maps of some networks vanish
    norm.weight.data.fill_(1.0)
with torch.no_grad():
    model.train()(torch.rand(4, *x.shape[1:]))
    sf.insert(model.eval(), {block!r}, {at!r}, example=x)
    before = list(tensors_in(model(x)))
    y = list(tensors_in(scramble(model)(x)))
torch.save(y, folder + "/y.pt")
sf.save(model, folder)
print(max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(y, before, strict=True)))
"""
AGAIN = """
sf.restore(folder, model).eval()
with torch.no_grad():
    y, saved = list(tensors_in(model(x))), torch.load(folder + "/y.pt")
print(json.dumps(len(y) > 0 and all(torch.equal(a, b) for a, b in zip(y, saved, strict=True))))
"""


@pytest.mark.parametrize(("package", "make", "block", "at"), TWELVE)
def test_a_network_is_restored_in_a_new_process(package: str, make: str, block: str, at: str, tmp_path: Path) -> None:
    values = {"package": package, "make": make, "block": block, "at": at}
    effect = run(tmp_path, SCRAMBLE + (RESTORE + SAVE).format(**values))
    assert effect > 0.05
    assert run(tmp_path, (RESTORE + AGAIN).format(**values))
