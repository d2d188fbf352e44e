"""The map of cards says of each card what it is, and is sent once until something changes."""

import gzip
import json

from hypothesis import given
from hypothesis import strategies as st

from broker.console.cards import card_maps, nothing
from broker.market.standing import PoolCards
from tests.console.conftest import Desk

SETS = st.sets(st.integers(0, 63), max_size=64)


def bits(cards: set[int]) -> int:
    """Return a set of cards as PostgreSQL has it: 64 bits with a sign."""
    number = sum(1 << card for card in cards)
    return number - (1 << 64) if number >= 1 << 63 else number


@given(st.integers(0, 64), SETS, SETS, st.booleans(), st.booleans())
def test_each_card_of_the_console_map_has_the_letter_of_what_it_is(
    cards: int, leased: set[int], foreign: set[int], is_open: bool, works: bool
) -> None:
    """What is leased counts as that, whatever else it is; cards that a node no longer has are left out."""
    pool = PoolCards("c", "p", "m", ["n"], [cards], [is_open], [works], [bits(leased)], [bits(foreign)])

    [shown] = json.loads(card_maps([pool]).by_cluster["c"])["pools"]

    rest = ("." if is_open else "C") if works else "D"
    assert shown["cards"] == ["".join("L" if c in leased else "F" if c in foreign else rest for c in range(cards))]


def test_the_console_sends_maps_of_all_clusters_together() -> None:
    east = PoolCards("east", "p", "m", ["n"], [1], [True], [True], [0], [0])
    west = PoolCards("west", "p", "m", ["n"], [1], [True], [True], [1], [0])

    maps = card_maps([east, west])

    assert json.loads(gzip.decompress(maps.all.body)) == [json.loads(text) for text in maps.by_cluster.values()]
    assert json.loads(nothing("none")) == {"cluster": "none", "pools": []}


async def test_a_console_map_that_has_not_changed_is_not_sent_again(desk: Desk) -> None:
    async with desk.visitor("operator") as visitor:
        for place in ("/cards", "/clusters/east/cards"):
            first = await visitor.session.get(place)
            same = await visitor.session.get(place, headers={"If-None-Match": first.headers["ETag"]})
            other = await visitor.session.get(place, headers={"If-None-Match": '"x"'})
            assert (first.status, same.status, other.status) == (200, 304, 200)
            assert await same.text() == ""


async def test_closed_cards_are_closed_on_the_console_map_as_in_its_figures(desk: Desk) -> None:
    """By a window of the cluster as much as by an operator's word."""
    async with desk.table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET foreign_cards = '{7}' WHERE cluster = 'east'")
        await tx.execute(
            """INSERT INTO maintenance_windows (cluster, nodes, starts_at, ends_at, reason, created_at, created_by)
               VALUES ('east', '{}', $1::timestamptz, $1::timestamptz + interval '1 hour', 'fans', $1, 'k')""",
            desk.clock.now(),
        )
    async with desk.visitor("operator") as visitor:
        [pool] = json.loads((await visitor.get("/clusters/east/cards"))[1])["pools"]
    [east, _] = (await desk.operations.overview(desk.clock.now())).clusters

    letters, use = "".join(pool["cards"]), east.pools[0]
    assert letters.count("C") == use.cards_closed == 1
    assert letters.count("F") == use.cards_foreign == 2
    assert letters.count("L") == use.cards_leased == 13
    assert "." not in letters
