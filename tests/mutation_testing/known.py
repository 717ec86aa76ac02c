"""The mutants that no recording catches, with reasons: equivalent ones, and those beyond the recorded values."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """Survivors by regular expressions that match the whole name of a case and the whole label, and why they survive."""

    cases: str
    label: str
    reason: str

    def match(self, case: str, label: str) -> bool:
        """True if the entry is about this mutant."""
        return bool(re.fullmatch(self.cases, case) and re.fullmatch(self.label, label))


ANY = ".*"
SUM_FIRST = r"series\.(select|attend)\.squeeze"

# The same function of every input and every weight. One that is caught by a recording or a reference is an error.
EQUIVALENT = [
    Known(
        ANY,
        r'.*\.(conv|linear|gain)\.(each|mix): "" -> [SCHW]',
        "The axis has size 1 there, so that one weight for each index is one weight; on a larger axis the weights do not fit.",
    ),
    Known(
        "cbam_.*|triplet_.*",
        r"(series\.spatial|parallel\...)\.excite\.1\.batch_norm\.each: [SC] -> [SCHW]",
        "The map behind the convolution has one channel, S = 1 and a pooled axis: whichever of them, the statistics are one.",
    ),
    Known(
        "cbam_.*|triplet_.*",
        r"(series\.spatial|parallel\.hw)\.squeeze\.0\.pool\.over: C -> SC",
        "One map comes in: S = 1.",
    ),
    Known(
        "danet_.*",
        r"(.*\.)?excite\.0\.attention\.tokens: C -> (SC|CS)",
        "One map comes in: S = 1.",
    ),
    Known(
        "danet_.*|nonlocal_.*|a2_.*",
        r".*\.attention\.tokens: HW -> WH",
        "Without positions the order of the tokens has no meaning: each weight and each sum is over the same set.",
    ),
    Known(
        r"(?!srm_).*",
        r".*\.pool\.(eps|unbiased): .*",
        "Both are read by std and var alone; these are mean, max and sum.",
    ),
    Known(
        "cbam_.*",
        r"series\.channel\.squeeze\.0\.pool\.by: \[mean, max\] -> \[max, mean\]",
        "One mlp sees both maps, and their sum follows.",
    ),
    Known(
        "sknet_.*|splat_.*|danet_head_.*",
        rf"({SUM_FIRST}|series\.merge|series\.logits\.parallel\.sum\.1)(\.0)?\.pool\.by: sum -> l1",
        "What is summed comes from a relu, and weights of a softmax are positive: |x| = x.",
    ),
    Known(
        "sknet_.*|splat_.*",
        rf"{SUM_FIRST}\.0: pool, pool -> swapped",
        "The sum over S and the mean over the grid commute.",
    ),
    Known(
        "bam_.*|ese_.*|eca_.*|sknet_.*|splat_.*",
        rf"(excite\.0\.parallel\.channel\.0|squeeze\.0|{SUM_FIRST}\.1): pool, (linear|conv) -> swapped",
        "An affine map of the channels that is the same at every position commutes with the mean over positions.",
    ),
    Known("splat_.*", r"series\.split\.2: relu, stack -> swapped", "relu is element by element; stack only moves elements."),
    Known(
        "danet_head_c32_n3",
        r".*position\.series\.attend\.excite\.1\.attention\.scale: 1 -> none",
        "The keys have width D/8 = 1, and 1^-0.5 = 1.",
    ),
    Known(
        "ese_.*|a2_.*|nonlocal_.*|splat_.*|seaformer_.*",
        r".*\.linear\.out: (C|2\*n \+ m|3\*h|C\*radix|values) -> none",
        "none is the incoming width, and here that is the same number.",
    ),
    Known(
        "bam_c32_10x10",
        r"excite\.0\.parallel\.spatial\.[36]\.conv\.out: none -> 2",
        "The incoming width, C/r, is 2.",
    ),
    Known("ge_theta_minus_global_.*", r"let\.e: 4 -> .*", "An override replaced the window, and nothing reads e any more."),
    Known("cbam_c32_r4_nospatial", r"let\.k: 7 -> .*", "An override removed the spatial part, and nothing reads k any more."),
    Known("coordatt_c64_r32", r"let\.r: 32 -> .*", "max(C/r, 8) is 8 either way."),
    Known(
        "sknet_c32_true5x5_.*|sknet_c64_.*",
        r"let\.r: 16 -> .*",
        "max(C/r, L) is L either way.",
    ),
    Known(
        "sknet_skconv_linear_.*",
        r"let\.(L: 8 -> 4|r: 4 -> [568])",
        "max(C/r, L) is 8 either way.",
    ),
    Known("splat_.*", r"let\.r: 4 -> .*", "max(C*radix/r, L) is 32 either way."),
]

# Another function that the recording happens not to see: these count as misses. Plain torch at other values tells them all.
UNSEEN = [
    Known(ANY, r".*: relu -> relu6", "No value of the recording is above 6 there."),
    Known("seaformer_.*", r".*: relu6 -> relu", "No value of the recording is above 6 there."),
    Known(
        ANY,
        r".*\.(batch|layer)_norm\.eps: 1e-0[56] -> 1e-0[67]",
        "The variances of the recording are far above eps: a tenth of it moves the result by less than the tolerance.",
    ),
    Known(
        "bam_c32_10x10",
        r"excite\.0\.parallel\.spatial\.[14]\.batch_norm\.eps: 1e-05 -> 0\.001",
        "The next batch norm and the sigmoid behind the product leave 0.4 and 0.7 of the tolerance.",
    ),
    Known(
        "gcnet_timm_c32",
        r"excite\.1\.layer_norm\.eps: 1e-06 -> 0\.0001",
        "The variances of the recording are far above 1e-4: the result moves by half of the tolerance.",
    ),
    Known("srm_c24", r"squeeze\.0\.pool\.eps: 1e-05 -> 1e-06", "The variances of the recording are far above eps."),
    Known(
        "simam_c24",
        r"let\.lam: 0\.0001 -> 1e-05|excite\.0\.standardize\.eps: lam -> 0\.1\*\(lam\)",
        "The variances of the recording are far above lambda.",
    ),
]


def equivalent_entry(case: str, label: str) -> Known | None:
    """The entry that calls a mutant no other function, if there is one."""
    return next((known for known in EQUIVALENT if known.match(case, label)), None)


def unseen_entry(case: str, label: str) -> Known | None:
    """The entry that knows of a mutant that the recording does not see, if there is one."""
    return next((known for known in UNSEEN if known.match(case, label)), None)
