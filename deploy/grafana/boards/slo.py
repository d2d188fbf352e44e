"""What is promised to users, how much of the allowed failure is used, and how fast."""

from typing import Final

from deploy.grafana.model import AMBER, GREEN, RED, Board, Panel, Query, Row

OBJECTIVES: Final = (
    ("submission", "Submissions", "Submissions that the broker answers without failing itself", 0.999),
    ("lease", "Submit to lease", "Urgent and emergency jobs leased within 60 s", 0.95),
    ("promise", "Promised starts", "Promised starts that came in time", 0.99),
)
"""Name in the rules, title, what counts as good, objective over 30 days."""

BURNS: Final = ((1, AMBER), (6, RED))


def _row(name: str, title: str, good: str, objective: float) -> Row:
    window = f'{{slo="{name}"}}'
    return Row(
        f"{title}: {objective:.1%} in 30 days",
        (
            Panel(
                f"{title}: good",
                "stat",
                f"{good}; of the last hour. Without any it reads 100 %.",
                "percentunit",
                (Query(f"1 - slo:errors:ratio_rate1h{window}", "good"),),
                6,
                7,
                ((objective - 4 * (1 - objective), AMBER), (objective, GREEN)),
                RED,
                decimals=2,
            ),
            Panel(
                f"{title}: burn rate",
                "timeseries",
                "How many times too fast the allowed failures are used up; 1 uses them up in 30 days exactly.",
                "none",
                (
                    Query(f"slo:errors:ratio_rate5m{window} / on (slo) slo:allowed:ratio{window}", "5 min"),
                    Query(f"slo:errors:ratio_rate1h{window} / on (slo) slo:allowed:ratio{window}", "1 h"),
                    Query(f"slo:errors:ratio_rate6h{window} / on (slo) slo:allowed:ratio{window}", "6 h"),
                ),
                12,
                7,
                BURNS,
            ),
            Panel(
                f"{title}: budget left",
                "gauge",
                "Part of the failures allowed in 30 days that is left, by the last three days' pace.",
                "percentunit",
                (
                    Query(
                        f"clamp_min(1 - slo:errors:ratio_rate3d{window} / on (slo) slo:allowed:ratio{window}, 0)",
                        "left",
                    ),
                ),
                6,
                7,
                ((0.25, AMBER), (0.5, GREEN)),
                RED,
                most=1,
            ),
        ),
    )


BOARD: Final = Board(
    uid="xisuan-slo",
    title="Xisuan · SLO and burn rate",
    about="Objectives over 30 days, how fast their allowed failures are used, and what must never happen at all.",
    rows=(
        *(_row(*each) for each in OBJECTIVES),
        Row(
            "Never",
            (
                Panel(
                    "Leaked cards",
                    "timeseries",
                    "Cards held for nobody, or leased and not held: always 0.",
                    "short",
                    (Query("sum by (kind) (broker_leaked_cards)", "{{kind}}"),),
                    12,
                    7,
                    ((1, RED),),
                ),
                Panel(
                    "Books that do not add up",
                    "timeseries",
                    "Findings of the last audit of the books: always 0.",
                    "short",
                    (Query("sum by (rule) (broker_ledger_audit_findings)", "{{rule}}"),),
                    12,
                    7,
                    ((1, RED),),
                ),
            ),
        ),
        Row(
            "Alerts",
            (
                Panel(
                    "Firing",
                    "stat",
                    "Alerts that fire now.",
                    "short",
                    (Query('count(ALERTS{alertstate="firing"}) or vector(0)', "firing"),),
                    24,
                    4,
                    ((1, RED),),
                ),
            ),
        ),
    ),
)
