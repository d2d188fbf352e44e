"""Papers add up: exact in micro-yuan, and in the fen that are printed; one paper has one text."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.papers.csv_text import csv_text, paper_csv, use_csv
from broker.papers.fen import MICRO_YUAN_IN_FEN, exact_yuan, rounded, spread, yuan
from broker.papers.month import PROGRAMME_TIME, Month
from broker.papers.paper import Paper, PaperKind, Part, micro_pflops_hours, policy_text
from broker.papers.pdf import paper_pdf
from broker.papers.printed import printed
from broker.papers.use import UseReport, UseRow, by_city, by_sector, merged, together
from broker.worlds import rates
from tests.papers.made import AT, a_line, a_note, invoices, statements


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(paper=st.one_of(invoices(), statements()))
def test_what_is_printed_adds_up_along_rows_and_columns_and_is_within_a_fen(paper: Paper) -> None:
    fen = printed(paper)

    assert fen.total == rounded(paper.micro_yuan + sum(line.fee_micro_yuan for line in paper.lines)) - (
        fen.aside if paper.kind is PaperKind.STATEMENT else 0
    )
    assert sum(t.work for t in fen.totals) == (fen.price if paper.kind is PaperKind.INVOICE else fen.own)
    assert sum(t.credited for t in fen.totals) == sum(fen.credit_notes)
    for line, cells in zip(paper.lines, fen.lines, strict=True):
        accounts = len(line.parts) + 1
        assert (
            abs(cells.price * MICRO_YUAN_IN_FEN - line.micro_yuan - line.fee_micro_yuan) < accounts * MICRO_YUAN_IN_FEN
        )
    for note, cell in zip(paper.credit_notes, fen.credit_notes, strict=True):
        assert abs(cell * MICRO_YUAN_IN_FEN - note.micro_yuan) < MICRO_YUAN_IN_FEN
    for total, cells in zip(paper.totals(), fen.totals, strict=True):
        assert abs(cells.total * MICRO_YUAN_IN_FEN - total.total) < MICRO_YUAN_IN_FEN


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(paper=st.one_of(invoices(), statements()))
def test_every_row_of_the_csv_adds_up_to_its_last(paper: Paper) -> None:
    head, *rows = list(csv.reader(io.StringIO(paper_csv(paper))))
    *lines, total = rows

    for i, name in enumerate(head):
        if name.endswith("_yuan") or name.startswith("micro_yuan "):
            if name == "micro_yuan_per_card_hour":
                continue
            cells = [round(float(row[i]) * 100) if "." in row[i] else int(row[i] or 0) for row in lines]
            assert sum(cells) == (round(float(total[i]) * 100) if "." in total[i] else int(total[i])), name


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(paper=invoices())
def test_an_invoice_is_the_sum_of_what_was_captured(paper: Paper) -> None:
    data = json.loads(paper.text())

    captured = sum(part.micro_yuan for line in paper.lines for part in line.parts)
    credited = sum(note.micro_yuan for note in paper.credit_notes)
    assert data["totals"]["micro_yuan"] == captured - credited
    assert sum(a["total"] for a in data["totals"]["accounts"]) == captured - credited


def test_a_total_of_other_amounts_is_no_total() -> None:
    assert spread([14_999, 5_001], 2) == [1, 1]
    with pytest.raises(ValueError, match="not the sum"):
        spread([10_000], 2)


@pytest.mark.parametrize(("micro_yuan", "fen"), [(4999, 0), (5000, 1), (-4999, 0), (-5000, -1), (15_000, 2)])
def test_half_a_fen_is_rounded_away_from_zero(micro_yuan: int, fen: int) -> None:
    assert rounded(micro_yuan) == fen


def test_amounts_are_written_as_people_read_them() -> None:
    assert (yuan(-123_405), yuan(7)) == ("-1,234.05", "0.07")
    assert (exact_yuan(1_250_000), exact_yuan(-1), exact_yuan(10**9)) == ("1.25", "-0.000001", "1,000.00")


def test_a_month_is_of_the_programmes_time_and_closes_a_little_after_its_end() -> None:
    month = Month.parse("2026-12")

    assert (month.begins_at, month.ends_at) == (
        datetime(2026, 11, 30, 16, tzinfo=UTC),
        datetime(2026, 12, 31, 16, tzinfo=UTC),
    )
    assert Month.at(month.begins_at) == month == Month.at(month.ends_at - timedelta(microseconds=1))
    assert not month.is_closed(month.ends_at + timedelta(minutes=59))
    assert month.is_closed(month.ends_at + timedelta(hours=1))
    assert PROGRAMME_TIME == rates.PROGRAMME_TIME
    for text in ("2026-13", "2026-1", "26-01", "2026-11\n", ""):
        with pytest.raises(ValueError, match="must be a month"):
            Month.parse(text)


def test_one_paper_has_one_text_and_another_has_another() -> None:
    paper = Paper(PaperKind.INVOICE, "city/ganzhou", "2026-11", None, (a_line(7, Part("city/ganzhou", 5)),), ())

    assert paper.number == "invoice/city/ganzhou/2026-11"
    assert paper.sha256() == replace(paper).sha256()
    assert paper.sha256() != replace(paper, provisional_at=AT).sha256()
    assert json.loads(paper.text())["lines"][0]["parts"] == [["city/ganzhou", 5]]


@pytest.mark.parametrize("kind", PaperKind)
def test_a_pdf_is_the_same_bytes_each_time_over_many_pages_and_takes_any_text(kind: PaperKind) -> None:
    account = "city/ganzhou" if kind is PaperKind.INVOICE else "owner/longdong"
    lines = tuple(a_line(i, Part(account, 10**i)) for i in range(1, 16)) * 4
    notes = tuple(a_note(i, account, account, 7, "迟到 " + "x" * 150) for i in range(40))
    paper = Paper(kind, account, "2026-11", AT, lines, notes)

    drawn = paper_pdf(paper)

    assert drawn == paper_pdf(paper)
    assert drawn.startswith(b"%PDF-")
    assert drawn.count(b"/Type /Page\n") == 6
    assert paper_pdf(replace(paper, lines=(), credit_notes=())).count(b"/Type /Page\n") == 1


def test_a_text_that_a_spreadsheet_would_run_is_kept_from_it() -> None:
    note = a_note(1, "city/ganzhou", "fee", 5, "=1+1")
    paper = Paper(PaperKind.INVOICE, "city/ganzhou", "2026-11", None, (), (note,))

    assert "'=1+1" in paper_csv(paper)
    assert json.loads(paper.text())["credit_notes"][0]["reference"] == "=1+1"


def test_work_in_p_hours_and_where_it_was_allowed() -> None:
    assert micro_pflops_hours(320_000, 8000, 90) == 3_840_000  # 0.32 PFLOPS x 8 cards x 1.5 hours
    assert policy_text(domestic_only=True, hubs=("b", "a"), owners=()) == "domestic only; hubs a b"
    assert policy_text(domestic_only=False, hubs=(), owners=()) == ""


def test_a_report_is_summed_by_sector_by_city_and_together() -> None:
    rows = [
        UseRow("ganzhou", "training", 1, 2, 3, 4, 5, 6, 7, 8, 9),
        UseRow("ganzhou", "speech", *[10] * 9),
        UseRow("nanjing", "training", *[100] * 9),
    ]

    assert merged(rows, by_sector)[1] == UseRow("all", "training", *range(101, 110))
    assert [r.city for r in merged(rows, by_city)] == ["ganzhou", "nanjing"]
    assert merged(rows, together) == [UseRow("all", "all", *range(111, 120))]
    report, other_way = (UseReport("2026-11", "", None, tuple(each)) for each in (rows, rows[::-1]))
    assert (report.number, report.text()) == ("use/2026-11", other_way.text())
    assert report.sha256() != UseReport("2026-11", "ganzhou", None, report.rows).sha256()
    assert use_csv(rows).splitlines()[-1].startswith("all,all,111,112,")


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1+1", "\r=1+1", '=HYPERLINK("http://a","b")'])
def test_no_cell_is_run_by_a_spreadsheet(text: str) -> None:
    """Notes of officers and reasons of credit notes are free text, and auditors open them in spreadsheets."""
    [_, [cell]] = csv.reader(io.StringIO(csv_text([["note"], [text]]), newline=""))

    assert cell == f"'{text}"


@pytest.mark.parametrize("text", ["-12.50", "12", "acme", ""])
def test_figures_and_plain_words_stay_as_they_are(text: str) -> None:
    [_, [cell]] = csv.reader(io.StringIO(csv_text([["note"], [text]]), newline=""))

    assert cell == text
