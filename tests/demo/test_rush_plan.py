"""What the enterprises of voucher-rush want: more than there is, and the same for the same seed."""

from broker.demo import rush_plan
from broker.demo.funding import YUAN, document
from broker.vouchers.programme import load_programmes

CITIES = ("ganzhou", "nanjing", "suzhou")


def test_two_hundred_enterprises_fight_for_one_million_yuan() -> None:
    programme = load_programmes(rush_plan.programme(200)).programmes[0]
    bids = rush_plan.bids(CITIES, 200, seed=1)

    assert programme.budget.micro_yuan == 1_000_000 * YUAN
    assert len({bid.enterprise for bid in bids}) == 200
    assert all(10_000 * YUAN <= bid.micro_yuan <= 20_000 * YUAN for bid in bids)
    assert sum(bid.micro_yuan for bid in bids) > 2 * programme.budget.micro_yuan
    assert {bid.city for bid in bids} == set(CITIES)


def test_equal_seeds_give_equal_fights_and_another_seed_another() -> None:
    assert rush_plan.bids(CITIES, 20, seed=1) == rush_plan.bids(CITIES, 20, seed=1)
    assert rush_plan.bids(CITIES, 20, seed=1) != rush_plan.bids(CITIES, 20, seed=2)


def test_every_amount_of_the_demos_programmes_is_marked_as_emulated() -> None:
    for name in ("programme", "rush"):
        file = load_programmes(document(name))

        assert set(file.sources) == {"emulated"}
        assert file.sources["emulated"].assumed
