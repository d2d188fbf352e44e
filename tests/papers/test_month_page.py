"""The page of a month: whole in both languages, self-contained, its figures the month's, hostile text escaped."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from broker.papers.hub_month import HubMonth, Title, summed
from broker.papers.month_page import page
from broker.papers.month_view import Say, number, span, use_table, whole_yuan
from broker.papers.words import LANGUAGES, texts, title
from tests.papers.a_month import OCTOBER, a_month

FACT = re.compile(r"\{(\w+)\}")
EMPTY = HubMonth("2026-10", "guian", OCTOBER.begins_at, OCTOBER.ends_at, None, None)


class Reader(HTMLParser):
    """Takes a page apart: its tags with attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_languages_have_the_same_texts_with_the_same_facts() -> None:
    zh, en = texts("zh"), texts("en")

    assert zh.keys() == en.keys()
    assert {key: set(FACT.findall(text)) for key, text in zh.items()} == {
        key: set(FACT.findall(text)) for key, text in en.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("hub", ["qingyang", ""])
def test_a_page_needs_nothing_from_elsewhere(language: str, hub: str) -> None:
    """No script, no link, no image, and no address but the empty icon's."""
    text = page(a_month(hub=hub), language)

    reader = read(text)
    assert {tag for tag, _ in reader.tags} & {"script", "img", "iframe", "object", "base", "form"} == set()
    assert [(tag, attrs["href"]) for tag, attrs in reader.tags if "href" in attrs] == [("link", "data:,")]
    assert not re.search(r"url\(|@import|https?://", text)
    assert text.lstrip().startswith("<!doctype html>")
    assert ("html", {"lang": language}) in reader.tags
    assert page(a_month(hub=hub), language) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_figures_are_those_of_the_month(language: str) -> None:
    month = a_month()

    text = read(page(month, language)).text

    t = month.total
    for figure in (
        whole_yuan(t.micro_yuan), number(t.jobs), number(t.quotes_accepted), whole_yuan(t.missed_credit_micro_yuan),
        number(month.rounds.committed), "69.9 %", "1.193", "1,780.0", month.sha256(), month.number,
        whole_yuan(month.ranked()[0].growth_micro_yuan),
    ):  # fmt: skip
        assert figure in text


@pytest.mark.parametrize("which", ["workload_class", "city"])
def test_printed_rows_add_up_to_the_printed_total(which: str) -> None:
    month = a_month()

    bars, total = use_table(month, Say("en", month), which)

    for column in (-2, -1):
        cells = [round(100 * float(row.cells[column].replace(",", ""))) for row in bars]
        assert sum(cells) == round(100 * float(total.cells[column].replace(",", "")))
    hours = summed(month.use, "milli_card_seconds") / 3_600_000
    assert total.cells[1] == number(hours, 1)


def test_a_line_that_is_missed_is_called_missed() -> None:
    month = a_month()
    [hub] = month.hubs
    newest = replace(hub.figures[-1], racks_used=20_000, pue_milli=1_201)
    worse = replace(month, hubs=(replace(hub, figures=(*hub.figures[:-1], newest)),))

    assert read(page(month, "en")).text.count("missed") + 2 == read(page(worse, "en")).text.count("missed")
    assert "48.9 %" in read(page(worse, "en")).text


def test_more_heat_than_energy_is_doubted_and_not_given_as_a_share() -> None:
    month = a_month()
    [hub] = month.hubs
    cold = replace(month, hubs=(replace(hub, meter_joules=1),))

    assert texts("en")["park.heat.above"] not in read(page(month, "en")).text
    assert texts("en")["park.heat.above"] in read(page(cold, "en")).text


def test_what_was_not_entered_is_told_with_the_command_that_enters_it() -> None:
    month = a_month()
    bare = replace(month, hubs=tuple(replace(hub, figures=()) for hub in month.hubs))

    assert "not entered: xisuan admin figures set qingyang --month 2026-10" in read(page(bare, "en")).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_empty_month_says_what_there_was_not(language: str) -> None:
    text = read(page(EMPTY, language)).text

    for key in ("nothing", "growth.none", "voucher.none", "rounds.none"):
        assert texts(language)[key] in text


def test_an_open_month_says_up_to_when_it_is() -> None:
    text = read(page(a_month(provisional_at=OCTOBER.begins_at + timedelta(days=9)), "en")).text

    assert "Provisional: the month is open, figures are up to 2026-10-10 00:00 (UTC+8)." in text


def test_days_that_do_not_add_up_to_the_count_are_explained() -> None:
    month = a_month()
    [hub] = month.hubs
    more = replace(month, hubs=(replace(hub, meter_joules=hub.meter_joules * 11 // 10),))

    assert "have changed within the month" not in read(page(month, "en")).text
    assert "have changed within the month" in read(page(more, "en")).text


def test_hostile_names_are_text() -> None:
    month = a_month()
    nasty = "<script>alert(1)</script>"
    hubs = tuple(
        replace(hub, rack_line_source=nasty, figures=tuple(replace(f, source=nasty) for f in hub.figures))
        for hub in month.hubs
    )
    hostile = replace(month, hubs=hubs, titles=(Title("hub", "qingyang", nasty), Title("city", "ganzhou", nasty)))

    text = page(hostile, "en")

    assert "<script" not in text
    assert nasty in read(text).text


def test_the_json_of_a_month_is_canonical_and_whole() -> None:
    month = a_month()

    data = json.loads(month.text())

    assert list(data) == sorted(data)
    assert data["number"] == "month/2026-10/qingyang"
    assert data["total"]["micro_yuan"] == sum(row["micro_yuan"] for row in data["use"])
    assert month.sha256() != replace(month, hub="guian").sha256()


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (5_400, "1.5 h"), (864_000, "10.0 d")]
)
def test_lengths_of_time_are_short(seconds: int, told: str) -> None:
    assert span(seconds) == told


def test_titles_are_told_in_the_reader_s_language() -> None:
    assert (title("庆阳 Qingyang", "zh"), title("庆阳 Qingyang", "en")) == ("庆阳", "Qingyang")


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match="zh, en"):
        page(EMPTY, "fr")
