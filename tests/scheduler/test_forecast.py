"""Expected starts: an estimate of the queue, corrected until one in ten is late."""

from __future__ import annotations

import numpy as np
import pytest
from planning_worlds import gangs, snapshot

from scheduler.errors import BadPolicy
from scheduler.forecast import Forecast, Outcome, cards_of, expected, size_of
from scheduler.horizon import Horizon, Promise
from scheduler.policy import Policy

NOW = 1_000_000
EXACT = Forecast(p50=(0.0,) * 4, p90=(0.0,) * 4)


@pytest.mark.parametrize("luck", [0, 1, 2])
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_one_in_ten_is_late_whatever_the_waits_are_like(luck: int, spread: float) -> None:
    """Waits of a law that the forecast does not know, ten times longer after half of them."""
    draw, forecast, late = np.random.default_rng(luck), Forecast(), []
    for number in range(8_000):
        wait = float(draw.lognormal(2.0 + (2.3 if number > 4_000 else 0), spread))
        late.append(wait > np.exp(forecast.p90[0]))
        outcomes = [Outcome(0, "p90", late[-1]), Outcome(0, "p50", wait > np.exp(forecast.p50[0]))]
        forecast = forecast.learned(outcomes)
    assert np.mean(late[500:]) == pytest.approx(0.1, abs=0.02)
    assert forecast.p50[0] < forecast.p90[0]
    assert forecast.p90[1:] == Forecast().p90[1:]  # of other sizes nothing was learned


@pytest.mark.parametrize("off", [-5.0, 5.0])
def test_an_estimate_that_is_far_off_is_found_out_by_the_first_hundreds(off: float) -> None:
    """A queue whose waits are a hundredth of the estimate, or a hundred times as long: few may ever have to wait."""
    late = []
    for luck in range(20):
        draw, forecast = np.random.default_rng(luck), Forecast()
        for _ in range(1_000):
            wait = off + float(draw.normal(0, 0.5))
            late.append(wait > forecast.p90[2])
            forecast = forecast.learned([Outcome(2, "p90", late[-1])])
    assert np.mean(late) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("calls", [1, 100])
@pytest.mark.parametrize("walltime_seconds", [3_600, 30 * 86_400])
def test_an_outage_does_not_silence_it(calls: int, walltime_seconds: int) -> None:
    """However many were late, whatever is ahead: the time is one that is told, so what comes true is learned from."""
    forecast = Forecast()
    for _ in range(calls):
        late = [Outcome(size, quantile, True) for size in range(4) for quantile in ("p50", "p90")]
        forecast = forecast.learned(late * 50)
    world = gangs((1, 8), (1, 8), nodes_per_pool=1, job_walltime_seconds=[walltime_seconds] * 2)
    found = expected(world, Horizon(), Policy(), forecast)

    assert forecast.p90[0] <= Forecast().p90[0] + calls  # one call says little
    assert max(found.p50_s.max(), found.p90_s.max()) - NOW < 365 * 86_400


@pytest.mark.parametrize("together", [1, 20, 2_000])
def test_many_that_come_together_do_not_make_it_swing(together: int) -> None:
    """A national round starts thousands: one in ten of each is late, and not all of one and none of the next."""
    draw, forecast, shares, factors = np.random.default_rng(0), Forecast(), [], []
    for _ in range(1_000):
        late = draw.lognormal(2.0, 1.0, together) > np.exp(forecast.p90[0])
        forecast = forecast.learned(Outcome(0, "p90", bool(each)) for each in late)
        shares.append(late.mean())
        factors.append(forecast.p90[0])
    assert np.mean(shares[200:]) == pytest.approx(0.1, abs=0.03)
    assert np.std(factors[200:]) < 0.35  # of the logarithm


def test_who_offers_more_is_expected_first_and_what_runs_counts() -> None:
    world = gangs((1, 8), (1, 8), ceilings=[8_000_000, 9_000_000], nodes_per_pool=1)
    idle = expected(world, Horizon(), Policy(), EXACT)
    assert idle.p90_s[1] == NOW + 300
    assert idle.p90_s[0] == NOW + 300 + 3_600

    busy = Horizon(
        lease_id=("one",), lease_ends_at_s=[NOW + 1_000], held_lease=[0], held_node=[0], held_cards=[8],
        held_cpu_milli=[0], held_memory_mib=[0],
    )  # type: ignore[arg-type]  # fmt: skip
    assert expected(world, busy, Policy(), EXACT).p90_s[1] == NOW + 1_300


def test_what_is_promised_is_expected_then() -> None:
    world = gangs((1, 8), nodes_per_pool=1)
    promise = Promise("job-0", NOW + 50, NOW + 3_650, 0, 0, (0,), (1,), 1, 8, 0, 0, 0)
    found = expected(world, Horizon(promises=(promise,)), Policy(), EXACT)
    assert (found.p50_s[0], found.p90_s[0]) == (NOW + 50, NOW + 50)


def test_sizes_and_shares() -> None:
    world = snapshot(jobs=1, shape_share_milli=[250], slice_start=[0, 1], slice_milli=[250])
    assert cards_of(world).tolist() == [0.25]
    assert size_of(gangs((1, 1), (1, 8), (9, 7), (8, 8))).tolist() == [0, 1, 2, 3]


def test_a_forecast_is_kept_from_round_to_round() -> None:
    forecast = Forecast().learned([Outcome(3, "p90", True), Outcome(0, "p50", False)])
    assert Forecast.from_json(forecast.to_json()) == forecast
    older = Forecast.from_json('{"p50": [1, 2, 3, 4], "p90": [2, 3, 4, 5]}')  # outcomes were not counted yet
    assert older.learned([Outcome(0, "p90", True)]).p90[0] == pytest.approx(2 + 0.05 * 0.9)
    beyond = '{"p50": [1,1,1,1], "p90": [1,1,1,1e308]}'
    for text in (
        beyond,
        "",
        "[]",
        '{"p50": [1, 2, 3, 4]}',
        '{"p50": [1], "p90": [1]}',
        '{"p50": [1,1,1,NaN], "p90": [1,1,1,1]}',
        '{"p50": [1,1,1,1], "p90": [1,1,1,1], "p90_seen": [1,1,1,-1]}',
        '{"p50": [1,1,1,1], "p90": [1,1,1,1], "p50_seen": 7}',
        '{"p50": [1,1,1,1], "p90": [1,1,1,1], "p50_seen": [1]}',
        f'{{"p50": [1,1,1,1{"0" * 400}], "p90": [1,1,1,1]}}',
    ):
        with pytest.raises(BadPolicy, match="forecast"):
            Forecast.from_json(text)
