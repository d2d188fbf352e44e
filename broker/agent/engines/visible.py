"""How each software stack is told which cards a process may use."""

from collections.abc import Mapping
from typing import Final

VISIBLE_DEVICES: Final[Mapping[str, tuple[str, ...]]] = {
    # stack: variables, each holding ascending card numbers with commas between them
    "cuda": ("CUDA_VISIBLE_DEVICES",),
    "cann": ("ASCEND_RT_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES"),
    "neuware": ("MLU_VISIBLE_DEVICES",),
    "dtk": ("HIP_VISIBLE_DEVICES",),
    "musa": ("MUSA_VISIBLE_DEVICES",),
    "maca": ("MACA_VISIBLE_DEVICES",),
    "xpu": ("XPU_VISIBLE_DEVICES",),
    "topsrider": ("TOPS_VISIBLE_DEVICES",),
    "corex": ("CUDA_VISIBLE_DEVICES",),
}
"""Only one variable that filters is set for a stack: where two of them filter one after the other (ROCR_ and HIP_ of
ROCm, MACA_ and CUDA_ of MetaX), the second would count within what the first has left.

Sources, read in November 2026:
    cuda       NVIDIA, CUDA Programming Guide, 5.2 CUDA Environment Variables.
    cann       Huawei, CANN 8.5 Environment Variable Reference, ASCEND_RT_VISIBLE_DEVICES (ascending only);
               ASCEND_VISIBLE_DEVICES is read by Ascend Docker Runtime when a task starts containers.
    neuware, xpu, corex, musa, dtk
               FlagOpen/FlagPerf, training/run_benchmarks/config/cluster_conf.py (maintained with the vendors):
               MLU_ for Cambricon, XPU_ for Kunlunxin, CUDA_ for Iluvatar, MUSA_ for Moore Threads, HIP_ for DCU.
    maca       MetaX runtime as used by RLinf and FlagScale: MACA_VISIBLE_DEVICES.
    topsrider  OpenDataLab MinerU, "Enflame": TOPS_VISIBLE_DEVICES takes the place of CUDA_VISIBLE_DEVICES.
"""

ALL_VISIBLE_DEVICES: Final = frozenset(
    {name for names in VISIBLE_DEVICES.values() for name in names}
    | {"NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ASCEND_DEVICE_ID"}
)
"""Names that a job may never set itself: they decide which cards it touches."""
