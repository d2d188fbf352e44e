"""How rounds go, how good they are, and why jobs wait."""

from typing import Final

from deploy.grafana.model import AMBER, BLUE, RED, Board, Panel, Query, Row

BOARD: Final = Board(
    uid="xisuan-scheduler",
    title="Xisuan · Scheduler",
    about="Rounds with their proven gap, stage by stage; the fast lane; waits, and what they wait for.",
    rows=(
        Row(
            "Rounds",
            (
                Panel(
                    "Proven gap",
                    "stat",
                    "How far the last round can be from the best there is.",
                    "percentunit",
                    (Query("max(broker_round_gap_ratio)", "gap"),),
                    6,
                    6,
                    ((0.02, AMBER), (0.1, RED)),
                    decimals=2,
                ),
                Panel(
                    "Rounds by outcome",
                    "timeseries",
                    "In five minutes. Anything but committed wants a look.",
                    "short",
                    (Query("sum by (outcome) (increase(broker_round_seconds_count[5m]))", "{{outcome}}"),),
                    9,
                    6,
                ),
                Panel(
                    "Duration",
                    "timeseries",
                    "Wall time of committed rounds: half, and nineteen of twenty.",
                    "s",
                    (
                        Query(
                            "histogram_quantile(0.5, sum by (le) (rate(broker_round_seconds_bucket{"
                            'outcome="committed"}[5m])))',
                            "p50",
                        ),
                        Query(
                            "histogram_quantile(0.95, sum by (le) (rate(broker_round_seconds_bucket{"
                            'outcome="committed"}[5m])))',
                            "p95",
                        ),
                    ),
                    9,
                    6,
                ),
                Panel(
                    "Gap over time",
                    "timeseries",
                    "Proven gap of each committed round.",
                    "percentunit",
                    (Query("max(broker_round_gap_ratio)", "gap"),),
                    8,
                    8,
                    ((0.02, AMBER), (0.1, RED)),
                ),
                Panel(
                    "Time by stage",
                    "timeseries",
                    "Mean wall time of a round's stages.",
                    "s",
                    (
                        Query(
                            "sum by (stage) (rate(broker_round_stage_seconds_sum[5m]))"
                            " / sum by (stage) (rate(broker_round_stage_seconds_count[5m]) > 0)",
                            "{{stage}}",
                        ),
                    ),
                    8,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Jobs of rounds",
                    "timeseries",
                    "Jobs a second that rounds placed, left waiting, or handed back because the world had moved on.",
                    "ops",
                    (Query("sum by (fate) (rate(broker_round_jobs_total[5m]))", "{{fate}}"),),
                    8,
                    8,
                ),
            ),
        ),
        Row(
            "Waiting",
            (
                Panel(
                    "Why jobs wait",
                    "bargauge",
                    "Waiting jobs by the reason that the last round told.",
                    "short",
                    (
                        Query(
                            "sort_desc(sum by (reason) (broker_waiting_jobs) > 0) or sum(broker_waiting_jobs)",
                            "{{reason}}",
                            instant=True,
                        ),
                    ),
                    12,
                    9,
                    base=BLUE,
                ),
                Panel(
                    "Reasons over time",
                    "timeseries",
                    "What the last round left waiting, by reason.",
                    "short",
                    (
                        Query(
                            "sum by (reason) (broker_round_refused_jobs) > 0 or sum(broker_round_refused_jobs)",
                            "{{reason}}",
                        ),
                    ),
                    12,
                    9,
                    stacked=True,
                ),
                Panel(
                    "Waits for a lease",
                    "timeseries",
                    "From submission to the first lease, nineteen of twenty.",
                    "s",
                    (
                        Query(
                            "histogram_quantile(0.95, sum by (le, class) (rate(broker_wait_seconds_bucket[5m]))"
                            " and on (class) sum by (class) (rate(broker_wait_seconds_count[5m])) > 0)",
                            "{{class}}",
                        ),
                    ),
                    12,
                    8,
                ),
                Panel(
                    "Leased by",
                    "timeseries",
                    "Jobs a second leased by rounds and by the fast lane.",
                    "ops",
                    (Query("sum by (path) (rate(broker_placements_total[5m]))", "{{path}}"),),
                    6,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Fast lane",
                    "timeseries",
                    "From submission to lease, jobs of the fast lane.",
                    "s",
                    (
                        Query(
                            "histogram_quantile(0.5, sum by (le) (rate(broker_fast_placement_seconds_bucket[5m])))",
                            "p50",
                        ),
                        Query(
                            "histogram_quantile(0.99, sum by (le) (rate(broker_fast_placement_seconds_bucket[5m])))",
                            "p99",
                        ),
                    ),
                    6,
                    8,
                ),
                Panel(
                    "Expected starts",
                    "timeseries",
                    "Part of the expected starts that came true since the brokers started: of P90 nine of ten should.",
                    "percentunit",
                    (
                        Query(
                            'sum by (quantile) (broker_expected_starts_total{outcome="in_time"})'
                            " / clamp_min(sum by (quantile) (broker_expected_starts_total), 1)",
                            "{{quantile}}",
                        ),
                    ),
                    12,
                    8,
                    most=1,
                ),
                Panel(
                    "Work to be done again",
                    "timeseries",
                    "Card-seconds a second that stops for others cost.",
                    "short",
                    (Query("sum by (claim) (rate(broker_stopped_card_seconds_total[5m]))", "{{claim}}"),),
                    12,
                    8,
                ),
            ),
        ),
    ),
)
