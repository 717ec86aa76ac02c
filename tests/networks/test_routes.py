"""Networks of Transformers, Lightning and segmentation_models.pytorch take blocks, as docs/networks.md says."""

from pathlib import Path

import pytest

from tests.networks.routes import SCRAMBLE, run, snippet

pytestmark = pytest.mark.exhaustive

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
    saved = run(tmp_path, SCRAMBLE + setup + HUGGING_FACE_SAVE)
    assert saved["change"] == 0 and saved["moved"] and saved["places"]
    restored = run(tmp_path, setup + HUGGING_FACE_RESTORE)
    assert restored == {"equal": True, "places": saved["places"]}


def test_the_code_for_transformers_runs(tmp_path: Path) -> None:
    changes = {
        '.from_pretrained("microsoft/resnet-50")': "(ResNetConfig(depths=[1, 1, 1, 1], layer_type='basic'))",
        "model.config.save": "y = scramble(model)(x).logits\nmodel.config.save",
    }
    code = "x = torch.rand(1, 3, 64, 64)\n" + snippet("**Hugging Face Transformers.**", changes)
    assert run(tmp_path, SCRAMBLE + code + "\nprint(json.dumps(torch.equal(model.eval()(x).logits, y)))")


FROM_PRETRAINED = """
from transformers import ResNetConfig, ResNetForImageClassification

x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
"""
MODEL_WITH_BLOCKS = """
model = ResNetForImageClassification(ResNetConfig(hidden_sizes=[64, 64, 128, 128], depths=[1, 1, 1, 1])).eval()
before = model(x).logits
sf.insert(model, "cbam", at="ResNetStage", example={"pixel_values": x})
y = scramble(model)(x).logits
torch.save(y, folder + "/y.pt")
"""


def test_transformers_load_a_class_that_inserts_its_blocks(tmp_path: Path) -> None:
    code = FROM_PRETRAINED + snippet("**`from_pretrained` with blocks.**", {})
    start, load = code.index("model.config.blocks"), code.index("model = ResNetWithBlocks.")
    moved = "print(json.dumps(bool((y - before).abs().max() > 1e-3)))"
    assert run(tmp_path, SCRAMBLE + code[:start] + MODEL_WITH_BLOCKS + code[start:load] + moved)
    count = "sum(len(entry['at']) for entry in sf.recipe(model)['place'])"
    equal = f"print(json.dumps([torch.equal(model.eval()(x).logits, torch.load(folder + '/y.pt')), {count}]))"
    assert run(tmp_path, code[:start] + code[load:] + equal) == [True, 4]


def test_a_detector_of_transformers_is_untouched(tmp_path: Path) -> None:
    check = """
from tests.networks.untouched import check_untouched
check_untouched(kind(config(**options)).eval(), {"pixel_values": x}, "stage:-1")
print("true")
"""
    assert run(tmp_path, "NAME = 'Detr'\n" + TRANSFORMERS + check)


def test_segmentation_models_take_blocks_in_the_encoder(tmp_path: Path) -> None:
    code = snippet("**segmentation_models.pytorch.**", {'"imagenet"': "None"})
    count = "\nprint(sum(status.calls == 1 and not status.fault for status in sf.check(model, input_size=(3, 256, 256))))"
    assert run(tmp_path, code + count) == 4


LIGHTNING = """
import lightning, timm

class Network(Classifier):
    def __init__(self):
        super().__init__()
        self.network = timm.create_model("resnet18", num_classes=3)

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)

x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
"""
LIGHTNING_TRAIN = """
model = Network()
sf.insert(model.network, "cbam", "layer*")
data = torch.utils.data.TensorDataset(torch.rand(8, 3, 64, 64), torch.arange(8) % 3)
trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=4))
trainer.save_checkpoint(folder + "/model.ckpt")
torch.save(model.eval().network(x), folder + "/y.pt")
print(json.dumps({"trained": float(sum(p.abs().sum() for n, p in model.named_parameters() if n.endswith("mix"))) > 0}))
"""
LIGHTNING_LOAD = """
model = Network.load_from_checkpoint(folder + "/model.ckpt", weights_only=True).eval()
equal = torch.equal(model.network(x), torch.load(folder + "/y.pt"))
print(json.dumps({"equal": equal, "places": len(sf.check(model.network))}))
"""


def test_lightning_loads_a_checkpoint_with_blocks(tmp_path: Path) -> None:
    setup = snippet("**Lightning.**", {}) + LIGHTNING
    assert run(tmp_path, setup + LIGHTNING_TRAIN) == {"trained": True}
    assert run(tmp_path, setup + LIGHTNING_LOAD) == {"equal": True, "places": 4}
