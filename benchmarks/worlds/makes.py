"""The accelerators of the national world: nine makes of unlike speed, power and slices, as real cards are.

FP16 figures and card power are of vendors' sheets and measurements as the programme's lists quote them (2026); what
nobody published is -1 or marked "assumed". Slices: NVIDIA MIG profiles of sevenths; Ascend templates of 5 and 10 of 20
cores (vir05_1c_16g, vir10_3c_32g); XPU slices of 24 and 48 of 96 GiB.
"""

from typing import Any, Final, NamedTuple


class Make(NamedTuple):
    """One accelerator model."""

    name: str
    stack: str
    origin: str  # "domestic" or "foreign"
    programme_milli_tflops: int  # FP16 as the programme counts it
    nameplate_milli_tflops: int  # -1: none published
    measured_milli_tflops: int  # -1: none published
    card_watts: int  # of the card alone
    slices_milli: tuple[int, ...]  # empty: the vendor splits no card
    shares_max: int  # tasks on one split card; -1: as many as fit


_SEVENTHS: Final = (142, 285, 428, 571)
MAKES: Final = (
    Make("a800", "cuda", "foreign", 312_000, 312_000, 251_500, 400, _SEVENTHS, 7),
    Make("h800", "cuda", "foreign", 989_000, 989_000, -1, 700, _SEVENTHS, 7),
    Make("ascend-910b", "cann", "domestic", 320_000, 320_000, 313_000, 350, (250, 500), 4),
    Make("ascend-910c", "cann", "domestic", 752_000, 780_000, -1, 700, (), 0),  # watts assumed; no template published
    Make("mlu590", "neuware", "domestic", 314_000, 314_000, -1, 350, (), 0),  # not split: slices assumed away
    Make("k100-ai", "dtk", "domestic", 196_000, 196_000, -1, 350, (250, 500, 750), 4),  # watts and slices assumed
    Make("mtt-s4000", "musa", "domestic", 98_000, 98_000, -1, 450, (), 0),
    Make("c500", "maca", "domestic", 240_000, -1, -1, 350, (125, 250, 500), 8),  # slices assumed
    Make("p800", "xpu", "domestic", 345_000, 345_000, -1, 400, (250, 500), 4),  # watts assumed
)
HOST_SHARE_PERCENT: Final = 150
"""Power of a busy card with its share of the host, in percent of the card alone (derived, not metered)."""
SLICES_MILLI: Final = tuple(sorted({milli for make in MAKES for milli in make.slices_milli}))
"""Every slice that some vendor offers."""


def models() -> dict[str, Any]:
    """Return the arrays of models and slices."""
    start = [0]
    for make in MAKES:
        start.append(start[-1] + len(make.slices_milli))
    return {
        "model_names": [make.name for make in MAKES],
        "model_stack": [make.stack for make in MAKES],
        "model_origin": [make.origin for make in MAKES],
        "model_fp16_programme_milli_tflops": [make.programme_milli_tflops for make in MAKES],
        "model_fp16_nameplate_milli_tflops": [make.nameplate_milli_tflops for make in MAKES],
        "model_fp16_measured_milli_tflops": [make.measured_milli_tflops for make in MAKES],
        "model_card_watts": [make.card_watts * HOST_SHARE_PERCENT // 100 for make in MAKES],
        "model_shares_per_card_max": [make.shares_max for make in MAKES],
        "slice_start": start,
        "slice_milli": [milli for make in MAKES for milli in make.slices_milli],
    }
