"""What cards cost, and where money is."""

from typing import Final

from deploy.grafana.model import BLUE, RED, Board, Panel, Query, Row, Variable

OF: Final = 'hub=~"$hub",model=~"$model"'
YUAN: Final = "/ 1e6"

BOARD: Final = Board(
    uid="xisuan-market",
    title="Xisuan · Market",
    about="Ask, scarcity and spot price of cards; promises; balances and the chain of the ledger.",
    variables=(
        Variable("hub", "Hub", "broker_pool_cards", "hub"),
        Variable("model", "Model", "broker_pool_cards", "model"),
        Variable("size", "Cards together", "broker_spot_micro_yuan_per_card_hour", "size", many=False),
    ),
    rows=(
        Row(
            "Prices",
            (
                Panel(
                    "Spot price",
                    "timeseries",
                    "Ask and scarcity together, yuan per card-hour, of the chosen size.",
                    "currencyCNY",
                    (
                        Query(
                            f"max by (cluster, pool) (broker_spot_micro_yuan_per_card_hour{{{OF},"
                            f'size="$size"}}) {YUAN}',
                            "{{cluster}}/{{pool}}",
                        ),
                    ),
                    12,
                    9,
                    decimals=2,
                ),
                Panel(
                    "Scarcity",
                    "timeseries",
                    "Shadow price of the last round beyond the ask, by how many cards are wanted together: the most "
                    "of all pools, yuan per card-hour. 0: nobody is turned away.",
                    "currencyCNY",
                    (Query(f"max by (size) (broker_scarcity_micro_yuan_per_card_hour{{{OF}}}) {YUAN}", "{{size}}"),),
                    12,
                    9,
                    decimals=2,
                ),
                Panel(
                    "What owners ask",
                    "bargauge",
                    "Ask of now by pool, yuan per card-hour.",
                    "currencyCNY",
                    (
                        Query(
                            f"max by (cluster, pool) (broker_ask_micro_yuan_per_card_hour{{{OF}}}) {YUAN}",
                            "{{cluster}}/{{pool}}",
                        ),
                    ),
                    12,
                    8,
                    base=BLUE,
                    decimals=2,
                ),
                Panel(
                    "Worth of rounds",
                    "timeseries",
                    "Objective and proven bound of the last round, yuan per hour: the gap is what is left to be had.",
                    "currencyCNY",
                    (
                        Query(f"max(broker_round_objective_micro_yuan_per_hour) {YUAN}", "objective"),
                        Query(f"max(broker_round_bound_micro_yuan_per_hour) {YUAN}", "bound"),
                    ),
                    12,
                    8,
                    decimals=2,
                ),
            ),
        ),
        Row(
            "Promises",
            (
                Panel(
                    "Promised starts",
                    "timeseries",
                    "Promises that stand, and of these those whose time has passed.",
                    "short",
                    (Query("sum by (state) (broker_promised_starts)", "{{state}}"),),
                    12,
                    8,
                ),
                Panel(
                    "What became of promises",
                    "timeseries",
                    "In an hour, by fate.",
                    "short",
                    (Query("sum by (fate) (increase(broker_promises_total[1h]))", "{{fate}}"),),
                    12,
                    8,
                ),
            ),
        ),
        Row(
            "Quotes and vouchers",
            (
                Panel(
                    "Quotes",
                    "timeseries",
                    "In an hour, by what became of them: gone and missed ones want a look.",
                    "short",
                    (Query("sum by (event) (increase(broker_quotes_total[1h]))", "{{event}}"),),
                    8,
                    8,
                ),
                Panel(
                    "Quotes that stand",
                    "timeseries",
                    "Quotes that can still be accepted, and accepted ones that have not started.",
                    "short",
                    (Query("sum by (state) (broker_quotes_standing)", "{{state}}"),),
                    8,
                    8,
                ),
                Panel(
                    "Vouchers",
                    "bargauge",
                    "Vouchers by state.",
                    "short",
                    (Query("sum by (state) (broker_vouchers)", "{{state}}"),),
                    8,
                    8,
                    base=BLUE,
                ),
                Panel(
                    "Voucher money",
                    "timeseries",
                    "Of vouchers that live: available, held for work, and used; together what was granted. In yuan.",
                    "currencyCNY",
                    (Query(f'sum by (pocket) (broker_voucher_micro_yuan{{pocket!="granted"}}) {YUAN}', "{{pocket}}"),),
                    12,
                    8,
                    stacked=True,
                    decimals=2,
                ),
                Panel(
                    "First voucher ends in",
                    "stat",
                    "How long the first of the live vouchers to expire still lives; 0 without one.",
                    "s",
                    (Query("max(broker_voucher_first_ends_seconds)", "left"),),
                    4,
                    8,
                    base=BLUE,
                ),
                Panel(
                    "Charging lag",
                    "stat",
                    "How long the oldest work has been due to be charged.",
                    "s",
                    (Query("max(broker_charging_lag_seconds)", "lag"),),
                    4,
                    8,
                    ((600, RED),),
                ),
                Panel(
                    "Usage refused",
                    "stat",
                    "Reports of usage that were not taken, in an hour; the reference says why they can be.",
                    "short",
                    (Query("sum(increase(broker_usage_refused_total[1h]))", "refused"),),
                    4,
                    8,
                    ((1, RED),),
                    decimals=0,
                ),
            ),
        ),
        Row(
            "Money",
            (
                Panel(
                    "Balances",
                    "timeseries",
                    "Of all accounts that never go below zero, by kind and pocket, yuan.",
                    "currencyCNY",
                    (Query(f"sum by (kind, pocket) (broker_ledger_micro_yuan) {YUAN}", "{{kind}} {{pocket}}"),),
                    12,
                    8,
                    decimals=2,
                ),
                Panel(
                    "Open holds",
                    "stat",
                    "Holds for work and quotes that are neither settled nor expired.",
                    "short",
                    (Query("sum(broker_ledger_holds_open)", "open"),),
                    4,
                    8,
                    base=BLUE,
                ),
                Panel(
                    "Chain lag",
                    "stat",
                    "Age of the oldest transaction that the chain does not cover.",
                    "s",
                    (Query("max(broker_ledger_chain_lag_seconds)", "lag"),),
                    4,
                    8,
                    ((60, RED),),
                ),
                Panel(
                    "Audit findings",
                    "stat",
                    "What the last audit of the books found. Never anything but 0.",
                    "short",
                    (Query("sum(broker_ledger_audit_findings)", "findings"),),
                    4,
                    8,
                    ((1, RED),),
                ),
            ),
        ),
    ),
)
