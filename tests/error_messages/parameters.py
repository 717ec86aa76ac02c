"""Wrong parameters of operators, and wrong expressions."""

from tests.error_messages.table import yaml

PARAMETERS = [
    yaml("conv: {kernel: true}", "my.yaml: conv: kernel is true; allowed: an integer from 1, or a list of them"),
    yaml("conv: {kernel: big}", "my.yaml: conv: kernel is big: no name 'big'; there are C, H, W"),
    yaml("conv: {kernel: [3]}", "my.yaml: conv: kernel [3] is not one for each axis of along HW"),
    yaml("conv: {kernel: []}", "my.yaml: conv: kernel is []; allowed: an integer from 1, or a list of them"),
    yaml(
        "conv: {kernel: [3, C/65]}",
        "my.yaml: conv: kernel is C/65 = 0.985, which rounds down to 0 (C = 64); use at least 65 channels",
    ),
    yaml("conv: {kernel: [3, 4]}", "my.yaml: conv: kernel 4 is even: a window that keeps the size has an odd kernel"),
    yaml(
        "conv: {kernel: 4, padding: reflect}", "my.yaml: conv: kernel 4 is even: a window that keeps the size has an odd kernel"
    ),
    yaml(
        "conv: {padding: reflct}",
        (
            "my.yaml: conv: padding is 'reflct'; allowed: one of zeros, circular, reflect, replicate, or an integer from 0 "
            "to 10000, or a list, each an integer from 0 to 10000; did you mean 'reflect'?"
        ),
    ),
    yaml(
        "conv: {padding: -1}",
        (
            "my.yaml: conv: padding is -1; allowed: one of zeros, circular, reflect, replicate, or an integer from 0 to "
            "10000, or a list, each an integer from 0 to 10000"
        ),
    ),
    yaml("conv: {padding: H/2}", "my.yaml: conv: padding is H/2: H is known only on a fixed grid: give height="),
    yaml("conv: {padding: H}", "my.yaml: conv: padding is H: H is known only on a fixed grid: give height="),
    yaml("conv: {padding: [1, 1, 1]}", "my.yaml: conv: padding [1, 1, 1] is not one for each axis of along HW"),
    yaml(
        "conv: {padding: circular, dilation: 20000}",
        "my.yaml: conv: padding circular would read 20,000 positions beyond a border; at most 10,000",
    ),
    yaml(
        "attention: {similarity: cos}",
        "my.yaml: attention: similarity is 'cos'; allowed: one of dot, cosine; did you mean 'cosine'?",
    ),
    yaml("attention: {factored: 1}", "my.yaml: attention: factored is 1; allowed: true or false"),
    yaml(
        "attention: {tokens: H, position: []}",
        (
            "my.yaml: attention: position is []; allowed: an integer from 1, or a list of 1 to 3, each an integer "
            "from 1, or none"
        ),
    ),
    yaml("cluster: {rounds: -1}", "my.yaml: cluster: rounds is -1; allowed: an integer from 0"),
    yaml("cluster: {rounds: 2000}", "my.yaml: cluster: rounds 2000; at most 1,000"),
    yaml("cluster: {hard: yes please}", "my.yaml: cluster: hard is 'yes please'; allowed: true or false"),
    yaml("conv: {kernel: 7.0}", "my.yaml: conv: kernel is 7.0; allowed: an integer from 1, or a list of them"),
    yaml("conv: {kernel: null}", "my.yaml: conv: kernel is null; allowed: an integer from 1, or a list of them"),
    yaml("conv: {kernel: 0}", "my.yaml: conv: kernel is 0; allowed: an integer from 1, or a list of them"),
    yaml("conv: {kernel: -1}", "my.yaml: conv: kernel is -1; allowed: an integer from 1, or a list of them"),
    yaml(
        "conv: {kernel: 1000000000000}",
        "my.yaml: conv: kernel is 1000000000000; allowed: an integer from 1 to 10^9, or a list of them",
    ),
    yaml("conv: {kernel: {size: 3}}", 'my.yaml: conv: kernel is {"size": 3}; allowed: an integer from 1, or a list of them'),
    yaml("conv: {kernel: 4}", "my.yaml: conv: kernel 4 is even: a window that keeps the size has an odd kernel"),
    yaml("conv: {bias: 1}", "my.yaml: conv: bias is 1; allowed: true or false"),
    yaml("conv: {bias: ture}", "my.yaml: conv: bias is 'ture'; allowed: true or false; did you mean 'true'?"),
    yaml("batch_norm: {momentum: 2}", "my.yaml: batch_norm: momentum is 2; allowed: a number from 0 to 1"),
    yaml("batch_norm: {eps: 0}", "my.yaml: batch_norm: eps is 0; allowed: a number above 0"),
    yaml("gain: {start: true}", "my.yaml: gain: start is true; allowed: a number"),
    yaml("gain: {start: .inf}", "my.yaml gain.start: inf is not a finite number"),
    yaml("slice: {start: -1}", "my.yaml: slice: start is -1; allowed: an integer from 0"),
    yaml("multiscale: {kernels: 3}", "my.yaml: multiscale: kernels is 3; allowed: a list, each an integer from 1"),
    yaml("multiscale: {kernels: [3, x]}", "my.yaml: multiscale: kernels is x: no name 'x'; there are C, H, W"),
    yaml("conv: {groups: 3}", "my.yaml: conv: C of 64 is not divisible by 3"),
    yaml("stack: 3", "my.yaml: stack: C of 64 is not divisible by 3"),
    yaml("group_norm: {groups: 5}", "my.yaml: group_norm: C of 64 is not divisible by 5"),
    yaml("conv: {along: HW, mix: H}", "my.yaml: conv: axis H cannot be 'along' and 'mix' at once"),
    yaml("conv: {along: SCHW}", "my.yaml: conv: along SCHW: a convolution has one to three axes"),
    yaml(
        "linear: {each: C, out: 8}",
        "my.yaml: linear: out 8 needs a mixed axis, and nothing is mixed; write groups: C instead of each: C",
    ),
    yaml(
        "- pool: {by: [mean, max]}\n- linear: {each: C}",
        "my.yaml 1: linear: S holds 2 maps: write mix: S to mix them, or mix: '' to treat each alike",
    ),
    yaml("softmax: null", "my.yaml: softmax needs over, letters of SCDHW, each once, or grid"),
    yaml("mlp: {bias: true}", "my.yaml: mlp needs hidden, an integer from 1"),
    yaml("mlp: C/128", "my.yaml: mlp: hidden is C/128 = 0.5, which rounds down to 0 (C = 64); use at least 128 channels"),
    yaml(
        "let: {r: 128}\nmlp: C/r",
        "my.yaml: mlp: hidden is C/r = 0.5, which rounds down to 0 (C = 64, r = 128); set let.r to 64 or less, or use at least "
        "128 channels",
    ),
    yaml("linear: C-100", "my.yaml: linear: out is C-100 = -36 (C = 64); allowed: an integer from 1, or none"),
    yaml("linear: {out: 0}", "my.yaml: linear: out is 0; allowed: an integer from 1, or none"),
    yaml("let: {r: 0}\nmlp: C/r", "my.yaml: mlp: hidden is C/r: division by zero (C = 64, r = 0)"),
    yaml("let: {r: true}\nmlp: C/r", "my.yaml: mlp: hidden is C/r: r is true, not a number (C = 64, r = true)"),
    yaml("let: {r: 16}\nmlp: C/R", "my.yaml: mlp: hidden is C/R: no name 'R'; there are C, H, W, r; did you mean 'r'?"),
    yaml("mlp: C/", "my.yaml: mlp: hidden is 'C/'; allowed: a number, or an expression such as C/r or max(C/32, 8)"),
    yaml("mlp: floor(C/2)", "my.yaml: mlp: hidden is floor(C/2): no function 'floor'; there are max, min, log2, odd"),
    yaml("mlp: max(C)", "my.yaml: mlp: hidden is max(C): max takes at least two numbers"),
    yaml("mlp: log2", "my.yaml: mlp: hidden is log2: log2 is a function; write log2(...)"),
    yaml("mlp: log2(C-64)", "my.yaml: mlp: hidden is log2(C-64): log2(0) is undefined (C = 64)"),
    yaml(
        "mlp: C.real",
        "my.yaml: mlp: hidden is C.real is not allowed; an expression has numbers, names, + - * / // **, max, min, log2, odd",
    ),
    yaml(
        "mlp: C if C else 8",
        (
            "my.yaml: mlp: hidden is C if C else 8 is not allowed; an expression has numbers, names, + - * / // **, max, "
            "min, log2, odd"
        ),
    ),
    yaml("mlp: C**C**C", "my.yaml: mlp: hidden is C**C**C: C ** C is larger than 2^53 (C = 64)"),
    yaml("mlp: 9**9**9**9", "my.yaml: mlp: hidden is 9**9**9**9: 9 ** 387420489; exponents are at most 64"),
    yaml("linear: H", "my.yaml: linear: out is H: H is known only on a fixed grid: give height="),
    yaml("let: {a: b, b: c, c: a}\nmlp: a", "my.yaml let.a: refers to itself: a -> b -> c -> a"),
    yaml(
        "let: {a: C/q, b: C/0}\nmlp: a",
        "my.yaml let.a: C/q: no name 'q'; there are C, a, b",
        "my.yaml let.b: C/0: division by zero (C = 64)",
    ),
    yaml(
        "let: {keys: kyes*2, key: 4}\nmlp: keys",
        "my.yaml let.keys: kyes*2: no name 'kyes'; there are C, keys, key; did you mean 'keys'?",
    ),
    yaml("clamp: {}", "my.yaml: clamp: needs min, max or both"),
    yaml("clamp: {min: 2, max: 1}", "my.yaml: clamp: min 2 is above max 1"),
    yaml("clamp: {min: low}", "my.yaml: clamp: min is low: no name 'low'; there are C, H, W"),
    yaml("dropout: {p: 1.5}", "my.yaml: dropout: p is 1.5; allowed: a number from 0 to 1"),
    yaml(
        "dropout: {over: hw}",
        "my.yaml: dropout: over is 'hw'; allowed: letters of SCDHW, each once, or grid; did you mean 'HW'?",
    ),
    yaml("window: {kernel: 4}", "my.yaml: window: kernel 4 is even: write an odd number, or the stride, 2"),
    yaml(
        "window: {extent: 3, kernel: 1}",
        "my.yaml: window: kernel 1 is smaller than the stride 3 and skips positions; write 3 or more",
    ),
    yaml("resize: {}", "my.yaml: resize: needs to or scale"),
    yaml("resize: {to: [7, 7], scale: 2}", "my.yaml: resize: to and scale exclude each other"),
    yaml("resize: 7", "my.yaml: resize: to is 7; allowed: a list of 1 to 3, each an integer from 1, or none"),
    yaml("resize: {to: [7]}", "my.yaml: resize: to [7] is not one size for each axis of the grid HW"),
    yaml("resize: {scale: 0}", "my.yaml: resize: scale is 0; allowed: a number from 0.001 to 1000, or none"),
    yaml(
        "resize: {scale: 2, mode: linear}",
        "my.yaml: resize: mode is 'linear'; allowed: one of nearest, bilinear, area; did you mean 'bilinear'?",
    ),
    yaml("standardize: {eps: 0}", "my.yaml: standardize: eps is 0; allowed: a number above 0"),
    yaml(
        "pool: {by: variance}",
        (
            "my.yaml: pool: by is 'variance'; allowed: one of mean, max, min, sum, std, var, l1, l2, logsumexp, or a list of "
            "them; did you mean 'var'?"
        ),
    ),
    yaml("unfold: {kernel: 4}", "my.yaml: unfold: kernel 4 is even: a neighbourhood has a centre, so write an odd number"),
    yaml("unfold: {over: S}", "my.yaml: unfold: over S: the neighbours are placed on S, so write other axes"),
    yaml("unfold: {kernel: 101}", "my.yaml: unfold: kernel 101 over HW would place 10,201 maps on S; at most 10,000"),
    yaml(
        "spectrum: {frequencies: []}",
        "my.yaml: spectrum: frequencies is []; allowed: a list, each a list of 1 to 3, each an integer from 0, or none",
    ),
    yaml(
        "spectrum: [[0, 0, 1]]",
        "my.yaml: spectrum: frequency [0, 0, 1] is not one number for each axis of the grid HW",
    ),
    yaml("spectrum: [[0, 7]]", "my.yaml: spectrum: frequency [0, 7] is beyond a grid of 7 x 7"),
    yaml("spectrum: {frequencies: [[2, 0]], grid: [2, 3]}", "my.yaml: spectrum: frequency [2, 0] is beyond a grid of 2 x 3"),
    yaml(
        "spectrum: {grid: 1001}",
        (
            "my.yaml: spectrum: grid is 1001; allowed: an integer from 1 to 1000, or a list of 1 to 3, each an integer "
            "from 1 to 1000"
        ),
    ),
    yaml("spectrum: [[0, 0], [0, 1], [1, 0]]", "my.yaml: spectrum: C of 64 is not divisible by 3"),
    yaml("sqrt: 2", "my.yaml: sqrt takes no parameters, got 2"),
]
