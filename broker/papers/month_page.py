"""The month of a hub as one HTML page: plots inside, no script, nothing from elsewhere; it prints on A4."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from broker.papers import month_parks, month_view
from broker.papers.hub_month import FURTHER_CARDS, HubMonth
from broker.papers.month_view import Say
from broker.papers.words import LANGUAGES

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(month: HubMonth, language: str) -> str:
    """Return the page in a language: the same figures and language make the same text. Raise ValueError for others."""
    if language not in LANGUAGES:
        raise ValueError(f"the language is one of {', '.join(LANGUAGES)}, not {language!r}")
    words = Say(language, month)
    sector_days, sector_legend = month_view.use_days(month, words, "workload_class")
    city_days, city_legend = month_view.use_days(month, words, "city")
    money_days, money_legend = month_view.money_days(month, words)
    gaps, rounds = month_parks.rounds(month, words)
    provisional = month.provisional_at
    return _TEMPLATES.get_template("month.html").render(
        month=month,
        language=language,
        say=words,
        where=words.hub(month.hub) if month.hub else words("all_hubs"),
        state=words("closed") if provisional is None else words("provisional", at=month_view.moment(provisional)),
        number=words("number", number=month.number, sha256=month.sha256()),
        tiles=month_view.tiles(month, words),
        sector_days=sector_days,
        sector_legend=sector_legend,
        city_days=city_days,
        city_legend=city_legend,
        by_sector=month_view.use_table(month, words, "workload_class"),
        by_city=month_view.use_table(month, words, "city"),
        models=month_view.models(month, words),
        money_days=money_days,
        money_legend=money_legend,
        money=month_view.money_table(month, words),
        parks=[month_parks.park(month, hub, words) for hub in month.hubs],
        vouchers=month_parks.vouchers(month),
        growth=month_parks.growth(month, words),
        growth_priced=bool(month.ranked()),
        coverage=month_parks.growth_coverage(month),
        further=month_view.number(FURTHER_CARDS),
        gaps=gaps,
        rounds=rounds,
    )
