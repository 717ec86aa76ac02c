"""Wrong files: YAML, inheritance, references."""

from tests.error_messages.table import yaml

FILES = [
    yaml("a: [1, 2\nb: 3", "my.yaml: malformed YAML: line 2, column 2: expected ',' or ']', but got ':'"),
    yaml("squeeze: [pool\n", "my.yaml: malformed YAML: line 2, column 1: expected ',' or ']', but got '<stream end>'"),
    yaml("a: 1\na: 2", "my.yaml: malformed YAML: line 2, column 1: the key 'a' appears twice"),
    yaml(
        "gate: [sigmoid]\n---\ngate: [tanh]",
        "my.yaml: malformed YAML: line 2, column 1: expected a single document in the stream, but found another document",
    ),
    yaml("gate:\n\t- sigmoid", "my.yaml: malformed YAML: line 2, column 1: found character '\\t' that cannot start any token"),
    yaml("gate: *nothing", "my.yaml: malformed YAML: line 1, column 7: found undefined alias 'nothing'"),
    yaml(
        "gate: [!!python/object/apply:os.system [ls]]",
        (
            "my.yaml: malformed YAML: line 1, column 8: the tag '!!python/object/apply:os.system' is not allowed; "
            "write plain values"
        ),
    ),
    yaml(
        "gate: [!mine sigmoid]", "my.yaml: malformed YAML: line 1, column 8: the tag '!mine' is not allowed; write plain values"
    ),
    yaml("a: '${oc.env:HOME}'", "my.yaml a: '${' is not allowed; use a name of let"),
    yaml("", "my.yaml: the file is empty"),
    yaml("# nothing\n", "my.yaml: the file is empty"),
    yaml(b"\xff\xfe\x00bad", "my.yaml: is not UTF-8 text"),
    yaml(b"gate: [sig\x00moid]", "my.yaml: malformed YAML: unacceptable character #x0000: special characters are not allowed"),
    yaml(
        "gate: [2020-01-01]",
        "my.yaml gate.0: a value of type date; allowed: text, numbers, true, false, null, lists and mappings",
    ),
    yaml("1: relu\ntrue: tanh", "my.yaml: the key 1 is not text; quote it"),
    yaml("? [a, b]\n: relu", "my.yaml: malformed YAML: line 1, column 3: found unhashable key"),
    yaml(
        "_target_: os.system\n_partial_: true",
        "my.yaml _target_: is not allowed: a config cannot run code; a node is the name of an operator",
        "my.yaml _partial_: is not allowed: a config cannot run code; a node is the name of an operator",
    ),
    yaml(
        "mlp: {hidden: 4, _recursive_: false}",
        "my.yaml mlp._recursive_: is not allowed: a config cannot run code; a node is the name of an operator",
    ),
    yaml("conv: {out: .nan}", "my.yaml conv.out: nan is not a finite number"),
    yaml("let: {a: 9007199254740993}\nrelu: null", "my.yaml let.a: an integer larger than 2^53"),
    yaml(
        (
            "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[relu]]]]]]]]]]]]]]]]]]]]]]]]]]"
            "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
        ),
        "my.yaml: nested deeper than 40",
    ),
    yaml(
        "series: [other]",
        "other.yaml series.0 (used at my.yaml series.0): 'my' includes itself: my.yaml -> other.yaml -> my.yaml",
        other="series: [my]",
    ),
    yaml("- my", "my.yaml 0: 'my' includes itself: my.yaml -> my.yaml"),
    yaml("defaults: [my, _self_]", "my.yaml defaults: 'my' inherits from itself: my.yaml -> my.yaml"),
    yaml(
        "defaults: [other, _self_]",
        "other.yaml defaults: 'my' inherits from itself: my.yaml -> other.yaml -> my.yaml",
        other="defaults: [my, _self_]",
    ),
    yaml("defaults: [cbamm, _self_]", "my.yaml defaults: no config named 'cbamm'; did you mean 'cbam'?"),
    yaml("defaults: cbam", "my.yaml defaults: 'cbam'; allowed: a list of names of blocks and _self_"),
    yaml(
        "defaults: [cbam]\nlet: {r: 4}",
        "my.yaml defaults: _self_ must be listed once; this file's content is merged there, usually last",
    ),
    yaml(
        "defaults: [words, _self_]\nrelu: null",
        "my.yaml defaults: words is not a mapping; only a mapping can be inherited",
        words="[relu]",
    ),
    yaml(
        "defaults: [cbam, _self_]\nseries: {spacial: null}",
        "my.yaml series.spacial: null removes nothing here; there are channel, spatial; did you mean 'spatial'?",
    ),
    yaml(
        "defaults: [cbam, _self_]\nseries: {spatial: {squeez: []}}",
        "my.yaml series.spatial: no key 'squeez'; did you mean 'squeeze'?",
    ),
    yaml(
        "series: {attend: other}",
        (
            "other.yaml excite.0 (used at my.yaml series.attend): attention has no parameter 'token'; it takes tokens, key, "
            "heads, scale, position, factored, similarity; did you mean 'tokens'?"
        ),
        other="excite: [{attention: {token: HW}}]",
    ),
    yaml(
        "series: [inner]",
        (
            "other.yaml gate.0 (used at inner.yaml 0, my.yaml series.0): no operator or config named 'sigmod'; did "
            "you mean 'sigmoid'?"
        ),
        inner="- other",
        other="gate: [sigmod]",
    ),
    yaml(
        "series: [other]",
        "other.yaml (used at my.yaml series.0): malformed YAML: line 2, column 1: expected ',' or ']', but got '<stream end>'",
        other="gate: [sigmoid\n",
    ),
    yaml(
        "series: [other]",
        "other.yaml let.r (used at my.yaml series.0): C/100 = 0.64, which rounds down to 0 (C = 64); use at least 100 channels",
        other="let: {r: C/100}\nmlp: r",
    ),
    yaml(
        "series: [other]",
        (
            "other.yaml (used at my.yaml series.0): leaves 2 maps on S, and a block returns one: join them, for "
            "example by pool: {over: S, by: sum}"
        ),
        other="pool: {by: [mean, max]}",
    ),
    yaml(
        "series: [relu]",
        "my.yaml series.0: 'relu' is an operator and a config (relu.yaml) at once; rename one of them",
        relu="tanh: null",
    ),
    yaml(
        "let: {other: 3}\nseries: [other]",
        "my.yaml series.0: 'other' is a name of let and a config (other.yaml) at once; rename one of them",
        other="tanh: null",
    ),
]
