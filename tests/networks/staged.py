"""Small networks whose stages are nested, followed by heads, or beside decoders, in the manner of public ones."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate


def conv(inputs: int, outputs: int, stride: int = 1, dims: int = 2) -> nn.Sequential:
    """A convolution, a norm and an activation."""
    kinds: Any = {1: (nn.Conv1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[dims]
    return nn.Sequential(kinds[0](inputs, outputs, 3, stride, 1), kinds[1](outputs), nn.ReLU())


class Stage(nn.Module):
    """A list of layers, the first of which has a stride, as in transformers."""

    def __init__(self, inputs: int, outputs: int, stride: int = 2, dims: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList([conv(inputs, outputs, stride, dims), conv(outputs, outputs, 1, dims)])

    def forward(self, hidden_state: Tensor) -> Tensor:
        for layer in self.layers:
            hidden_state = layer(hidden_state)
        return hidden_state


class Encoder(nn.Module):
    """Stages in a list; returns a dict."""

    def __init__(self, dims: int = 2) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Stage(16, 16, 1, dims), Stage(16, 32, 2, dims), Stage(32, 64, 2, dims)])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for stage in self.stages:
            x = stage(x)
        return {"last_hidden_state": x}


class Model(nn.Module):
    """A stem and an encoder, called by keywords."""

    def __init__(self, dims: int = 2) -> None:
        super().__init__()
        self.embeddings, self.encoder = conv(3, 16, 2, dims), Encoder(dims)

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        y: dict[str, Tensor] = self.encoder(self.embeddings(pixel_values))
        return {**y, "pooler_output": y["last_hidden_state"].flatten(2).mean(2)}


class Classifier(nn.Module):
    """A model inside, as `ConvNextV2ForImageClassification` of transformers."""

    def __init__(self, dims: int = 2) -> None:
        super().__init__()
        self.model, self.classifier = Model(dims), nn.Linear(64, 5)

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.model(pixel_values=pixel_values)["pooler_output"])}


class Positions(nn.Module):
    """A map of the size of another one."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :8])


class Detector(nn.Module):
    """A backbone that returns a list, positions, a projection, and tokens, as DETR."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.position_embedding, self.input_projection = Model(), Positions(), nn.Conv2d(64, 8, 1)
        self.transformer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(pixel_values=x)["last_hidden_state"]
        y: Tensor = self.input_projection(features) + self.position_embedding(features)
        return self.transformer(y.flatten(2).transpose(1, 2))


class Separate(nn.Module):
    """A classifier of which only the parts are called, with a projection behind it, as the demonstration of DETR."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.conv = Plain(), nn.Conv2d(32, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.backbone.features(self.backbone.stem(x)))
        return y.flatten(2).transpose(1, 2)


class Plain(nn.Module):
    """A stem, some features, and logits by a 1x1 convolution that are averaged, as SqueezeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.features = conv(3, 16, 2), nn.Sequential(nn.MaxPool2d(2), conv(16, 32), nn.MaxPool2d(2), conv(32, 32))
        self.logits, self.relu = nn.Conv2d(32, 5, 1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.logits(self.features(self.stem(x)))).mean((2, 3))


class Flat(nn.Module):
    """All layers in the network itself, with logits that are enlarged."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.pool, self.c = conv(3, 16, 2), conv(16, 32, 2), nn.MaxPool2d(2), conv(32, 32)
        self.head, self.act = nn.Conv2d(32, 5, 1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.head(self.c(self.pool(self.b(self.a(x))))))
        return interpolate(y, x.shape[2:])


class UNet(nn.Module):
    """One pooling for all sizes, a decoder, and a module for the output."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.down1, self.down2, self.bottom = conv(3, 16), conv(16, 32), conv(32, 64)
        self.up2, self.up1, self.out = conv(96, 32), conv(48, 16), nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(self.pool(first))
        y = self.up2(torch.cat([second, self.up(self.bottom(self.pool(second)))], 1))
        y = self.out(self.up1(torch.cat([first, self.up(y)], 1)))
        assert isinstance(y, Tensor)
        return y


class Pyramid(nn.Module):
    """Maps of an encoder, enlarged and summed, and a coarser one besides, as the pyramid of RetinaNet."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([conv(3, 16, 2), conv(16, 32, 2), conv(32, 64, 2)])
        self.inner = nn.ModuleList([nn.Conv2d(32, 8, 1), nn.Conv2d(64, 8, 1)])
        self.coarser, self.coarsest = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [x]
        for stage in self.body:
            maps.append(stage(maps[-1]))
        top = self.inner[1](maps[3])
        finer = self.inner[0](maps[2]) + interpolate(top, scale_factor=2)
        coarser = self.coarser(top)
        return [finer, top, coarser, self.coarsest(coarser)]


class TwoLists(nn.Module):
    """Downsampling layers and stages in two lists, as the authors' ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList([nn.Conv2d(3, 16, 4, 4), nn.Conv2d(16, 32, 2, 2), nn.Conv2d(32, 64, 2, 2)])
        self.stages = nn.ModuleList([conv(16, 16), conv(32, 32), conv(64, 64)])

    def forward(self, x: Tensor) -> Tensor:
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return x.mean((2, 3))


class Pair(nn.Module):
    """A layer whose result is a tuple of one map, as in PoolFormer of transformers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = conv(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.layer(x),)


class Tuples(nn.Module):
    """Layers that return tuples, behind embeddings that return maps."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([conv(3, 16, 2), conv(16, 32, 2)])
        self.block = nn.ModuleList([Pair(16), Pair(32)])

    def forward(self, x: Tensor) -> Tensor:
        for embedding, block in zip(self.embeddings, self.block, strict=True):
            x = block(embedding(x))[0]
        return x.mean((2, 3))


class TwoPaths(nn.Module):
    """A shallow path at a fine grid, then a deep one, as BiSeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Sequential(conv(3, 16, 2), conv(16, 32, 2))
        self.context = nn.Sequential(conv(3, 16, 2), conv(16, 32, 2), conv(32, 64, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(x) + interpolate(self.context(x)[:, :32], scale_factor=2)


class Separable(nn.Module):
    """Convolutions of space and of time in turn: one stage, though the size changes twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16, dims=3)
        self.layer = nn.Sequential(
            nn.Conv3d(16, 16, (1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.Conv3d(16, 16, (3, 1, 1), (2, 1, 1), (1, 0, 0))
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(self.stem(x))
        return y


class ChannelsLast(nn.Module):
    """Maps (B, H, W, C), as Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 24, 2, 2)
        self.stages = nn.ModuleList([nn.Linear(24, 24), nn.Linear(96, 48)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages[0](self.embed(x).permute(0, 2, 3, 1))
        y: Tensor = self.stages[1](torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1))
        return y.mean((1, 2))


class Tokens(nn.Module):
    """Embeds patches by several convolutions, and goes on with tokens, as LeViT and ViT."""

    def __init__(self, strides: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*[conv(3 if i == 0 else 16, 16, 2) for i in range(strides)])
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(16, 2, 1024, batch_first=True) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)[:, ::4]
        return x.mean(1)


class Hidden(nn.Module):
    """Keeps `feature_info` that names modules which do not exist."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_info = [{"module": "stages.0", "num_chs": 16}, {"num_chs": 32}]
        self.stages_0, self.stages_1 = conv(3, 16, 2), conv(16, 32, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stages_1(self.stages_0(x))
        return y


class TwoBranches(nn.Module):
    """Stages that return a map for each of two branches, which timm's `feature_info` notes."""

    feature_info = [{"module": "stages.0"}, {"module": "stages.1"}]

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([BranchStage(3, 3), BranchStage(8, 16)])

    def forward(self, x: Tensor) -> Tensor:
        maps = [x, x]
        for stage in self.stages:
            maps = stage(maps)
        return maps[1].mean((2, 3))


class Pooled(nn.Module):
    """A stage with a downsampling, and layers on tokens; returns a map and a class token, as PiT does."""

    feature_info = [{"module": "stage"}]

    class PooledStage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.token, self.layers = nn.Conv2d(3, 32, 2, 2), nn.Linear(3, 32), nn.Linear(32, 32)
            self.norm = nn.LayerNorm(32)

        def forward(self, x: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
            x, token = self.pool(x), self.token(token)
            y = self.norm(self.layers(torch.cat([token, x.flatten(2).transpose(1, 2)], 1)))
            return y[:, 1:].transpose(1, 2).reshape(x.shape), y[:, :1]

    def __init__(self) -> None:
        super().__init__()
        self.stage = self.PooledStage()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stage(x, x.new_zeros(len(x), 1, 3))[1]
        return y


class BranchStage(nn.Module):
    """A map of the full size, and one of half the size."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv(first, 8), conv(second, 16, 2)])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
