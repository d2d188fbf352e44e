"""Ten seconds, and one knows: is the hub well, full, fair, and on time."""

from typing import Final

from deploy.grafana.model import AMBER, BLUE, GREEN, RED, Board, Panel, Query, Row, Variable

WORST: Final = "What must be 0 is red as soon as it is not."

BOARD: Final = Board(
    uid="xisuan-hub",
    title="Xisuan · Hub overview",
    about="Look for ten seconds and know: everything in the first row green is a hub that is well.",
    variables=(Variable("hub", "Hub", "broker_cards", "hub"),),
    rows=(
        Row(
            "Is it well?",
            (
                Panel(
                    "Broker leads",
                    "stat",
                    "Whether one broker leads: without one nothing new starts.",
                    "bool_yes_no",
                    (Query("max(broker_leads)", "leads"),),
                    3,
                    4,
                    ((1, GREEN),),
                    RED,
                ),
                Panel(
                    "Cards in use",
                    "stat",
                    "Leased cards as a part of all that are not closed or used by their owner.",
                    "percentunit",
                    (
                        Query(
                            'sum(broker_cards{hub=~"$hub",use="leased"})'
                            ' / clamp_min(sum(broker_cards{hub=~"$hub",use=~"leased|free"}), 1)',
                            "in use",
                        ),
                    ),
                    3,
                    4,
                    base=BLUE,
                ),
                Panel(
                    "Waiting jobs",
                    "stat",
                    "Jobs of all cities that wait.",
                    "short",
                    (Query("sum(broker_queue_jobs)", "waiting"),),
                    3,
                    4,
                    base=BLUE,
                ),
                Panel(
                    "Promises kept",
                    "stat",
                    "Promised starts that came in time, of all that came due; since the brokers started.",
                    "percentunit",
                    (
                        Query(
                            'sum(broker_promises_total{fate="kept"})'
                            ' / clamp_min(sum(broker_promises_total{fate=~"kept|late|broken"}), 1)'
                            " or vector(1)",
                            "kept",
                        ),
                    ),
                    3,
                    4,
                    ((0.95, AMBER), (0.99, GREEN)),
                    RED,
                ),
                Panel(
                    "Last round",
                    "stat",
                    "How long ago a round was committed. An idle hub has none.",
                    "s",
                    (Query("time() - max(broker_round_at_seconds > 0)", "ago"),),
                    3,
                    4,
                    ((120, AMBER), (600, RED)),
                ),
                Panel(
                    "Agents away",
                    "stat",
                    f"Clusters whose agent is suspect or lost. {WORST}",
                    "short",
                    (Query('sum(broker_agents{state=~"suspect|lost"})', "away"),),
                    3,
                    4,
                    ((1, RED),),
                ),
                Panel(
                    "Leaked cards",
                    "stat",
                    f"Cards held for nobody, or leased and not held. {WORST}",
                    "short",
                    (Query("sum(broker_leaked_cards)", "leaked"),),
                    3,
                    4,
                    ((1, RED),),
                ),
                Panel(
                    "Books",
                    "stat",
                    f"Findings of the last audit of the books. {WORST}",
                    "short",
                    (Query("sum(broker_ledger_audit_findings)", "findings"),),
                    3,
                    4,
                    ((1, RED),),
                ),
            ),
        ),
        Row(
            "Is it full, and with what?",
            (
                Panel(
                    "Cards by use",
                    "timeseries",
                    "Every card once: leased, used by its owner, closed, or free.",
                    "short",
                    (Query('sum by (use) (broker_cards{hub=~"$hub"})', "{{use}}"),),
                    12,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Computing power by hub",
                    "timeseries",
                    "Leased FP16 PFLOPS, as the programme counts them.",
                    "short",
                    (Query('sum by (hub) (broker_pool_fp16_pflops{hub=~"$hub",use="leased"})', "{{hub}} P"),),
                    12,
                    8,
                ),
                Panel(
                    "Queue by class",
                    "timeseries",
                    "Cards that waiting jobs ask for, by priority class.",
                    "short",
                    (Query("sum by (class) (broker_queue_cards)", "{{class}}"),),
                    12,
                    8,
                    stacked=True,
                ),
                Panel(
                    "What happens to jobs",
                    "timeseries",
                    "Events of jobs a second, as they are numbered.",
                    "ops",
                    (
                        Query(
                            "sum by (event) (rate(broker_job_events_total{"
                            'event=~"submitted|leased|started|succeeded|failed|requeued|lost"}[$__rate_interval]))',
                            "{{event}}",
                        ),
                    ),
                    12,
                    8,
                ),
            ),
        ),
        Row(
            "Power and energy",
            (
                Panel(
                    "Power at the meter",
                    "timeseries",
                    "What leased cards draw times PUE, with the cap of the hub where it has one.",
                    "watt",
                    (
                        Query('sum by (hub) (broker_hub_power_watts{hub=~"$hub"})', "{{hub}}"),
                        Query('sum by (hub) (broker_hub_power_watts_max{hub=~"$hub"})', "{{hub}} cap"),
                        Query('sum by (hub) (broker_hub_power_pace_watts{hub=~"$hub"})', "{{hub}} pace"),
                    ),
                    12,
                    8,
                ),
                Panel(
                    "Energy quota used",
                    "bargauge",
                    "Part of this year's energy quota that the meter has counted.",
                    "percentunit",
                    (
                        Query(
                            'sum by (hub) (broker_hub_energy_joules{hub=~"$hub"}'
                            " and on (hub) broker_hub_energy_joules_max)"
                            ' / sum by (hub) (broker_hub_energy_joules_max{hub=~"$hub"})',
                            "{{hub}}",
                        ),
                    ),
                    6,
                    8,
                    ((0.9, AMBER), (1.0, RED)),
                    most=1,
                ),
                Panel(
                    "PUE",
                    "bargauge",
                    "As entered by operators; the programme's line is 1.2.",
                    "none",
                    (Query('sum by (hub) (broker_hub_pue_ratio{hub=~"$hub"})', "{{hub}}"),),
                    6,
                    8,
                    ((1.2001, RED),),
                    decimals=2,
                    most=1.5,
                ),
                Panel(
                    "Green energy of the month",
                    "bargauge",
                    "Green part of what leases drew at the meter in this month of UTC+8; the programme's line is 80 %.",
                    "percentunit",
                    (
                        Query(
                            'sum by (hub) (broker_hub_month_energy_joules{hub=~"$hub",kind="green"})'
                            ' / clamp_min(sum by (hub) (broker_hub_month_energy_joules{hub=~"$hub"}), 1)',
                            "{{hub}}",
                        ),
                    ),
                    24,
                    5,
                    ((0.8, GREEN),),
                    AMBER,
                    most=1,
                ),
            ),
        ),
    ),
)
