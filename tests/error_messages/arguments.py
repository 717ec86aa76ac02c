"""Wrong arguments of build."""

from pathlib import Path

from tests.error_messages.table import Row

ARGUMENTS = [
    Row("senett", ("senett: no config of this name; did you mean 'senet'?",)),
    Row("../senet", ("'../senet': is not a config name; allowed: lowercase letters, digits, _ and / for folders",)),
    Row("/etc/passwd", ("'/etc/passwd': is not a config name; allowed: lowercase letters, digits, _ and / for folders",)),
    Row(
        "http://a.b/c.yaml",
        ("'http://a.b/c.yaml': is not a config name; allowed: lowercase letters, digits, _ and / for folders",),
    ),
    Row(
        "my.yaml",
        (
            "'my.yaml': is not a config name; allowed: lowercase letters, digits, _ and / for folders; "
            "pass Path('my.yaml') for a file",
        ),
    ),
    Row("", ("'': is not a config name; allowed: lowercase letters, digits, _ and / for folders",)),
    Row(None, ("config: null is not a node; a node is a name, a list of nodes, or a mapping",)),
    Row(3, ("config: 3 is not a node; a node is a name, a list of nodes, or a mapping",)),
    Row({}, ("config: {} is not a node; a node is a name, a list of nodes, or a mapping",)),
    Row([], ("config: [] is not a node; a node is a name, a list of nodes, or a mapping",)),
    Row({"a"}, ("config: a value of type set; allowed: text, numbers, true, false, null, lists and mappings",)),
    Row(
        {"mlp": {"hidden": b"x"}},
        ("mlp.hidden: a value of type bytes; allowed: text, numbers, true, false, null, lists and mappings",),
    ),
    Row({1: "relu"}, ("config: the key 1 is not text; quote it",)),
    Row({"conv": {"start": float("nan")}}, ("conv.start: nan is not a finite number",)),
    Row(Path("nope.yaml"), ("nope.yaml: no such file",)),
    Row("cbam", ("channels: 0; allowed: an integer from 1 to 2^31",), channels=0),
    Row("cbam", ("channels: -1; allowed: an integer from 1 to 2^31",), channels=-1),
    Row("cbam", ("channels: true; allowed: an integer from 1 to 2^31",), channels=True),
    Row("cbam", ("channels: '64'; allowed: an integer from 1 to 2^31",), channels="64"),
    Row("cbam", ("channels: 64.0; allowed: an integer from 1 to 2^31",), channels=64.0),
    Row("cbam", ("channels: 1000000000000; allowed: an integer from 1 to 2^31",), channels=10**12),
    Row(
        "cbam",
        (
            "height: 0; allowed: an integer from 1 to 2^31",
            "width: 'x'; allowed: an integer from 1 to 2^31",
        ),
        options={"height": 0, "width": "x"},
    ),
    Row(
        "cbam",
        (
            "cbam.yaml series.channel.excite.0: mlp: hidden is C/r = 0.5, which rounds down to 0 (C = 8, r = 16); set let.r to "
            "8 or less, or use at least 16 channels",
        ),
        channels=8,
    ),
    Row(
        "danet",
        (
            "pam.yaml let.key (used at danet.yaml parallel.position.series.attend): C/8 = 0.5, which rounds down to 0 (C = 4); "
            "use at least 8 channels",
        ),
        channels=16,
    ),
    Row(
        "sknet",
        (
            "sknet.yaml series.split.parallel.k3.0: conv: C of 48 is not divisible by 32",
            "sknet.yaml series.split.parallel.k5.0: conv: C of 48 is not divisible by 32",
        ),
        channels=48,
    ),
    Row("cbam", ("overrides: 'let.r=8'; allowed: a list of texts such as ['let.r=8']",), options={"overrides": "let.r=8"}),
    Row("cbam", ("overrides: [3]; allowed: a list of texts such as ['let.r=8']",), options={"overrides": [3]}),
    Row("cbam", ("overrides: 7; allowed: a list of texts such as ['let.r=8']",), options={"overrides": 7}),
    Row("cbam", ("search: 'x'; allowed: a list of folders",), options={"search": "x"}),
    Row("cbam", ("search: there is no folder nowhere",), options={"search": ["nowhere"]}),
    Row("cbam", ("search: 3 is not a folder",), options={"search": [3]}),
    Row("cbam", ("search: 3; allowed: a list of folders",), options={"search": 3}),
    Row("cbam", ("search: {}; allowed: a list of folders",), options={"search": {}}),
    Row(
        "senet",
        ("senet.yaml excite.0: mlp: would hold 288,230,376,151,711,744 parameters; at most 1,000,000,000 in a block",),
        channels=2**31,
    ),
    Row(
        {"linear": {"mix": "HW"}},
        ("config: linear: needs the size of W, which only a fixed grid has: give height= and width=",),
        options={"height": 7},
    ),
]
