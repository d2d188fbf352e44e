"""A job is judged by the catalogue: names that exist, stacks that match, gangs that some pool could hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import CityNotFound, FieldProblem, InvalidRequest, NoPoolCanHold
from broker.job import Build, GangSize, JobSpec, Within
from broker.market.admission import Catalogue, objection_to
from broker.store.catalogue_view import CatalogueView, City, NodeKind, PoolSize
from tests.small_world import a_spec

MODELS = {"ascend-910b": "cann", "mlu-590": "neuware", "a800": "cuda", "h20": "cuda"}
ASCEND = PoolSize("longdong", "ascend", "qingyang", "ascend-910b", (NodeKind(4, 8, 64_000, 524_288),), "telecom")
H20 = PoolSize(
    "guizhou", "h20", "guian", "h20", (NodeKind(2, 8, 64_000, 524_288), NodeKind(1, 4, 16_000, 1024)), "mobile"
)
ASCEND_OF_ONE = PoolSize("longdong", "one", "qingyang", "ascend-910b", (NodeKind(1, 8, 64_000, 524_288),), "telecom")


def a_view(*pools: PoolSize) -> CatalogueView:
    cities = {"ganzhou": City("ganzhou", 10, 10, 20_000_000)}
    return CatalogueView(
        cities,
        MODELS,
        frozenset({"qingyang", "guian"}),
        pools,
        owners=frozenset({"telecom", "mobile"}),
        domestic_models=frozenset({"ascend-910b", "mlu-590"}),
        slices_of_model={"ascend-910b": (250, 500)},
    )


def problems(spec: JobSpec, view: CatalogueView) -> list[FieldProblem]:
    objection = objection_to(spec, view)
    assert isinstance(objection, InvalidRequest)
    return list(objection.fields)


def build(stack: str, *models: str) -> Build:
    return Build(stack, ("run",), models)


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"builds": (build("cudaa"),)}, "spec.builds[0].stack", "did you mean 'cuda'?"),
        ({"builds": (build("cann"), build("zzz"))}, "spec.builds[1].stack", "choose from cann, cuda, neuware"),
        ({"builds": (build("cuda", "a800", "h200"),)}, "spec.builds[0].models[1]", "did you mean 'h20'?"),
        ({"builds": (build("cuda", "ascend-910b"),)}, "spec.builds[0].models[0]", "is programmed with 'cann'"),
        ({"builds": (build("cudaa", "a80"),)}, "spec.builds[0].models[0]", "did you mean 'a800'?"),
        ({"allowed_hubs": ("guian", "qinyang")}, "spec.allowed_hubs[1]", "did you mean 'qingyang'?"),
        ({"input_gib": 1, "staged_hubs": ("qinyang",)}, "spec.staged_hubs[0]", "did you mean 'qingyang'?"),
        ({"allowed_owners": ("mobil",)}, "spec.allowed_owners[0]", "there is no owner 'mobil': did you mean 'mobile'?"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_by_its_field(changes: dict[str, object], field: str, says: str) -> None:
    found = {p.field: p.description for p in problems(a_spec(**changes), a_view(ASCEND))}

    assert says in found[field]


def test_every_wrong_name_is_reported_at_once() -> None:
    spec = a_spec(allowed_hubs=("nowhere",), builds=(build("cuda", "x1"), build("cannn", "y1")))

    assert [p.field for p in problems(spec, a_view())] == [
        "spec.allowed_hubs[0]",
        "spec.builds[0].models[0]",
        "spec.builds[1].stack",
        "spec.builds[1].models[0]",
    ]


def test_an_empty_catalogue_says_so() -> None:
    view = CatalogueView({}, {}, frozenset(), ())

    assert "the catalogue has none yet" in problems(a_spec(), view)[0].description


def test_a_gang_larger_than_any_pool_is_refused_with_what_the_largest_holds() -> None:
    objection = objection_to(a_spec(tasks=11, cards_per_task=4), a_view(ASCEND, H20))

    assert isinstance(objection, NoPoolCanHold)
    assert objection.metadata["tasks_max"] == "8"
    assert "longdong/ascend, holds 8 of its 11 tasks" in str(objection)
    assert [p.field for p in objection.fields] == ["spec.tasks"]


def test_a_task_larger_than_any_node_is_refused() -> None:
    objection = objection_to(a_spec(cards_per_task=16, memory_mib_per_task=1), a_view(ASCEND, H20))

    assert isinstance(objection, NoPoolCanHold)
    assert "16 cards, 1 MiB" in str(objection)


@pytest.mark.parametrize(
    ("tasks", "changes", "accepted"),
    [
        (32, {}, True),
        (33, {}, False),
        (4, {"cards_per_task": 5}, True),  # one to a node, whatever is left over
        (5, {"cards_per_task": 5}, False),
        (16, {"cpu_milli_per_task": 16_000}, True),
        (17, {"cpu_milli_per_task": 16_000}, False),
        (4, {"memory_mib_per_task": 300_000}, True),
        (5, {"memory_mib_per_task": 300_000}, False),
    ],
)
def test_cards_cpu_and_memory_count_node_by_node(tasks: int, changes: dict[str, int], accepted: bool) -> None:
    spec = a_spec(tasks=tasks, builds=(build("cann"),), **changes)

    assert (objection_to(spec, a_view(ASCEND)) is None) == accepted


def test_unlike_nodes_of_a_pool_add_up() -> None:
    assert objection_to(a_spec(tasks=20, builds=(build("cuda"),)), a_view(H20)) is None
    assert objection_to(a_spec(tasks=21, builds=(build("cuda"),)), a_view(H20)) is not None


def test_pools_that_the_job_may_not_use_do_not_count() -> None:
    for spec in (
        a_spec(tasks=32, builds=(build("cuda", "h20"),)),
        a_spec(tasks=32, allowed_hubs=("guian",)),
    ):
        assert isinstance(objection_to(spec, a_view(ASCEND, H20)), NoPoolCanHold)


def test_owners_and_origin_leave_pools_out() -> None:
    """Each pool holds the gang of its own kind; together with another rule that leaves it out, none does."""
    assert objection_to(a_spec(tasks=32, allowed_owners=("telecom",)), a_view(ASCEND, H20)) is None
    both = {"allowed_owners": ("mobile", "telecom"), "allowed_hubs": ("guian",)}
    for changes in ({"allowed_owners": ("mobile",)}, both):
        spec = a_spec(tasks=32, builds=(build("cann"), build("cuda")), **changes)
        assert isinstance(objection_to(spec, a_view(ASCEND, H20)), NoPoolCanHold)
    domestic = a_spec(tasks=20, builds=(build("cann"), build("cuda")), domestic_only=True)
    assert isinstance(objection_to(domestic, a_view(ASCEND_OF_ONE, H20)), NoPoolCanHold)


def test_shares_count_by_the_slice_that_is_granted() -> None:
    """Four nodes of eight cards: a share of 300 gets 500, so 64 tasks fit; 600 is more than any slice."""
    assert objection_to(a_spec(tasks=64, share_milli=300), a_view(ASCEND)) is None
    assert objection_to(a_spec(tasks=128, share_milli=250), a_view(ASCEND)) is None
    assert isinstance(objection_to(a_spec(tasks=65, share_milli=300), a_view(ASCEND)), NoPoolCanHold)
    too_large = objection_to(a_spec(share_milli=600, builds=(build("cann"), build("cuda"))), a_view(ASCEND, H20))
    assert isinstance(too_large, NoPoolCanHold)
    assert [p.field for p in too_large.fields] == ["spec.share_milli"]
    assert "ascend-910b 500, h20 none" in str(too_large)


def test_an_elastic_job_needs_room_for_its_smallest_size() -> None:
    assert objection_to(a_spec(tasks=99, smaller_sizes=(GangSize(40, 1), GangSize(32, 1))), a_view(ASCEND)) is None
    assert isinstance(objection_to(a_spec(tasks=99, smaller_sizes=(GangSize(33, 1),)), a_view(ASCEND)), NoPoolCanHold)


def test_a_gang_that_must_stay_on_a_node_needs_one_that_holds_it() -> None:
    assert objection_to(a_spec(tasks=8, within=Within.NODE), a_view(ASCEND)) is None
    too_large = objection_to(a_spec(tasks=9, within=Within.NODE), a_view(ASCEND))
    assert isinstance(too_large, NoPoolCanHold)
    assert "holds 8 of its 9 tasks on one node" in str(too_large)


def test_a_job_without_any_pool_waits_for_one() -> None:
    """Clusters attach later: only what attached pools prove impossible is refused."""
    assert objection_to(a_spec(tasks=10_000), a_view()) is None
    assert objection_to(a_spec(tasks=10_000, builds=(build("neuware"),)), a_view(ASCEND, H20)) is None


@given(tasks=st.integers(1, 60), cards=st.integers(1, 9), cpu=st.integers(0, 70_000), memory=st.integers(0, 600_000))
def test_accepted_means_that_tasks_can_be_put_on_nodes_one_by_one(
    tasks: int, cards: int, cpu: int, memory: int
) -> None:
    """A slow count, node by node and task by task, comes to the same verdict."""
    spec = a_spec(tasks=tasks, cards_per_task=cards, cpu_milli_per_task=cpu, memory_mib_per_task=memory)
    left = tasks
    held = []
    for pool in (ASCEND, H20):
        left = tasks
        for kind in pool.kinds:
            for _ in range(kind.nodes):
                free = [kind.cards, kind.cpu_milli, kind.memory_mib]
                while left and all(f >= n for f, n in zip(free, (cards, cpu, memory), strict=True)):
                    free = [f - n for f, n in zip(free, (cards, cpu, memory), strict=True)]
                    left -= 1
        held.append(left == 0)

    assert (objection_to(spec, a_view(ASCEND, H20)) is None) == any(held)


def test_what_passed_once_is_not_judged_again_and_refusals_are_fresh_errors() -> None:
    catalogue = Catalogue(a_view(ASCEND))

    assert catalogue.objection(a_spec()) is None
    assert catalogue.objection(a_spec(name="other", walltime_seconds=1)) is None
    first, second = (catalogue.objection(a_spec(tasks=99)) for _ in range(2))
    assert isinstance(first, NoPoolCanHold)
    assert first is not second


def test_a_city_has_its_standard_ceiling() -> None:
    catalogue = Catalogue(a_view())

    assert catalogue.city("ganzhou").ceiling_micro_yuan_per_pflops_hour == 20_000_000
    with pytest.raises(CityNotFound, match="nanjing"):
        catalogue.city("nanjing")
