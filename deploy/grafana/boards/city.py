"""One city: what it has running, what waits, and how it fares."""

from typing import Final

from deploy.grafana.model import AMBER, BLUE, RED, Board, Panel, Query, Row, Variable

BOARD: Final = Board(
    uid="xisuan-city",
    title="Xisuan · City",
    about="Jobs of one city: running, waiting, ending; the cards it holds, hub by hub, and its part of all.",
    variables=(Variable("city", "City", "broker_jobs", "city", many=False),),
    rows=(
        Row(
            "Now",
            (
                Panel(
                    "Running",
                    "stat",
                    "Jobs that run.",
                    "short",
                    (Query('sum(broker_jobs{city="$city",state="running"})', "running"),),
                    6,
                    4,
                    base=BLUE,
                ),
                Panel(
                    "Waiting",
                    "stat",
                    "Jobs that wait.",
                    "short",
                    (Query('sum(broker_jobs{city="$city",state="pending"})', "waiting"),),
                    6,
                    4,
                    base=BLUE,
                ),
                Panel(
                    "Oldest wait",
                    "stat",
                    "Age of the oldest job that waits.",
                    "s",
                    (Query('max(broker_queue_oldest_seconds{city="$city"})', "oldest"),),
                    6,
                    4,
                    ((3600, AMBER), (86400, RED)),
                ),
                Panel(
                    "Cards",
                    "stat",
                    "Cards that the city holds, shares as parts.",
                    "short",
                    (Query('sum(broker_city_cards{city="$city"})', "cards"),),
                    6,
                    4,
                    base=BLUE,
                    decimals=1,
                ),
            ),
        ),
        Row(
            "Over time",
            (
                Panel(
                    "Jobs by state",
                    "timeseries",
                    "Live jobs.",
                    "short",
                    (Query('sum by (state) (broker_jobs{city="$city"})', "{{state}}"),),
                    12,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Cards by hub",
                    "timeseries",
                    "Where the city's cards are.",
                    "short",
                    (Query('sum by (hub) (broker_city_cards{city="$city"})', "{{hub}}"),),
                    12,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Queue by class",
                    "timeseries",
                    "Cards that its waiting jobs ask for.",
                    "short",
                    (Query('sum by (class) (broker_queue_cards{city="$city"})', "{{class}}"),),
                    12,
                    8,
                    stacked=True,
                ),
                Panel(
                    "What happens to its jobs",
                    "timeseries",
                    "Events a minute.",
                    "short",
                    (
                        Query(
                            'sum by (event) (rate(broker_job_events_total{city="$city"}[$__rate_interval])) * 60',
                            "{{event}}",
                        ),
                    ),
                    12,
                    8,
                ),
                Panel(
                    "Part of all cards held",
                    "timeseries",
                    "The city's cards as a part of all cities'.",
                    "percentunit",
                    (Query('sum(broker_city_cards{city="$city"}) / clamp_min(sum(broker_city_cards), 1)', "$city"),),
                    12,
                    8,
                    most=1,
                ),
                Panel(
                    "Cities side by side",
                    "bargauge",
                    "Cards held by each city now.",
                    "short",
                    (Query("sum by (city) (broker_city_cards)", "{{city}}"),),
                    12,
                    8,
                    base=BLUE,
                ),
            ),
        ),
    ),
)
