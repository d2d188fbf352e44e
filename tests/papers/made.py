"""Papers out of random captures, for tests."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from broker.papers.paper import CreditNote, Paper, PaperKind, Part, WorkLine

AT = datetime(2026, 11, 5, tzinfo=UTC)
AMOUNTS = st.integers(1, 10**13)
ACCOUNTS = ("city/ganzhou", "enterprise/ganzhou/acme", "voucher/ganzhou/7", "voucher/ganzhou/8")


def a_line(number: int, *parts: Part, fee: int = 0, borne: int = 0, minutes: int = 60) -> WorkLine:
    return WorkLine(
        f"lease-{number}", f"job-{number}", "ganzhou", "acme", "training", "qingyang", "longdong", "ascend-910b",
        8000, minutes, 0, 8_000_000, 1, 2_504_000, 2_560_000, 0, "domestic only", parts, fee, borne,
    )  # fmt: skip


def a_note(number: int, account: str, payer: str, micro_yuan: int, reference: str = "quote-7") -> CreditNote:
    return CreditNote(f"transaction-{number}", AT, reference, "hold-5", account, payer, micro_yuan)


@st.composite
def invoices(draw: st.DrawFn) -> Paper:
    paid = draw(st.lists(st.dictionaries(st.sampled_from(ACCOUNTS), AMOUNTS, min_size=1), max_size=12))
    back = draw(st.lists(st.tuples(st.sampled_from(ACCOUNTS), AMOUNTS), max_size=8))
    lines = tuple(a_line(i, *(Part(a, m) for a, m in sorted(by.items()))) for i, by in enumerate(paid, 1))
    notes = tuple(a_note(i, account, "owner/longdong", m) for i, (account, m) in enumerate(back, 1))
    return Paper(PaperKind.INVOICE, "city/ganzhou", "2026-11", None, lines, notes)


@st.composite
def statements(draw: st.DrawFn) -> Paper:
    earned = draw(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), max_size=12))
    back = draw(st.lists(AMOUNTS, max_size=8))
    lines = tuple(a_line(i, Part("owner/longdong", m), fee=f, borne=b) for i, (m, f, b) in enumerate(earned, 1))
    notes = tuple(a_note(i, "city/ganzhou", "owner/longdong", m) for i, m in enumerate(back, 1))
    return Paper(PaperKind.STATEMENT, "owner/longdong", "2026-11", None, lines, notes)
