"""A busy month of two hubs, made up from a seed, for tests of its page."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from broker.papers.hub_month import (
    DayEnergy,
    DayMoney,
    DayUse,
    GapBucket,
    HubMonth,
    HubPart,
    ModelMonth,
    ParkFigures,
    ProgrammeMonth,
    Rounds,
    Title,
    Total,
    YearEnergy,
    summed,
)
from broker.papers.month import Month
from broker.papers.use import UseRow

SECTORS = (
    "training", "inference", "autonomous_driving", "speech", "image", "research", "industry", "low_altitude",
    "agriculture", "other",
)  # fmt: skip
CITIES = {
    "ganzhou": "赣州 Ganzhou", "nanjing": "南京 Nanjing", "hangzhou": "杭州 Hangzhou", "suzhou": "苏州 Suzhou",
    "shanghai": "上海 Shanghai", "hefei": "合肥 Hefei", "wuxi": "无锡 Wuxi", "ningbo": "宁波 Ningbo",
    "yangzhou": "扬州 Yangzhou", "xiamen": "厦门 Xiamen", "fuzhou": "福州 Fuzhou",
}  # fmt: skip
MODELS = (
    ("qingyang", "ascend-910b", 12_288, 320_000, 61), ("qingyang", "mlu-590", 4_096, 256_000, 14),
    ("qingyang", "dcu-k100-ai", 2_048, 196_000, 0), ("qingyang", "a800", 1_024, 312_000, 410),
    ("guian", "ascend-910c", 6_144, 752_000, 230), ("guian", "h20", 1_536, 148_000, 95),
)  # fmt: skip
HUBS = {"guian": "贵安 Gui'an", "qingyang": "庆阳 Qingyang"}
YUAN = 10**6
MWH = 3_600_000_000
LINES = "orangecds 131034, mean rack-up ≥ 65 % and PUE ≤ 1.2 in the start zone, 2026-11-01"
OCTOBER = Month(2026, 10)


def a_month(seed: int = 7, *, hub: str = "qingyang", provisional_at: datetime | None = None) -> HubMonth:
    luck = random.Random(seed)
    days = [f"2026-10-{day:02d}" for day in range(1, 32)]
    rows, day_rows = [], {}
    for i, city in enumerate(CITIES):
        for j, sector in enumerate(SECTORS):
            scale = luck.random() / ((1 + i) * (1 + j)) ** 0.55
            whole = 0
            for n, day in enumerate(days):
                part = int(1_150 * scale * (1 + 0.25 * luck.random() - 0.3 * (n % 7 > 4)) * 86_400_000)
                whole += part
                for key in ((day, sector, ""), (day, "", city)):
                    day_rows[key] = day_rows.get(key, 0) + part
            hours = whole // 3_600_000
            paid = hours * luck.randint(6, 11) * YUAN
            rows.append(
                UseRow(city, sector, hours // 400 + 1, hours // 300 + 1, whole, hours * 340_000, hours * 305_000,
                       hours * 270_000, paid, paid * luck.randint(0, 30) // 100, luck.randint(0, 90) * YUAN)
            )  # fmt: skip
    use = tuple(sorted(rows, key=lambda row: (row.city, row.workload_class)))
    paid, by_voucher = summed(use, "micro_yuan"), summed(use, "voucher_micro_yuan")
    borne = summed(use, "borne_micro_yuan")
    whole = summed(use, "milli_card_seconds")
    models = tuple(a_model(luck, *each) for each in MODELS)
    here = [row for row in models if hub in ("", row.hub)]
    hubs = tuple(a_hub(luck, name, days) for name in ("guian", "qingyang") if hub in ("", name))
    money = tuple(DayMoney(day, paid // 31, by_voucher // 31) for day in days)
    total = Total(
        jobs=summed(use, "jobs"), leases=summed(use, "leases"), milli_card_seconds=whole,
        capacity_milli_card_seconds=summed(here, "capacity_milli_card_seconds"),
        nameplate_micro_pflops_hours=summed(use, "nameplate_micro_pflops_hours"),
        programme_micro_pflops_hours=summed(use, "programme_micro_pflops_hours"),
        measured_micro_pflops_hours=summed(use, "measured_micro_pflops_hours"),
        micro_yuan=paid, voucher_micro_yuan=by_voucher, borne_micro_yuan=borne,
        owners_micro_yuan=(paid + borne) * 97 // 100, fee_micro_yuan=paid + borne - (paid + borne) * 97 // 100,
        credited_micro_yuan=18_400 * YUAN, quotes_accepted=1_284, quotes_kept=1_251, quotes_missed=6,
        missed_credit_micro_yuan=12_900 * YUAN, starts_kept=8_112, starts_late=3, starts_moved=41, starts_broken=7,
    )  # fmt: skip
    return HubMonth(
        month="2026-10", hub=hub, begins_at=OCTOBER.begins_at, ends_at=OCTOBER.ends_at, provisional_at=provisional_at,
        energy_counted_until=OCTOBER.ends_at, total=total, use=use,
        titles=tuple(Title(kind, *each) for kind, told in (("city", CITIES), ("hub", HUBS)) for each in told.items()),
        days=tuple(DayUse(*key, part) for key, part in sorted(day_rows.items())), money=money,
        energy=tuple(each for h in hubs for each in energy_days(luck, h, days)),
        models=models, hubs=hubs,
        programmes=(
            ProgrammeMonth("qingyang-2026", "qingyang", 2026, 100_000_000 * YUAN, 7_400_000 * YUAN, 61_000_000 * YUAN,
                           5_210_000 * YUAN, 39_800_000 * YUAN, 23),
        ),
        rounds=Rounds(892_800, 14, 41_922, 3_120, 9_400, 2_110, 6_300, tuple(
            GapBucket(most, n) for most, n in (
                (100, 60_200), (500, 91_000), (1_000, 120_400), (2_000, 160_300), (5_000, 280_000), (10_000, 150_000),
                (20_000, 26_000), (50_000, 4_700), (0, 200))
        )),
    )  # fmt: skip


def a_model(luck: random.Random, hub: str, model: str, cards: int, milli_tflops: int, beyond: int) -> ModelMonth:
    capacity = cards * 1000 * 31 * 86_400
    used = int(capacity * (0.55 + 0.4 * luck.random()))
    hours = used // 3_600_000
    return ModelMonth(
        hub=hub, model=model, cards=cards, programme_milli_tflops=milli_tflops, milli_card_seconds=used,
        capacity_milli_card_seconds=capacity, programme_micro_pflops_hours=hours * milli_tflops,
        micro_yuan=hours * 8 * YUAN, waits=hours // 90,
        wait_p50_seconds=40 + beyond * 9, wait_p90_seconds=900 + beyond * 220,
        priced_seconds=31 * 86_400, short_seconds=min(31 * 86_400, beyond * 5_400), card_micro_yuan=beyond * 5 * YUAN,
        single_micro_yuan=beyond * 3 * YUAN, spot_micro_yuan=beyond * 21 * YUAN,
    )  # fmt: skip


def a_hub(luck: random.Random, hub: str, days: list[str]) -> HubPart:
    months = tuple(
        YearEnergy(f"2026-{m:02d}", int((1_300 + 60 * m + 90 * luck.random()) * 10 * MWH)) for m in range(1, 11)
    )
    meter = months[-1].meter_joules
    figures = tuple(
        ParkFigures(
            hub, f"{2025 + (m > 12)}-{(m - 1) % 12 + 1:02d}", 1 + (m == 22), 31_000 + 900 * (m - 11),
            int((31_000 + 900 * (m - 11)) * (0.60 + 0.009 * (m - 11))), 1_231 - 4 * (m - 11) + 6 * (m % 3),
            (900 + 40 * m) * 1000, "park survey and meter log, 3 Nov 2026",
            datetime(2026, 11, 3, 2, 10, tzinfo=UTC) - timedelta(days=30 * (22 - m)), "key-operator",
        )
        for m in range(11, 23)
    )  # fmt: skip
    here = [each for each in MODELS if each[0] == hub]
    return HubPart(
        hub=hub, title=HUBS[hub], cards=sum(each[2] for each in here),
        nameplate_milli_tflops=sum(each[2] * each[3] * 11 // 10 for each in here),
        programme_milli_tflops=sum(each[2] * each[3] for each in here),
        measured_milli_tflops=sum(each[2] * each[3] * 8 // 10 for each in here),
        reported_racks=31_000, reported_on="2024-12-31", rack_line_ppm=650_000,
        rack_line_source=LINES,
        pue_line_milli=1200, pue_line_source=LINES,
        green_line_ppm=800_000, green_line_source="national plan of 2023-12", pue_milli=1200,
        quota_joules=210_000 * MWH, it_joules=meter * 10 // 12, meter_joules=meter, green_joules=meter * 74 // 100,
        months=months, figures=figures,
    )  # fmt: skip


def energy_days(luck: random.Random, hub: HubPart, days: list[str]) -> list[DayEnergy]:
    found = []
    for day in days:
        meter = int(hub.meter_joules / len(days) * (0.9 + 0.2 * luck.random()))
        found.append(DayEnergy(day, hub.hub, meter * 10 // 12, meter, int(meter * (0.66 + 0.16 * luck.random()))))
    gap = hub.meter_joules - sum(each.meter_joules for each in found)
    return [*found[:-1], replace(found[-1], meter_joules=found[-1].meter_joules + gap)]
