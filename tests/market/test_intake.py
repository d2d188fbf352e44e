"""What waits of a city is counted anew once a second, and where that takes long, a small share of the time."""

from broker.market.intake import RECOUNT_SECONDS, RECOUNT_SHARE_MAX, Recounts


def counted(recounts: Recounts, city: str, began: float, seconds: float) -> None:
    recounts.begin()
    recounts.end(city, began, began + seconds)


def test_a_city_is_counted_at_first_and_again_a_second_later() -> None:
    recounts = Recounts()
    assert recounts.due("ganzhou", 0.0)

    counted(recounts, "ganzhou", 0.0, 0.001)

    assert not recounts.due("ganzhou", RECOUNT_SECONDS)
    assert recounts.due("ganzhou", RECOUNT_SECONDS + 0.002)


def test_another_is_not_counted_while_one_is() -> None:
    recounts = Recounts()
    recounts.begin()

    assert not recounts.due("nanjing", 1e9)


def test_however_many_cities_ask_counting_takes_its_share_of_the_time() -> None:
    """Thirty-four cities of which each takes half a second, asked each tenth of a second for an hour."""
    recounts, spent, now = Recounts(), 0.0, 0.0
    last = dict.fromkeys(range(34), 0.0)
    while now < 3600:
        for city in sorted(last, key=last.__getitem__):
            if recounts.due(str(city), now):
                counted(recounts, str(city), now, 0.5)
                spent, now, last[city] = spent + 0.5, now + 0.5, now
        now += 0.1

    assert 0.9 * RECOUNT_SHARE_MAX < spent / now < RECOUNT_SHARE_MAX
    assert min(last.values()) > 1800  # none of them is forgotten
