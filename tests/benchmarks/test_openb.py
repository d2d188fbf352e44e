"""The openb experiment in small: each policy's choice is known, and the audit catches what is planted."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.openb.audit import findings
from benchmarks.openb.backlog import backlog, largest_first
from benchmarks.openb.measure import LOADS, allocated, fragmented
from benchmarks.openb.run import POLICIES, run
from benchmarks.openb.shapes import mix_of_list
from benchmarks.openb.trace import Arrivals, BadTrace, Node, Placement, Request, arrivals, read_nodes, read_requests
from scheduler.patterns import Packing

BIG = Node("big", 128_000, 1_000_000, 8, "G3")
SMALL = Node("small", 16_000, 100_000, 1, "T4")
PAIRS = [Node("one", 64_000, 500_000, 2, "G2"), Node("two", 64_000, 500_000, 2, "G2")]


def share(milli: int) -> Request:
    return Request(2_000, 4_000, 1, milli, ())


def whole(cards: int, *models: str) -> Request:
    return Request(4_000 * cards, 8_000 * cards, cards, 1000, models)


def in_order(*requests: Request) -> Arrivals:
    classes = sorted(set(requests))
    return Arrivals(classes, np.array([classes.index(request) for request in requests], dtype=np.int64))


def placed(policy: str, nodes: Sequence[Node], *requests: Request, mix: Sequence[Request] = ()) -> Sequence[Placement]:
    stream = in_order(*requests)
    done = run(policy, nodes, stream, mix_of_list(mix or requests), seed=1)
    assert findings(nodes, stream, done.placements) == []
    return done.placements


@pytest.mark.parametrize("policy", ["best-fit", "dot-product", "packing"])
def test_small_nodes_go_first_where_the_score_counts_what_is_left(policy: str) -> None:
    assert [p.node for p in placed(policy, [BIG, SMALL], whole(1))] == [1]


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"random"}))
def test_two_halves_share_a_card(policy: str) -> None:
    first, second = placed(policy, PAIRS, share(500), share(500))

    assert first == second


def test_packing_opens_an_idle_card_before_an_idle_node() -> None:
    first, second = placed("packing", PAIRS, share(600), share(600))

    assert first.node == second.node
    assert first.cards != second.cards


def test_clustering_keeps_kinds_of_request_apart() -> None:
    one, other, again = placed("clustering", PAIRS, share(600), whole(1), share(600))

    assert one.node == again.node != other.node


def test_fgd_does_not_break_a_pair_that_typical_tasks_need() -> None:
    single = Node("single", 64_000, 500_000, 1, "G2")

    (only,) = placed("fgd", [PAIRS[0], single], whole(1), mix=[whole(1), whole(2)])

    assert only.node == 1


def test_first_fit_fills_one_node_after_the_other() -> None:
    nodes = [p.node for p in placed("first-fit", PAIRS, whole(1), whole(1), whole(1))]

    assert nodes[0] == nodes[1] != nodes[2]


def test_random_takes_any_node_but_only_where_the_task_fits() -> None:
    done = placed("random", [BIG, *PAIRS], *[whole(2, "G2")] * 4)

    assert sorted(p.node for p in done) == [-1, -1, 1, 2]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_model_that_a_task_names_twice_is_allowed_once(policy: str) -> None:
    """The lists have such tasks: `V100M16|V100M32|V100M32`."""
    nodes = [SMALL, Node("g2", 64_000, 500_000, 1, "G2"), Node("v100", 64_000, 500_000, 1, "V100")]

    (only,) = placed(policy, nodes, whole(1, "G2", "G2"))

    assert only.node == 1


def test_xisuan_leaves_room_for_the_share_that_completes_a_card() -> None:
    """470 beside 320 would leave 210 that nobody wants; two of 470 waste 60, and 650 still fits beside 320."""
    usual = [share(650), share(320), share(470), share(470)]

    first, second, third, fourth = placed("xisuan", PAIRS, share(320), share(470), share(470), share(650), mix=usual)

    assert (second.node, second.cards) == (third.node, third.cards) != (first.node, first.cards)
    assert (first.node, first.cards) == (fourth.node, fourth.cards)


def test_xisuan_spares_the_model_that_confined_tasks_will_need() -> None:
    nodes = [Node(f"t4-{n}", 64_000, 500_000, 1, "T4") for n in range(4)]
    nodes += [Node(f"g2-{n}", 64_000, 500_000, 1, "G2") for n in range(4)]
    usual = [whole(1, "T4"), whole(1)]

    done = placed("xisuan", nodes, *[whole(1)] * 4, *[whole(1, "T4")] * 4, mix=usual)

    assert all(p.node >= 0 for p in done)


def test_xisuan_puts_heavy_tasks_where_cores_are_plenty_and_light_ones_where_they_are_short() -> None:
    nodes = [Node(f"poor-{n}", 8_000, 500_000, 1, "G2") for n in range(4)]
    nodes += [Node(f"rich-{n}", 32_000, 500_000, 1, "G2") for n in range(4)]
    light, heavy = Request(2_000, 4_000, 1, 1000, ()), Request(8_000, 4_000, 1, 1000, ())

    done = placed("xisuan", nodes, *[heavy, light] * 4)

    assert [nodes[p.node].name.split("-")[0] for p in done] == ["rich", "poor"] * 4


def test_xisuan_passes_nodes_by_that_lack_cores_for_a_task_without_cards() -> None:
    nodes = [Node("poor", 4_000, 500_000, 8, "G2"), Node("rich", 64_000, 500_000, 1, "G2")]
    alone = Request(3_000, 4_000, 0, 0, ())

    done = placed(
        "xisuan", nodes, alone, *[Request(400, 1, 1, 1000, ())] * 8, mix=[whole(1), Request(500, 1, 1, 1000, ())]
    )

    assert nodes[done[0].node].name == "rich"
    assert all(p.node >= 0 for p in done)


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (Placement(0, (0, 1)), "was in use and is taken whole"),
        (Placement(0, (2, 3)), "card 2 of 2"),
        (Placement(1, (0,)), "where 2 are wanted"),
        (Placement(1, (0, 0)), "where 2 are wanted"),
        (Placement(2, (0, 1)), "model T4"),
        (Placement(9, (0, 1)), "does not exist"),
        (Placement(-1, (0,)), "was not placed but holds"),
    ],
)
def test_the_audit_catches_a_planted_fault(planted: Placement, told: str) -> None:
    nodes = [*PAIRS, Node("t4", 64_000, 500_000, 2, "T4")]
    stream = in_order(share(600), whole(2, "G2"))

    found = findings(nodes, stream, [Placement(0, (0,)), planted])

    assert any(told in finding for finding in found), found


def test_the_audit_counts_milli_cpu_and_memory_again() -> None:
    stream = in_order(share(600), share(600))
    same = [Placement(0, (0,))] * 2

    assert "1200 of 1000 milli on card 0" in findings(PAIRS, stream, same)[0]
    assert "4000 of 3000 CPU milli" in findings([PAIRS[0]._replace(cpu_milli=3_000)], stream, same)[0]
    assert "8000 of 5000 MiB" in findings([PAIRS[0]._replace(memory_mib=5_000)], stream, same)[0]
    assert "2 arrivals but 1 entries" in findings(PAIRS, stream, same[:1])[0]


def test_allocated_is_the_mean_over_arrivals_that_round_to_the_same_load() -> None:
    done = [Placement(0, (0,)), Placement(-1, ()), Placement(0, ())]

    curve = allocated(done, np.array([500, 500, 0]), 1000)

    assert curve == {50: 50.0, 100: 50.0}


def slice_of_tasks(count: int = 300) -> list[Request]:
    luck = np.random.default_rng(5)
    kinds = [share(470), share(810), share(160), whole(1), whole(1, "T4"), whole(8), Request(8_000, 16_000, 0, 0, ())]
    return [kinds[k] for k in luck.choice(len(kinds), count, p=[0.2, 0.1, 0.1, 0.3, 0.15, 0.02, 0.13])]


SLICE_NODES = [BIG._replace(name=f"big-{n}") for n in range(12)] + [
    SMALL._replace(name=f"small-{n}") for n in range(50)
]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_slice_runs_clean_and_the_same_again(policy: str) -> None:
    tasks, capacity = slice_of_tasks(), 1000 * sum(node.cards for node in SLICE_NODES)
    stream = arrivals(tasks, capacity, seed=3)

    done, again = (run(policy, SLICE_NODES, stream, mix_of_list(tasks), seed=3) for _ in range(2))

    assert findings(SLICE_NODES, stream, done.placements) == []
    assert done.placements == again.placements
    assert stream.milli().sum() >= int(1.3 * capacity)
    assert 60 < allocated(done.placements, stream.milli(), capacity)[130] <= 100


def slice_files(folder: Path) -> list[str]:
    """Write the slice as lists; return the options that name them."""
    nodes, pods = folder / "nodes.csv", folder / "openb_pod_list_slice.csv.gz"
    rows = [f"{n.name},{n.cpu_milli},{n.memory_mib},{n.cards},{n.model}" for n in SLICE_NODES]
    nodes.write_text("\n".join(["sn,cpu_milli,memory_mib,gpu,model", *rows]))
    tasks = [f"{r.cpu_milli},{r.memory_mib},{r.cards},{r.card_milli},{'|'.join(r.models)}" for r in slice_of_tasks()]
    with gzip.open(pods, "wt") as text:
        text.write("\n".join(["cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec", *tasks]))
    return ["--nodes", nodes.name, "--pods", pods.name, "--data", str(folder), "--seeds", "1-2"]


def test_the_command_writes_figures_and_a_plot(tmp_path: Path) -> None:
    options = slice_files(tmp_path)
    out = tmp_path / "openb.json"

    done = CliRunner().invoke(
        app, ["openb", *options, "--policy", "first-fit,xisuan", "--json", str(out), "--plot", str(tmp_path / "plots")]
    )

    assert done.exit_code == 0, done.output
    told = json.loads(out.read_text())
    names = {f"{policy}@{load}" for policy in ("first-fit", "xisuan") for load in LOADS}
    more = {f"{policy}_{what}" for policy in ("first-fit", "xisuan") for what in ("per_second", "fragmented@130")}
    assert set(told["figures"]) == names | more
    assert told["audit"] == {"violations": 0}
    assert (tmp_path / "plots" / "openb-slice.png").stat().st_size > 0


def test_the_backlog_is_packed_better_than_by_policies_and_within_its_bound(tmp_path: Path) -> None:
    out = tmp_path / "openb.json"

    done = CliRunner().invoke(app, ["openb", *slice_files(tmp_path), "--backlog", "--json", str(out)])

    assert done.exit_code == 0, done.output
    told = json.loads(out.read_text())
    figures = told["figures"]
    for rival in ("fgd", "first-fit"):
        assert figures[f"backlog_{rival}@130"] <= figures["backlog_xisuan@130"] <= figures["backlog_bound@130"]
    assert figures["backlog_xisuan_left_out"] <= figures["backlog_fgd_left_out"]
    assert told["audit"] == {"violations": 0}


def test_a_backlog_is_fed_the_largest_first_and_tasks_without_cards_last() -> None:
    stream = in_order(share(500), Request(1_000, 1, 0, 0, ()), whole(2), share(900), whole(8))

    fed = largest_first(stream)

    assert [fed.classes[c].milli for c in fed.order] == [8000, 2000, 900, 500, 0]


def test_a_required_task_that_the_planner_leaves_out_makes_the_run_void(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Packing(placed=(), worth=0, bound=0, missing={0: 1}, patterns=0)
    monkeypatch.setattr("benchmarks.openb.backlog.pack", lambda *_: nothing)
    tasks = [Request(1_000, 1, 0, 0, ()), share(500)]

    packed = backlog(PAIRS, in_order(*tasks), mix_of_list(tasks), seed=1)

    assert "have no place" in packed["xisuan"].found[0]


def test_fragmentation_counts_what_is_left_after_the_run() -> None:
    """A third of the tasks are pairs of cards, two thirds shares of 600: 400 milli of a card serve neither."""
    stream = in_order(share(600), whole(2))
    usual = [((2_000, 1, 600, ()), 2 / 3), ((8_000, 2, 1000, ()), 1 / 3)]

    lost = fragmented(PAIRS, stream, [Placement(0, (0,)), Placement(1, (0, 1))], usual)

    assert lost == pytest.approx(100 * (400 * 2 / 3 + 1400 / 3) / 4000, abs=0.05)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--policy", "fdg"], "there are random"),
        (["--seeds", "9-3"], "range upwards"),
        (["--seeds", "x"], "neither a number"),
        (["--backlog", "--plot", "plots"], "leave one of the two out"),
        (["--nodes", "nowhere.csv"], "does not exist"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, options: list[str], told: str) -> None:
    given = ["openb", "--nodes", str(tmp_path / "n.csv"), "--pods", str(tmp_path / "p.csv"), *options]

    done = CliRunner().invoke(app, given)

    assert done.exit_code == 2
    assert told in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    "row", ["1,1,1,0", "1,1,2,500", "1,1,9,1000", "-1,1,1,1000", "1,nan,1,1000", "1,1,1,1001", "1,1"]
)
def test_a_task_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, row: str) -> None:
    file = tmp_path / "pods.csv"
    file.write_text(f"cpu_milli,memory_mib,num_gpu,gpu_milli\n1,1,1,1000\n{row}\n")

    with pytest.raises(BadTrace, match=r"pods\.csv:3"):
        read_requests(file)


def test_lists_without_cards_or_columns_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("sn,cpu_milli,memory_mib,gpu,model\na,1,1,0,G2\n")

    with pytest.raises(BadTrace, match="no node has a card"):
        read_nodes(file)
    with pytest.raises(BadTrace, match="no column num_gpu"):
        read_requests(file)
