"""Agents, their engines, and the broker's own insides."""

from typing import Final

from deploy.grafana.model import AMBER, GREEN, RED, Board, Panel, Query, Row, Variable

OF: Final = 'hub=~"$hub",cluster=~"$cluster"'

BOARD: Final = Board(
    uid="xisuan-agents",
    title="Xisuan · Agents and engines",
    about="Who reports and who is silent, what state nodes and leases are in; connections, events and loops.",
    variables=(
        Variable("hub", "Hub", "broker_nodes", "hub"),
        Variable("cluster", "Cluster", 'broker_nodes{hub=~"$hub"}', "cluster"),
    ),
    rows=(
        Row(
            "Agents",
            (
                Panel(
                    "Agents by state",
                    "timeseries",
                    "Clusters by the state of their agent.",
                    "short",
                    (Query("sum by (state) (broker_agents)", "{{state}}"),),
                    8,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Silence",
                    "timeseries",
                    "How long ago each agent was heard. 10 s is suspect, 60 s is lost.",
                    "s",
                    (Query(f"max by (cluster) (broker_agent_silence_seconds{{{OF}}})", "{{cluster}}"),),
                    8,
                    8,
                    ((10, AMBER), (60, RED)),
                ),
                Panel(
                    "Clusters",
                    "table",
                    "Hub, owner and engine of each cluster.",
                    "short",
                    (Query(f"max by (hub, cluster, engine, owner) (broker_cluster_info{{{OF}}})"),),
                    8,
                    8,
                ),
                Panel(
                    "Nodes by state",
                    "timeseries",
                    "Nodes of these clusters.",
                    "short",
                    (Query(f"sum by (state) (broker_nodes{{{OF}}})", "{{state}}"),),
                    8,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Leases by state",
                    "timeseries",
                    "Live leases; lost ones wait for an agent that is silent.",
                    "short",
                    (Query("sum by (state) (broker_leases)", "{{state}}"),),
                    8,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Policies rejected",
                    "stat",
                    "Leases that agents refused by their signed policy, in an hour.",
                    "short",
                    (Query("sum(increase(broker_policy_rejections_total[1h]))", "rejected"),),
                    8,
                    8,
                    ((1, RED),),
                    decimals=0,
                ),
            ),
        ),
        Row(
            "The broker",
            (
                Panel(
                    "Calls",
                    "timeseries",
                    "Calls a second by method, the ten busiest.",
                    "ops",
                    (Query("topk(10, sum by (method) (rate(broker_calls_total[$__rate_interval])))", "{{method}}"),),
                    8,
                    8,
                ),
                Panel(
                    "Calls that failed",
                    "timeseries",
                    "Calls a second by status code, other than OK.",
                    "ops",
                    (Query('sum by (code) (rate(broker_calls_total{code!="OK"}[$__rate_interval]))', "{{code}}"),),
                    8,
                    8,
                ),
                Panel(
                    "Latency",
                    "timeseries",
                    "Ninety-nine of a hundred calls of a method, streams left out.",
                    "s",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (le, method) (rate(broker_call_seconds_bucket[5m]))"
                            " and on (method) sum by (method) (rate(broker_call_seconds_count[5m])) > 0)",
                            "{{method}}",
                        ),
                    ),
                    8,
                    8,
                ),
                Panel(
                    "Database connections",
                    "timeseries",
                    "Busy, idle and not yet opened, by pool.",
                    "short",
                    (Query("sum by (pool, use) (broker_database_connections)", "{{pool}} {{use}}"),),
                    8,
                    8,
                    stacked=True,
                ),
                Panel(
                    "Wait for a connection",
                    "timeseries",
                    "Ninety-nine of a hundred transactions.",
                    "s",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (le, pool)"
                            " (rate(broker_database_wait_seconds_bucket[5m])))",
                            "{{pool}}",
                        ),
                    ),
                    8,
                    8,
                ),
                Panel(
                    "Events not numbered",
                    "timeseries",
                    "Events that watchers cannot see yet, and their age.",
                    "short",
                    (
                        Query("sum(broker_events_unnumbered)", "events"),
                        Query("max(broker_events_lag_seconds)", "age in seconds"),
                    ),
                    8,
                    8,
                ),
                Panel(
                    "Loops that failed",
                    "timeseries",
                    "Failed runs of background services in five minutes.",
                    "short",
                    (Query("sum by (loop) (increase(broker_loop_failures_total[5m]))", "{{loop}}"),),
                    12,
                    8,
                ),
                Panel(
                    "Scrape",
                    "timeseries",
                    "How long /metrics takes, and the reading of the tables behind it.",
                    "s",
                    (
                        Query('max(scrape_duration_seconds{job="xisuan"})', "scrape"),
                        Query("max(broker_census_seconds)", "census"),
                    ),
                    8,
                    8,
                ),
                Panel(
                    "Up",
                    "stat",
                    "Brokers that answer Prometheus.",
                    "short",
                    (Query('sum(up{job="xisuan"})', "brokers"),),
                    4,
                    8,
                    ((1, GREEN),),
                    RED,
                ),
            ),
        ),
    ),
)
