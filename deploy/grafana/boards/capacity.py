"""Where cards are, whether they are used, and whether what is free can be used at all."""

from typing import Final

from deploy.grafana.model import AMBER, BLUE, RED, Board, Panel, Query, Row, Variable

OF: Final = 'hub=~"$hub",cluster=~"$cluster",model=~"$model"'

BOARD: Final = Board(
    uid="xisuan-capacity",
    title="Xisuan · Capacity and fragmentation",
    about="Cards, FP16 P and standard racks by hub, cluster, pool and model; what is free, and for how large a job.",
    variables=(
        Variable("hub", "Hub", "broker_pool_cards", "hub"),
        Variable("cluster", "Cluster", 'broker_pool_cards{hub=~"$hub"}', "cluster"),
        Variable("model", "Model", "broker_pool_cards", "model"),
    ),
    rows=(
        Row(
            "Side by side",
            (
                Panel(
                    "Cards",
                    "stat",
                    "All cards of these pools.",
                    "short",
                    (Query(f"sum(broker_pool_cards{{{OF}}})", "cards"),),
                    6,
                    4,
                    base=BLUE,
                ),
                Panel(
                    "FP16 P",
                    "stat",
                    "The same in FP16 PFLOPS as the programme counts them.",
                    "short",
                    (Query(f"sum(broker_pool_fp16_pflops{{{OF}}})", "PFLOPS"),),
                    6,
                    4,
                    base=BLUE,
                    decimals=1,
                ),
                Panel(
                    "Standard racks",
                    "stat",
                    "The same in racks of 2.5 kW; of models whose power is known.",
                    "short",
                    (Query(f"sum(broker_pool_racks{{{OF}}})", "racks"),),
                    6,
                    4,
                    base=BLUE,
                    decimals=1,
                ),
                Panel(
                    "Allocated",
                    "stat",
                    "Leased cards as a part of those that take work.",
                    "percentunit",
                    (
                        Query(
                            f'sum(broker_pool_cards{{{OF},use="leased"}})'
                            f' / clamp_min(sum(broker_pool_cards{{{OF},use=~"leased|free"}}), 1)',
                            "allocated",
                        ),
                    ),
                    6,
                    4,
                    base=BLUE,
                ),
            ),
        ),
        Row(
            "Use",
            (
                Panel(
                    "Allocation by cluster",
                    "bargauge",
                    "Leased cards as a part of those that take work.",
                    "percentunit",
                    (
                        Query(
                            f'sum by (cluster) (broker_pool_cards{{{OF},use="leased"}})'
                            f' / clamp_min(sum by (cluster) (broker_pool_cards{{{OF},use=~"leased|free"}}), 1)',
                            "{{cluster}}",
                        ),
                    ),
                    8,
                    9,
                    base=BLUE,
                    most=1,
                ),
                Panel(
                    "Cards by use",
                    "timeseries",
                    "Every card once.",
                    "short",
                    (Query(f"sum by (use) (broker_pool_cards{{{OF}}})", "{{use}}"),),
                    8,
                    9,
                    stacked=True,
                ),
                Panel(
                    "Leased by model",
                    "timeseries",
                    "Leased cards by accelerator model.",
                    "short",
                    (Query(f'sum by (model) (broker_pool_cards{{{OF},use="leased"}})', "{{model}}"),),
                    8,
                    9,
                    stacked=True,
                ),
                Panel(
                    "Pools",
                    "table",
                    "Cards of each pool by use, now.",
                    "short",
                    (Query(f"sum by (hub, cluster, pool, model, use) (broker_pool_cards{{{OF}}})"),),
                    24,
                    9,
                ),
            ),
        ),
        Row(
            "Can what is free be used?",
            (
                Panel(
                    "Fragmentation",
                    "timeseries",
                    "Part of the free cards that a typical live job cannot use. 0 when nothing is free or waits.",
                    "percentunit",
                    (
                        Query(
                            f"max by (cluster, pool) (broker_pool_fragmentation_ratio{{{OF}}})", "{{cluster}}/{{pool}}"
                        ),
                    ),
                    12,
                    8,
                    ((0.3, AMBER), (0.6, RED)),
                    most=1,
                ),
                Panel(
                    "Nodes with room",
                    "timeseries",
                    "Nodes that have at least so many free cards.",
                    "short",
                    (Query(f"sum by (cards) (broker_pool_free_nodes{{{OF}}})", "{{cards}} and more"),),
                    12,
                    8,
                ),
                Panel(
                    "Nodes that take no work",
                    "timeseries",
                    "Cordoned, draining, drained, down, or no longer reported by their agent.",
                    "short",
                    (
                        Query(
                            'sum by (state) (broker_nodes{hub=~"$hub",cluster=~"$cluster",state!="open"})', "{{state}}"
                        ),
                    ),
                    12,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Stopped for others",
                    "timeseries",
                    "Leases ordered to stop in an hour, by what for: guarantees, tiers, moves, maintenance.",
                    "short",
                    (Query("sum by (claim) (increase(broker_stops_total[1h]))", "{{claim}}"),),
                    12,
                    8,
                ),
            ),
        ),
    ),
)
