"""Tables of money say what answers say, to the micro-yuan, and their columns add up."""

from datetime import UTC, datetime
from io import StringIO

from rich.console import Console, RenderableType

from broker.demo import display, money_tables
from broker.demo.money import Closing, Money, used
from broker.demo.replay import Memory
from broker.papers.paper import Paper, PaperKind, Part, WorkLine
from broker.wire.v1 import admin_service_pb2 as admin_pb
from broker.wire.v1 import market_service_pb2 as market_pb
from broker.wire.v1 import voucher_service_pb2 as pb

VOUCHER = pb.Voucher(
    voucher="qingyang-demo-1",
    city="ganzhou",
    enterprise="ganzhou-ai",
    granted_micro_yuan=5_000_000,
    available_micro_yuan=4_300_000,
    held_micro_yuan=500_000,
)
POOL = market_pb.PoolPrice(
    cluster="qingyang-ascend",
    model="ascend-910b",
    ask_micro_yuan_per_card_hour=3_500_000,
    sizes=[
        market_pb.SizePrice(cards=1, spot_micro_yuan_per_card_hour=3_500_000),
        market_pb.SizePrice(cards=8, spot_micro_yuan_per_card_hour=4_250_000),
    ],
)


def text(*shown: RenderableType) -> str:
    console = Console(file=StringIO(), width=140, force_terminal=False)
    console.print(*shown)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def line(lease: int, by_voucher: int, by_city: int) -> WorkLine:
    parts = Part("voucher/ganzhou/qingyang-demo-1", by_voucher), Part("city/ganzhou", by_city)
    return WorkLine(f"lease-{lease}", hub="qingyang", cluster="qingyang-ascend", model="ascend-910b", parts=parts)


def test_what_a_voucher_has_paid_is_neither_held_nor_left() -> None:
    assert used(VOUCHER) == 200_000


def test_prices_and_vouchers_are_on_the_screen() -> None:
    shown = text(display.draw(admin_pb.GetOverviewResponse(), Memory(submitted_of=8), "", Money([POOL], [VOUCHER])))

    for words in ("3.50", "▲ 4.25", "qingyang-demo-1", "5.00", "0.500000", "0.200000", "4.300000"):
        assert words in shown


def test_a_line_tells_the_same_where_nothing_can_be_redrawn() -> None:
    told = money_tables.line(Money([POOL], [VOUCHER]))

    assert told == "spot 3.50 to 4.25 yuan/card-hour, vouchers 0.500000 held, 0.200000 used"


def test_an_invoice_in_short_adds_up() -> None:
    paper = Paper(
        PaperKind.INVOICE,
        party="city/ganzhou",
        month="2026-11",
        provisional_at=datetime(2026, 11, 20, tzinfo=UTC),
        lines=(line(1, 30, 70), line(2, 3, 8)),
        credit_notes=(),
    )

    shown = text(money_tables.invoice(paper))

    assert "provisional" in shown
    for amount in ("0.000111", "0.000033", "0.000078"):
        assert shown.count(amount) == 2  # of the one place, and in total


def test_a_budget_is_granted_held_used_and_left() -> None:
    programme = pb.Programme(programme="qingyang-demo", budget_micro_yuan=9_000_000, left_micro_yuan=4_000_000)
    paper = Paper(PaperKind.INVOICE, "city/ganzhou", "2026-11", None, (), ())

    shown = text(money_tables.budget(Closing(paper, programme, pb.GetForecastResponse(), [VOUCHER])))

    for amount in ("9.000000", "5.000000", "0.500000", "0.200000", "4.300000", "4.000000"):
        assert amount in shown
