"""The candidates for the last word of a line, for every place of a command line."""

import subprocess
import sys
from pathlib import Path

import pytest

import sefactory as sf
from sefactory.cli.choices import FORMATS
from sefactory.cli.completion.candidates import complete
from sefactory.cli.completion.shell_words import split_line
from sefactory.cli.primary_config import COMMANDS, command_keys


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with configs of one's own, and with files that are none."""
    monkeypatch.chdir(tmp_path)
    for file, text in {
        "my/block/strips.yaml": "# Strips.\nlet: {r: 4, wide: true}\nsqueeze: [{pool: W}]\ngate: [sigmoid]\n",
        "my/block/deep/er.yaml": "- relu\n",
        "my/squeeze/corners.yaml": "# @package block\n# The corners.\nsqueeze: [relu]\n",
        "my/host/small.yaml": "place: [{at: a, block: b}]\n",
        "more/one.yaml": "series: {a: [relu], b: {gate: [sigmoid], squeeze: []}}\n",
        "more/two.yml": "- relu\n",
        "more/.hidden.yaml": "- relu\n",
        "more/notes.txt": "",
        "broken.yaml": "{",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    (tmp_path / "my" / "block" / "dangling.yaml").symlink_to(tmp_path / "nowhere")


def candidates(line: str) -> list[str]:
    return [text for text, _ in complete(split_line(line, "").parts)]


LINES = {
    # commands and flags
    "": ["show", "bench", "train", "study", "report", "completion"],
    "b": ["bench"],
    "--": ["--help", "--version"],
    "completion ": ["bash", "zsh", "fish"],
    "completion f": ["fish"],
    "nope ": [],
    "bench com": ["compare", "compile="],
    "bench batch=1 com": ["compile="],
    "bench compare m": ["more/", "my/"],
    "bench compare my more format=c": ["format=csv"],
    "show com": [],
    "show --mu": ["--multirun"],
    "show --multirun --mu": [],
    "show --config-": ["--config-dir", "--config-path", "--config-name"],
    "show --cfg ": ["job", "hydra", "all"],
    "show -c j": ["job"],
    "show --cfg=h": ["--cfg=hydra"],
    "show --info def": ["defaults", "defaults-tree"],
    # folders
    "show --config-dir ": ["more/", "my/"],
    "show --config-dir my/b": ["my/block/"],
    "show --config-dir=mo": ["--config-dir=more/"],
    "show -cd m": ["more/", "my/"],
    "bench store=m": ["store=more/", "store=my/"],
    "bench hydra.run.dir=my/h": ["hydra.run.dir=my/host/"],
    # keys
    "show bl": ["block=", "block."],
    "show block=cbam bl": ["block."],
    "bench bl": ["block=", "blocks="],
    "bench ba": ["baseline=", "batch="],
    "bench input=tiny inp": ["input."],
    "show --config-dir my --cfg job chan": ["channels="],
    "show --bogus chan": ["channels="],
    "bench hydra/": ["hydra/launcher=", "hydra/sweeper="],
    "show squeeze": ["squeeze="],
    "show block=cbam squeeze": ["squeeze=", "squeeze@"],
    "show ~": ["~block."],
    # names
    "show block=sen": ["block=senet"],
    "show block=cb": ["block=cbam", "block=cbam_channel", "block=cbam_timm"],
    "show +block=sen": ["+block=senet"],
    "show block=str": ["block=strip_pooling"],
    "show --config-dir my block=str": ["block=strip_pooling", "block=strips"],
    "show --config-dir my block=da": ["block=danet", "block=danet_head"],
    "show --config-dir my block=deep": ["block=deep/er"],
    "show --config-dir nowhere block=str": ["block=strip_pooling"],
    "show --config-dir my squeeze=co": ["squeeze=columns", "squeeze=conv", "squeeze=corners"],
    "show --config-dir my host=s": [
        "host=seaformer_mobilenet_v2",
        "host=senet_resnet50",
        "host=sknet_resnext50",
        "host=small",
    ],
    "bench input=": ["input=mobilenet_v2", "input=resnet50", "input=single", "input=tiny"],
    "bench baseline=cbam_": ["baseline=cbam_channel", "baseline=cbam_timm"],
    # files
    "show block=./": ["block=./broken.yaml", "block=./more/", "block=./my/"],
    "show block=more/": ["block=more/one.yaml", "block=more/two.yml"],
    "show block=more/.": ["block=more/.hidden.yaml"],
    "show block=mor": ["block=more/"],
    "show host=more/o": ["host=more/one.yaml"],
    "bench input=more/": [],
    "bench baseline=more/o": ["baseline=more/one.yaml"],
    "show block=nowhere/": [],
    # lists
    "bench blocks=": [f"blocks=[{name}" for name in sf.configs()],
    "bench blocks=[se": ["blocks=[seaformer", "blocks=[segformer", "blocks=[senet"],
    "bench blocks=[senet,cb": ["blocks=[senet,cbam", "blocks=[senet,cbam_channel", "blocks=[senet,cbam_timm"],
    "bench blocks=[cbam,cbam_": ["blocks=[cbam,cbam_channel", "blocks=[cbam,cbam_timm"],
    "bench blocks=[sen": ["blocks=[senet,", "blocks=[senet]"],
    "bench blocks=[senet,sen": [],
    "bench blocks=[senet]": [],
    "bench blocks=se": [],
    "bench blocks=[./mo": ["blocks=[./more/"],
    "bench blocks=[senet,more/o": ["blocks=[senet,more/one.yaml,", "blocks=[senet,more/one.yaml]"],
    "bench --config-dir my hosts=[sma": ["hosts=[small,", "hosts=[small]"],
    "show blocks=[se": [],
    "bench 'blocks=[sen": ["blocks=[senet,", "blocks=[senet]"],
    'bench "blocks=[sen': ["blocks=[senet,", "blocks=[senet]"],
    "bench blocks=\\[sen": ["blocks=[senet,", "blocks=[senet]"],
    # sweeps
    "bench -m squeeze=mean,col": ["squeeze=mean,columns", "squeeze=mean,columns,"],
    "bench squeeze=mean,ma": ["squeeze=mean,max"],
    "bench squeeze=mean,me": ["squeeze=mean,mean_max"],
    "bench -m dtype=float32,b": ["dtype=float32,bfloat16", "dtype=float32,bfloat16,"],
    "bench dtype=float32,b -m block=sene": ["block=senet", "block=senet,"],
    "bench -m block=senet,more/t": ["block=senet,more/two.yml", "block=senet,more/two.yml,"],
    # choices
    "bench format=": [f"format={word}" for word in FORMATS["bench"]],
    "show format=r": ["format=rewrites"],
    "bench device=c": ["device=cpu", "device=cuda"],
    "bench compile=": ["compile=true", "compile=false"],
    "bench objective=t": ["objective=train_s"],
    "bench batch=": [],
    # slots further down
    "show block=cbam gate@": ["gate@block.series.channel=", "gate@block.series.spatial="],
    "show block=cbam +squeeze@block.series.ch": ["+squeeze@block.series.channel="],
    "show block=cbam squeeze@block.series.channel=clu": ["squeeze@block.series.channel=cluster"],
    "show block=more/one.yaml gate@": ["gate@block.series.b="],
    "show block=senet gate@": [],
    "show block=cbam channels@": [],
    # inside of a block
    "show block.": [f"block.{key}" for key in ("let.", "squeeze.", "squeeze=", "excite.", "excite=", "gate.", "gate=")],
    "show block=cbam block.": ["block.let.", "block.series."],
    "show block=cbam block.let.": ["block.let.r=", "block.let.k="],
    "show block=cbam block.let.r=": ["block.let.r=16"],
    "show block=cbam block.let.x=": [],
    "show block=cbam block.series.spatial.excite.0.": ["block.series.spatial.excite.0.conv."],
    "show block=cbam block.series.spatial.excite.0.conv.k": ["block.series.spatial.excite.0.conv.kernel="],
    "show block=cbam ~block.series.s": ["~block.series.spatial.", "~block.series.spatial"],
    "show block=cbam ~block.series=": [],
    "show block=cbam ++block.let.k": ["++block.let.k="],
    "show block=more/one.yaml block.series.": ["block.series.a.", "block.series.a=", "block.series.b."],
    "show --config-dir my block=strips block.let.w": ["block.let.wide="],
    "show --config-dir my block=strips block.let.wide=": ["block.let.wide=true", "block.let.wide=false"],
    "bench -m block=cbam,senet block.let.": ["block.let.r=", "block.let.k="],
    "bench block.": [],
    "show block=broken.yaml block.": [],
    "show block=nope block.": [],
    "show --config-dir my block=dangling block.": [],
    "bench input=single input.": ["input.channels=", "input.size="],
    "show host=cbam_resnet50 host.place.0.b": ["host.place.0.block="],
}


@pytest.mark.parametrize("line", LINES)
def test_candidates(line: str) -> None:
    assert candidates(line) == LINES[line]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_is_a_candidate(command: str) -> None:
    found = candidates(f"{command} ")
    assert [f"{name}=" for name in command_keys(command)] == [text for text in found if "hydra" not in text and text[-1] == "="]


def test_candidates_are_described() -> None:
    found = dict(complete(["show", "--config-dir", "my", "block=str"]))
    assert found["block=strips"] == "Strips."
    assert dict(complete(["show", "--config-dir", "my", "squeeze=cor"])) == {"squeeze=corners": "The corners."}
    assert dict(complete(["show", "chan"])) == {"channels=": "channels of the block's input"}
    assert dict(complete(["show", "block=cbam", "block.let.r"])) == {"block.let.r=": "16"}


PROGRAM = """
import sys
from sefactory.cli.main import run
for line in sys.argv[1:]:
    assert run(["_complete", f"sefactory {line}"]) == 0
    assert not {"torch", "hydra", "omegaconf", "pydantic", "rich"} & set(sys.modules), line
"""


def test_completion_imports_neither_hydra_nor_torch() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *LINES], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "block=cbam_timm\tCBAM as in timm" in done.stdout
