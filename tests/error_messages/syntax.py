"""Wrong syntax of a config: names, keys, slots, header."""

from tests.error_messages.table import yaml

GRAMMAR = [
    yaml(
        "squeeze: [avgpool]\ngate: [sigmoid]",
        "my.yaml squeeze.0: no operator or config named 'avgpool'; write pool with by: mean",
    ),
    yaml(
        "squeeze: [{pool: {by: avg}}]",
        (
            "my.yaml squeeze.0: pool: by is 'avg'; allowed: one of mean, max, min, sum, std, var, l1, l2, logsumexp, or "
            "a list of them; did you mean 'mean'?"
        ),
    ),
    yaml(
        "squeeze: [{pool: {by: [mean, maximum]}}]",
        (
            'my.yaml squeeze.0: pool: by is ["mean", "maximum"]; allowed: one of mean, max, min, sum, std, var, l1, l2, '
            "logsumexp, or a list of them; did you mean 'max'?"
        ),
    ),
    yaml(
        "squeeze: [{pool: {ovr: HW, bye: mean}}]",
        "my.yaml squeeze.0: pool has no parameter 'ovr'; it takes over, by, eps, unbiased; did you mean 'over'?",
        "my.yaml squeeze.0: pool has no parameter 'bye'; it takes over, by, eps, unbiased; did you mean 'by'?",
    ),
    yaml(
        "squeeze: [{pool: {over: hw}}]",
        "my.yaml squeeze.0: pool: over is 'hw'; allowed: letters of SCDHW, each once, or grid; did you mean 'HW'?",
    ),
    yaml(
        "squeeze: [{pool: {over: HB}}]", "my.yaml squeeze.0: pool: over is 'HB'; allowed: letters of SCDHW, each once, or grid"
    ),
    yaml(
        "squeeze: [{pool: {over: [H, W]}}]",
        'my.yaml squeeze.0: pool: over is ["H", "W"]; allowed: letters of SCDHW, each once, or grid; did you mean \'HW\'?',
    ),
    yaml(
        "squeeze: [{pool: {over: HH}}]", "my.yaml squeeze.0: pool: over is 'HH'; allowed: letters of SCDHW, each once, or grid"
    ),
    yaml("squeeze: [pool: mean]", "my.yaml squeeze.0: pool: over is 'mean'; allowed: letters of SCDHW, each once, or grid"),
    yaml(
        "parallel: {a: [relu], b: [tanh]}\nfuse: add",
        "my.yaml fuse: 'add'; allowed: one of sum, mean, product, max, min, difference, stack, concat; did you mean 'sum'?",
    ),
    yaml(
        "parallel: {a: [relu], b: [tanh]}\nfuse: cat",
        "my.yaml fuse: 'cat'; allowed: one of sum, mean, product, max, min, difference, stack, concat; did you mean 'concat'?",
    ),
    yaml(
        "parallel: {a: [relu], b: [tanh]}",
        "my.yaml: fuse is missing; allowed: one of sum, mean, product, max, min, difference, stack, concat",
    ),
    yaml("own: {a: [relu]}\nfuse: sum", "my.yaml: parallel is missing; allowed: a mapping of names to nodes"),
    yaml("parallel: [relu, tanh]\nfuse: sum", 'my.yaml parallel: ["relu", "tanh"]; parallel is a mapping of names to nodes'),
    yaml(
        "parallel: {values: [relu], keys: [tanh]}\nown: {valeus: [sigmoid]}\nfuse: sum",
        "my.yaml own.valeus: no branch 'valeus' in parallel; there are values, keys; did you mean 'values'?",
    ),
    yaml("parallel: {a: [relu]}\nshared: relu\nfuse: sum", "my.yaml shared: 'relu'; shared is a list of steps; write [relu]"),
    yaml(
        "gate: [sigmoid]\napply: mul",
        "my.yaml apply: 'mul'; allowed: one of multiply, add, subtract, divide, scale_shift; did you mean 'multiply'?",
    ),
    yaml("gate: [sigmoid]\napply: 3", "my.yaml apply: 3; allowed: one of multiply, add, subtract, divide, scale_shift"),
    yaml("squeez: [{pool: HW}]", "my.yaml: no operator or config named 'squeez'; did you mean 'squeeze'?"),
    yaml("squeez: [{pool: HW}]\nexcite: []\ngate: [sigmoid]", "my.yaml: no key 'squeez'; did you mean 'squeeze'?"),
    yaml(
        "squeez: [{pool: HW}]\nexcit: [relu]",
        "my.yaml: no slot or operator 'squeez'; did you mean 'squeeze'?",
        "my.yaml: no slot or operator 'excit'; did you mean 'excite'?",
    ),
    yaml(
        "squeeze: [{pool: HW}]\nexcite: []\ngates: [sigmoid]\nrelu: null",
        "my.yaml: no key 'gates'; did you mean 'gate'?",
        "my.yaml: 'relu' cannot be combined with 'squeeze'; allowed here: gate, apply",
    ),
    yaml(
        "relu: null\nsigmoid: null",
        "my.yaml: relu, sigmoid are in one mapping; a node has one operator, so write each as a step of a list",
    ),
    yaml(
        "series: [relu]\nparallel: {a: [relu]}\nfuse: sum",
        "my.yaml: 'parallel' cannot be combined with 'series'; a node has one form",
        "my.yaml: 'fuse' cannot be combined with 'series'; a node has one form",
    ),
    yaml(
        "series: {a: [relu]}\ngate: [sigmoid]",
        "my.yaml: the slot 'gate' cannot be combined with 'series'; say which step has it: gate@series.NAME=...",
    ),
    yaml("gate: sigmoid", "my.yaml gate: 'sigmoid'; gate is a list of steps; write [sigmoid]"),
    yaml("gate: {softmax: C}", 'my.yaml gate: {"softmax": "C"}; gate is a list of steps; put it in brackets'),
    yaml("squeeze: null\ngate: [sigmoid]", "my.yaml squeeze: null; squeeze is a list of steps, [] for none"),
    yaml("gate: [{sigmoid: 3}]", "my.yaml gate.0: sigmoid takes no parameters, got 3"),
    yaml("gate: [{sigmoid: {slope: 3}}]", "my.yaml gate.0: sigmoid has no parameter 'slope'; it takes none"),
    yaml("series: relu", "my.yaml series: 'relu'; series is a list of steps or a mapping of named steps"),
    yaml("series: {}", "my.yaml series: {}; series is a list of steps or a mapping of named steps"),
    yaml(
        "squeeze: []\nexcite: []\ngate: []",
        "my.yaml: a unit needs a step in squeeze, excite or gate, and all three are empty",
    ),
    yaml("apply: add", "my.yaml: a unit needs a step in squeeze, excite or gate, and all three are empty"),
    yaml("paper: a title", "my.yaml: there is nothing to build, only paper"),
    yaml("- paper: a title\n  relu: null", "my.yaml 0: no slot or operator 'paper'; paper belongs at the root of a file"),
    yaml("paper: 3\nrelu: null", "my.yaml paper: 3; allowed: text"),
    yaml(
        "gate: [sigmoid]\nofficial: {a/b: [fc]}",
        'my.yaml official.a/b: ["fc"]; allowed: a mapping from keys of the block to official keys',
    ),
    yaml(
        "gate: [sigmoid]\nofficial: {a/b: {excite.0: 3, unused: conv6}}",
        "my.yaml official.a/b.excite.0: 3; allowed: an official key, or a list of them",
        "my.yaml official.a/b.unused: 'conv6'; allowed: a list of official keys",
    ),
    yaml(
        "- relu\n- []\n- null\n- 3",
        "my.yaml 1: [] is not a node; a node is a name, a list of nodes, or a mapping",
        "my.yaml 2: null is not a node; a node is a name, a list of nodes, or a mapping",
        "my.yaml 3: 3 is not a node; a node is a name, a list of nodes, or a mapping",
    ),
    yaml("series: {type: [relu]}", "my.yaml series.type: the name 'type' belongs to torch.nn.Module; choose another"),
    yaml(
        "series: {forward: [relu], a.b: [relu]}",
        "my.yaml series.forward: the name 'forward' belongs to torch.nn.Module; choose another",
        "my.yaml series.a.b: the name 'a.b' is not made of letters, digits and _; choose another",
    ),
    yaml(
        "let: {C: 3, relu: 2, if: 2, max: 3}\ngate: [sigmoid]",
        "my.yaml let.C: the name 'C' is a size of the input; choose another",
        "my.yaml let.relu: the name 'relu' is an operator; choose another",
        "my.yaml let.if: the name 'if' is reserved in expressions; choose another",
        "my.yaml let.max: the name 'max' is reserved in expressions; choose another",
    ),
    yaml("let: {r: [16]}\nmlp: {hidden: C/r}", "my.yaml: mlp: hidden is C/r: 'r' is a node of let, not a number"),
    yaml("let: {r: [16]}\nconv: {bias: r}", "my.yaml: conv: bias is r = a node of let; allowed: true or false"),
    yaml("let: [16]\nrelu: null", "my.yaml let: [16]; let is a mapping of names to numbers or expressions"),
    yaml(
        "let: {r: 16}\nseries: [r]", "my.yaml series.0: no operator or config named 'r'; r is a name of let that holds no node"
    ),
    yaml("- seaformr: {heads: 2}", "my.yaml 0: no operator or config named 'seaformr'; did you mean 'seaformer'?"),
    yaml(
        "- seaformer: {head: 2}",
        (
            "my.yaml 0: the config 'seaformer' has no parameter 'head'; its let has heads, key, keys, values, P; did you "
            "mean 'heads'?"
        ),
    ),
    yaml("- cam: {key: 2}", "my.yaml 0: the config 'cam' has no parameter 'key'; it has no let"),
    yaml("- pam: 4", "my.yaml 0: the config 'pam' takes a mapping of parameters, got 4; its let has key"),
    yaml("- pam: {key: [4]}", "my.yaml 0: the config 'pam': key is [4]; allowed: a number or an expression"),
    yaml("- senett", "my.yaml 0: no operator or config named 'senett'; did you mean 'senet'?"),
    yaml(
        "- flatten",
        "my.yaml 0: no operator or config named 'flatten'; leave it out: operators name their axes, so nothing is reshaped",
    ),
    yaml("offical: {}\ngate: [sigmoid]", "my.yaml: no key 'offical'; at the root of a file there is 'official'"),
    yaml(
        "parallel: {a: {conv: 3}, skip: null}\nfuse: sum",
        "my.yaml parallel.skip: null removes nothing here; write identity for an element that changes nothing",
    ),
    yaml(
        "- series: {c: {conv: 3}, relu: null}",
        "my.yaml 0.series.relu: null removes nothing here; write identity for an element that changes nothing",
    ),
    yaml("- AdaptiveMaxPool2d", "my.yaml 0: no operator or config named 'AdaptiveMaxPool2d'; write pool with by: max"),
    yaml(
        "series: {linear: C/2}",
        "my.yaml series.linear: no operator or config named 'C/2'; the keys here are names of steps: write a list, or step: "
        "{linear: C/2}",
    ),
    yaml(
        "- {linear: {out: max(C/16, 8)}}",
        "my.yaml 0: linear has no parameter '8)'; it takes out, mix, each, groups, bias, start; quote an expression that has "
        "a comma",
        "my.yaml 0: linear: out is 'max(C/16'; allowed: a number, or an expression such as C/r or max(C/32, 8)",
    ),
    yaml(
        "linear: {each: H, mix: '', out: 8}",
        "my.yaml: linear: out 8 needs a mixed axis, and nothing is mixed; write mix: C or mix: S",
    ),
    yaml("- ../senet", "my.yaml 0: no operator or config named '../senet'; did you mean 'senet'?"),
    yaml(
        "gate: [sigmod]\nexcite: [{mlp: {hiden: C/4}}]",
        "my.yaml excite.0: mlp has no parameter 'hiden'; it takes hidden, bias, activation; did you mean 'hidden'?",
        "my.yaml gate.0: no operator or config named 'sigmod'; did you mean 'sigmoid'?",
    ),
]
