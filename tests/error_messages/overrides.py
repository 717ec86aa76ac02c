"""Wrong overrides."""

from tests.error_messages.table import overridden

OVERRIDES = [
    overridden("cbam", "let.q=3", says="cbam.yaml override let.q=3: there is no 'q' at let; there are r, k"),
    overridden(
        "cbam",
        "let.q=3",
        "series.spacial.gate=[]",
        says=(
            "cbam.yaml override let.q=3: there is no 'q' at let; there are r, k",
            (
                "cbam.yaml override series.spacial.gate=[]: there is no 'spacial' at series; there are channel, spatial; did "
                "you mean 'spatial'?"
            ),
        ),
    ),
    overridden(
        "cbam",
        "series.spatial.excite.7.conv.kernel=3",
        says=(
            "cbam.yaml override series.spatial.excite.7.conv.kernel=3: there is no '7' at series.spatial.excite; it is a "
            "list of 2 steps, counted from 0"
        ),
    ),
    overridden(
        "cbam",
        "series.spatial.excite.0.conv.kernl=3",
        says=(
            "cbam.yaml override series.spatial.excite.0.conv.kernl=3: there is no 'kernl' at series.spatial.excite.0.conv; "
            "there are along, mix, out, kernel, bias; did you mean 'kernel'?"
        ),
    ),
    overridden(
        "cbam",
        "series.spatial.excite.0.conv.dilation=2",
        says=(
            "cbam.yaml override series.spatial.excite.0.conv.dilation=2: there is no 'dilation' at "
            "series.spatial.excite.0.conv; there are along, mix, out, kernel, bias; conv takes it: write + in front"
        ),
    ),
    overridden(
        "cbam",
        "series.spatial.excite.last=relu",
        says=(
            "cbam.yaml override series.spatial.excite.last=relu: there is no 'last' at series.spatial.excite; it is a list "
            "of 2 steps, counted from 0"
        ),
    ),
    overridden(
        "danet",
        "parallel.position.series.enter.1.momentum=0.2",
        says=(
            "danet.yaml override parallel.position.series.enter.1.momentum=0.2: there is no 'momentum' at "
            "parallel.position.series.enter.1, which is 'batch_norm'; write the step with its parameters: "
            "'parallel.position.series.enter.1={batch_norm: {momentum: ...}}'"
        ),
    ),
    overridden(
        "danet",
        "parallel.position.series.enter.1.batch_norm.momentum=0.2",
        says=(
            "danet.yaml override parallel.position.series.enter.1.batch_norm.momentum=0.2: there is no 'batch_norm' at "
            "parallel.position.series.enter.1, which is 'batch_norm'; write the step with its parameters: "
            "'parallel.position.series.enter.1={batch_norm: {momentum: ...}}'"
        ),
    ),
    overridden(
        "sknet",
        "series.select.gate.0.softmax.over=C",
        says=(
            "sknet.yaml override series.select.gate.0.softmax.over=C: there is no 'over' at series.select.gate.0.softmax, "
            "which is 'S'; that is over itself: series.select.gate.0.softmax=..."
        ),
    ),
    overridden(
        "cbam",
        "series.spatial.gate.0.x.y=1",
        says="cbam.yaml override series.spatial.gate.0.x.y=1: there is no 'x' at series.spatial.gate.0, which is 'sigmoid'",
    ),
    overridden(
        "cbam",
        "let.r=max(C/4, 8)",
        says=(
            "cbam.yaml override let.r=max(C/4, 8): is not path=value; quote a value with parentheses or commas: "
            "'let.r=\"max(C/4, 8)\"'"
        ),
    ),
    overridden(
        "cbam",
        "let.r=C if C",
        says="cbam.yaml let.r: 'C if C'; allowed: a number, or an expression such as C/r or max(C/32, 8)",
    ),
    overridden("cbam", "+let.r=3", says="cbam.yaml override +let.r=3: 'r' is already there; write r=... without +, or ++r=..."),
    overridden("cbam", "let.r=1,2", says="cbam.yaml override let.r=1,2: gives several values; an override has one"),
    overridden(
        "cbam",
        "let.r=range(1,3)",
        says="cbam.yaml override let.r=range(1,3): gives several values; an override has one",
    ),
    overridden(
        "cbam",
        "squeeze=mean",
        says=(
            "cbam.yaml override squeeze=mean: there is no slot 'squeeze' at the root; say where: squeeze@series.channel=..., "
            "squeeze@series.spatial=..."
        ),
    ),
    overridden(
        "cbam",
        "squeeze@series.chanel=mean",
        says=(
            "cbam.yaml override squeeze@series.chanel=mean: there is no 'chanel' at series; there are channel, spatial; did "
            "you mean 'channel'?"
        ),
    ),
    overridden(
        "cbam",
        "squeeze@series=mean",
        says=(
            "cbam.yaml override squeeze@series=mean: there is no slot 'squeeze' at series; say where: "
            "squeeze@series.channel=..., squeeze@series.spatial=..."
        ),
    ),
    overridden(
        "unit",
        "squeeze=men",
        says=(
            "unit.yaml override squeeze=men: no squeeze word 'men'; there are channels, cluster, columns, conv, linear, max, "
            "mean, mean_max, none, rows, std, window; did you mean 'mean'?"
        ),
    ),
    overridden(
        "unit",
        "excite=relu",
        says=(
            "unit.yaml override excite=relu: no excite word 'relu'; there are attention, conv1d, conv2d, linear, mlp, "
            "multiscale, none; an operator is written as a list: excite=[relu]"
        ),
    ),
    overridden(
        "cbam",
        "series.channel.squeeze=mean",
        says=(
            "cbam.yaml override series.channel.squeeze=mean: a slot is a list, series.channel.squeeze=[mean]; a slot word is "
            "chosen by squeeze@series.channel=mean"
        ),
    ),
    overridden(
        "cbam",
        "squeeze@series.channel=[relu]",
        says=(
            "cbam.yaml override squeeze@series.channel=[relu]: [\"relu\"] is not a squeeze word; a list needs no '@': "
            "series.channel.squeeze=[...]"
        ),
    ),
    overridden(
        "cbam",
        "~squeeze@series.channel",
        says="cbam.yaml override ~squeeze@series.channel: '~' takes no '@'; series.channel.squeeze=[] empties the slot",
    ),
    overridden("cbam", "let@series=x", says="cbam.yaml override let@series=x: '@' is for the slots squeeze, excite, gate"),
    overridden(
        "cbam",
        "~series.spatal",
        says=(
            "cbam.yaml override ~series.spatal: there is no 'spatal' at series; there are channel, spatial; did you mean "
            "'spatial'?"
        ),
    ),
    overridden("cbam", "~let.r=16", says="cbam.yaml override ~let.r=16: '~' takes no value; write ~let.r"),
    overridden("cbam", "let.r", says="cbam.yaml override let.r: is not path=value; write path=value, +path=value or ~path"),
    overridden("cbam", "", says="cbam.yaml override : is not path=value; write path=value, +path=value or ~path"),
    overridden("cbam", "=3", says="cbam.yaml override =3: is not path=value; write path=value, +path=value or ~path"),
    overridden(
        "cbam",
        "block.let.r=8",
        says=(
            "cbam.yaml override block.let.r=8: there is no 'block' at the root; there are paper, let, series, official; a "
            "path begins inside the block: let.r"
        ),
    ),
    overridden(
        "cbam",
        "+defaults=[senet,_self_]",
        says="cbam.yaml defaults: an override cannot set defaults; write them in the file",
    ),
    overridden(
        "cbam",
        "+_target_=os.system",
        says="cbam.yaml _target_: is not allowed: a config cannot run code; a node is the name of an operator",
    ),
    overridden("cbam", "let.r=${oc.env:HOME}", says="cbam.yaml let.r: '${' is not allowed; use a name of let"),
    overridden("cbam", "let.r=null", says="cbam.yaml let.r: null; let holds numbers, true or false, expressions, and nodes"),
    overridden("cbam", "let.r=abc", says="cbam.yaml let.r: abc: no name 'abc'; there are C, r, k"),
    overridden(
        "cbam", "let.r=[1,2]", says="cbam.yaml series.channel.excite.0: mlp: hidden is C/r: 'r' is a node of let, not a number"
    ),
    overridden(
        "cbam",
        "series.spatial.gate=[sigmod]",
        says="cbam.yaml series.spatial.gate.0: no operator or config named 'sigmod'; did you mean 'sigmoid'?",
    ),
    overridden(
        "cbam",
        "series.spatial.excite.0.conv.kernel=4",
        says="cbam.yaml series.spatial.excite.0: conv: kernel 4 is even: a window that keeps the size has an odd kernel",
    ),
    overridden("relu", "let.r=3", says="override let.r=3: there is no 'let' at the root, which is 'relu'"),
    overridden(
        "cbam",
        "~series.spatial",
        "~series.channel",
        says="cbam.yaml series: {}; series is a list of steps or a mapping of named steps",
    ),
    overridden("unit", "gate=none", says="unit.yaml: a unit needs a step in squeeze, excite or gate, and all three are empty"),
    overridden("senet", "~let", says="senet.yaml excite.0: mlp: hidden is C/r: no name 'r'; there are C, H, W"),
]
