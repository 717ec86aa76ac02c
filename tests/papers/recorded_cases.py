"""The recorded cases: for each recording its config, overrides and key map."""

from dataclasses import dataclass, field

GCNET, TIMM, JONGCHAN = "xvjiarui/GCNet", "huggingface/pytorch-image-models", "Jongchan/attention-module"
COORD, TRIPLET, DANET, SEA = (
    "houqb/CoordAttention",
    "landskape-ai/triplet-attention",
    "junfu1115/DANet",
    "fudan-zvg/SeaFormer",
)


@dataclass(frozen=True)
class Case:
    """One recording and the config that has to equal it."""

    config: str
    source: str
    overrides: list[str] = field(default_factory=list)


def _sea(heads: int, key: int) -> Case:
    return Case("seaformer", SEA, [f"let.heads={heads}", f"let.key={key}"])


CASES = {
    "bam_c32_10x10": Case("bam", JONGCHAN),
    "bam_c64_12x12": Case("bam", JONGCHAN),
    "cbam_c32_r4_nospatial": Case("cbam", JONGCHAN, ["let.r=4", "~series.spatial"]),
    "cbam_c32_r8_k3": Case("cbam", JONGCHAN, ["let.r=8", "let.k=3"]),
    "cbam_c64_r16": Case("cbam", JONGCHAN),
    "cbam_timm_c32_k5": Case("cbam_timm", TIMM, ["let.r=8", "let.k=5"]),
    "coordatt_c64_r32": Case("coordatt", COORD),
    "coordatt_c64_r4": Case("coordatt", COORD, ["let.r=4"]),
    "coordatt_mbv2_c32_r2": Case("coordatt", f"{COORD} mbv2", ["let.r=2"]),
    "danet_cam_c32": Case("cam", DANET),
    "danet_cam_c64": Case("cam", DANET),
    "danet_head_c32_n3": Case("danet_head", DANET, ["let.K=3"]),
    "danet_head_c64_n5": Case("danet_head", DANET, ["let.K=5"]),
    "danet_pam_c32": Case("pam", DANET),
    "danet_pam_c64": Case("pam", DANET),
    "eca_c32_k5": Case("ecanet", "BangguWu/ECANet", ["let.k=5"]),
    "eca_c64_k3": Case("ecanet", "BangguWu/ECANet"),
    "eca_timm_auto_c128": Case("ecanet", TIMM),
    "ese_official_c24": Case("ese", "youngwanLEE/vovnet-detectron2"),
    "ese_timm_c32": Case("ese", TIMM),
    "gcnet_add_c64_r16": Case("gcnet", GCNET),
    "gcnet_mul_add_c32_r4": Case("gcnet_mul_add", GCNET, ["let.r=4"]),
    "gcnet_timm_c32": Case("gcnet_timm", TIMM, ["let.r=4"]),
    "ge_theta_e4_c32": Case("genet", TIMM),
    "ge_theta_minus_e4_c32": Case("genet_minus", TIMM),
    "ge_theta_minus_global_c32": Case("genet_minus", TIMM, ["squeeze=mean"]),
    "ge_theta_plus_e2_c32": Case("genet_plus", TIMM, ["let.r=4"]),
    "scse_add_smp_c32_r4": Case("scse", "qubvel-org/segmentation_models.pytorch", ["let.r=4", "fuse=sum"]),
    "scse_max_c32_r2": Case("scse", "ai-med/squeeze_and_excitation"),
    "seaformer_d24_k8_h2_16x20": _sea(2, 8),
    "seaformer_d32_k16_h4": _sea(4, 16),
    "seaformer_seg_d40_k12_h2": _sea(2, 12),
    "senet_se_bias_c64_r16": Case("senet", TIMM),
    "senet_se_c32_r4": Case("senet", "moskomule/senet.pytorch", ["let.r=4", "excite.0.mlp.bias=false"]),
    "senet_se_c64_r16": Case("senet", "moskomule/senet.pytorch", ["excite.0.mlp.bias=false"]),
    "sknet_c32_true5x5_g8_d16": Case(
        "sknet",
        TIMM,
        [
            "let.m=0.1",
            "let.G=8",
            "let.L=16",
            "series.split.parallel.k5.0.conv.kernel=5",
            "series.split.parallel.k5.0.conv.dilation=1",
        ],
    ),
    "sknet_c64_g32_d32": Case("sknet", TIMM, ["let.m=0.1"]),
    "sknet_skconv_linear_c32_g8_r4_l8": Case("sknet_linear", "pppLang/SKNet", ["let.G=8", "let.r=4", "let.L=8"]),
    "sse_only_c24": Case("sse", "ai-med/squeeze_and_excitation"),
    "triplet_c16_k3": Case("triplet", TRIPLET, ["let.k=3"]),
    "triplet_c24_nospatial": Case("triplet_two", TRIPLET),
    "triplet_c32_k7": Case("triplet", TRIPLET),
    "a2_double_c24": Case("a2net", "changzy00/pytorch-attention", ["let.m=C/2"]),
    "fca_c32_top4_14x7": Case(
        "fcanet",
        "cfzd/FcaNet",
        [
            "let.r=4",
            "squeeze.0.spectrum.frequencies=[[0,0],[0,1],[12,0],[0,5]]",
            "squeeze.0.spectrum.grid=[14,7]",
        ],
    ),
    "nonlocal_timm_c24": Case("nonlocal", TIMM),
    "simam_c24": Case("simam", "ZjjConan/SimAM"),
    "splat_c16_x2_g1": Case("resnest", "zhanghang1989/ResNeSt"),
    "srm_c24": Case("srmnet", "hyunjaelee410/style-based-recalibration-module"),
}
