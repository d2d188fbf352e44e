"""What is printed of a job for people: as a whole, and as a row of a list."""

from typing import TYPE_CHECKING

from broker.cli.output import (
    clock_minute,
    clock_time,
    duration,
    milli,
    part,
    show,
    table,
    yuan,
)

if TYPE_CHECKING:
    from broker.client import Job
    from broker.wire.v1 import job_pb2

GREEN_PREFER: int = 2  # number of the wire's enum GreenPreference (a test compares)
WITHIN_DOMAIN: int = 2  # numbers of the wire's enum Within (a test compares)
WITHIN_NODE: int = 3


def show_job(found: "Job") -> None:
    """Print one job for people."""
    spec = found.wire.spec
    facts = [
        ("job", found.job_id),
        ("name", found.name),
        ("city", found.city),
        ("set", spec.job_set),
        ("state", found.state + (" (cancellation asked for)" if found.cancel_requested and not found.final else "")),
        ("why", str(found.end) if found.end else found.waiting_reason),
        ("promised", _promised(found)),
        ("expected", _expected(found)),
        ("asks for", f"{_asked(spec)}, at most {duration(spec.walltime_seconds)}"),
        ("only on", _only_on(spec)),
        ("data", _data(spec)),
        ("when", _when(spec)),
        ("for", spec.enterprise),
        ("vouchers", ", ".join(spec.vouchers)),
        ("builds", ", ".join(build.stack + "".join(f" {m}" for m in build.models) for build in spec.builds)),
        ("command", _command(found)),
        ("attempt", str(found.attempt or "")),
        ("where", _where(found)),
        ("runs with", _size(found)),
        ("cards", _cards(found)),
        ("pays", _pays(found)),
        ("pays at most", _ceilings(spec)),
        ("policy", _policy(found)),
        ("submitted", clock_time(found.submitted_at)),
        ("started", clock_time(found.started_at)),
        ("ended", clock_time(found.ended_at)),
        ("ran", _ran(found)),
        ("stopped for others", _preempted(found)),
    ]
    show(table(["", ""], [fact for fact in facts if fact[1]]))


def row(one: "Job") -> tuple[object, ...]:
    """Return one job as a row of the list."""
    spec = one.wire.spec
    return (
        one.job_id,
        one.city,
        one.name,
        spec.job_set,
        one.state,
        _cards_count(one),
        _where(one),
        clock_time(one.submitted_at),
        _ran(one),
        _why(one),
    )


def _why(one: "Job") -> str:
    if one.end and one.state != "succeeded":
        return str(one.end)
    if one.stop_ordered_at:
        return f"being stopped for other work since {clock_time(one.stop_ordered_at)}"
    if one.promised:
        return f"promised {_promised(one)}"
    return f"{one.waiting_reason}, expected {_expected(one)}" if one.expected_start else one.waiting_reason


def _pays(one: "Job") -> str:
    """Return the price that was fixed at the start."""
    placed = one.placement
    if placed is None or placed.ask_micro_yuan_per_card_hour is None:
        return ""
    ask, scarcity = placed.ask_micro_yuan_per_card_hour, placed.scarcity_micro_yuan_per_card_hour or 0
    return f"{yuan(ask + scarcity)} per card-hour, fixed at its start (ask {yuan(ask)}, scarcity {yuan(scarcity)})"


def _ceilings(spec: "job_pb2.JobSpec") -> str:
    whole = spec.ceiling_micro_yuan_per_job
    most = f"{yuan(spec.ceiling_micro_yuan_per_pflops_hour)} per FP16 PFLOPS-hour"
    return f"{most}, {yuan(whole)} for one run" if whole else most


def _preempted(one: "Job") -> str:
    """Return how often it was stopped for other work, and whether it is being so."""
    times = {0: "", 1: "once"}.get(one.preemptions, f"{one.preemptions} times")
    now = f"again since {clock_time(one.stop_ordered_at)}" if one.stop_ordered_at and times else ""
    now = now or (f"since {clock_time(one.stop_ordered_at)}" if one.stop_ordered_at else "")
    return ", ".join(filter(None, [times, now]))


def _promised(one: "Job") -> str:
    if one.promised is None:
        return ""
    by, first = clock_time(one.promised.starts_at), clock_time(one.promised.first_starts_at)
    return f"to start by {by} on {one.promised.cluster}/{one.promised.pool} (first promised {first})"


def _expected(one: "Job") -> str:
    if one.expected_start is None:
        return ""
    p50_at, p90 = one.expected_start.p50_at, clock_minute(one.expected_start.p90_at)
    if p50_at is None:
        return f"to start by {p90} (nine of ten jobs like it)"
    return f"to start by {clock_minute(p50_at)} (half of the jobs like it), by {p90} (nine of ten)"


def _policy(one: "Job") -> str:
    """Return who signed the placement policy; not checked, for that there is `xisuan policy verify`."""
    from broker.policy.statement import PlacementPolicy, PolicyRefused

    if not one.wire.HasField("policy"):
        return ""
    try:
        return f"signed with key {PlacementPolicy.from_text(one.wire.policy.statement).key_id}"
    except PolicyRefused as error:
        return str(error)


def _command(one: "Job") -> str:
    """Return the command of the chosen build, of the first one while none is chosen."""
    chosen = one.placement.build if one.placement else 0
    return " ".join(word for build in one.wire.spec.builds[chosen : chosen + 1] for word in build.command)


def _asked(spec: "job_pb2.JobSpec") -> str:
    """Return the gang that was asked for: its size, the smaller ones, and how near to each other its tasks must be."""
    each = f"{milli(spec.share_milli)} card" if spec.share_milli else f"{spec.cards_per_task} cards"
    asked = f"{spec.tasks} x {each}"
    if spec.smaller_sizes:
        asked += " or " + ", ".join(f"{size.tasks} (speed {part(size.speed_ppm)})" for size in spec.smaller_sizes)
    within = {WITHIN_DOMAIN: "domain", WITHIN_NODE: "node"}.get(spec.within, "")
    if within:
        asked += f", within one {within}"
    elif 0 < spec.spread_speed_ppm < 1_000_000:
        asked += f", across domains at speed {part(spec.spread_speed_ppm)}"
    return asked


def _only_on(spec: "job_pb2.JobSpec") -> str:
    rules = [
        "domestic models" if spec.domestic_only else "",
        f"hubs {', '.join(spec.allowed_hubs)}" if spec.allowed_hubs else "",
        f"owners {', '.join(spec.allowed_owners)}" if spec.allowed_owners else "",
    ]
    return "; ".join(filter(None, rules))


def _data(spec: "job_pb2.JobSpec") -> str:
    words = [
        f"{spec.input_gib} GiB in" if spec.input_gib else "",
        f"at {', '.join(spec.staged_hubs)} already" if spec.staged_hubs else "",
        f"within {duration(spec.transfer_seconds_max)}" if spec.transfer_seconds_max else "",
        f"{spec.output_gib} GiB out" if spec.output_gib else "",
    ]
    return ", ".join(filter(None, words))


def _when(spec: "job_pb2.JobSpec") -> str:
    from broker.client.results import moment

    upstreams = [*spec.after, *(f"key {key}" for key in spec.after_request_keys)]
    ended = "end" if spec.after_any_end else "data" if spec.after_data_ready else "success"
    words = [
        f"not before {clock_time(moment(spec.earliest_start))}" if spec.HasField("earliest_start") else "",
        f"after the {ended} of {', '.join(upstreams)}" if upstreams else "",
        f"start by {clock_time(moment(spec.start_by))}" if spec.HasField("start_by") else "",
        f"finish by {clock_time(moment(spec.finish_by))}" if spec.HasField("finish_by") else "",
        "prefers green hours" if spec.green == GREEN_PREFER else "",
        "preemptible" if spec.preemptible else "",
        f"checkpoint every {duration(spec.checkpoint_interval_seconds)}" if spec.checkpoint_interval_seconds else "",
    ]
    return "; ".join(filter(None, words))


def _size(one: "Job") -> str:
    """Return the size and the share with which it was placed, where that is not simply what was asked for."""
    if one.placement is None:
        return ""
    spec, placed = one.wire.spec, one.placement
    if placed.tasks == spec.tasks and not placed.share_milli:
        return ""
    held = f" of {milli(placed.share_milli)} card each" if placed.share_milli else ""
    return f"{placed.tasks} {'task' if placed.tasks == 1 else 'tasks'}{held}"


def _cards_count(one: "Job") -> str:
    """Return how many cards it has, or asks for while it has none."""
    spec = one.wire.spec
    tasks = one.placement.tasks if one.placement else spec.tasks
    share = one.placement.share_milli if one.placement else spec.share_milli
    return milli(tasks * (share or spec.cards_per_task * 1000))


def _cards(one: "Job") -> str:
    held = one.placement.cards if one.placement else {}
    return "; ".join(f"{node}: {','.join(map(str, cards))}" for node, cards in held.items())


def _where(one: "Job") -> str:
    return f"{one.placement.cluster}/{one.placement.pool}" if one.placement else ""


def _ran(one: "Job") -> str:
    if one.started_at is None or one.ended_at is None:
        return ""
    return duration((one.ended_at - one.started_at).total_seconds())
