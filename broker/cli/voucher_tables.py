"""Vouchers as tables for people."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from broker.cli.output import clock_time, percent, table, word, yuan


def moment_of(at: Any) -> datetime:
    """Return a wire timestamp as an aware time."""
    from broker.client.results import moment

    return moment(at)


def programmes(found: Sequence[Any], *, left: bool) -> Any:
    """Return programmes; what is left of the budgets only where it is told."""
    rows = [
        (p.programme, p.hub, p.year, yuan(p.budget_micro_yuan), yuan(p.granted_micro_yuan), p.vouchers)
        + ((yuan(p.left_micro_yuan),) if left else ())
        for p in found
    ]
    return table(["programme", "hub", "year>", "budget>", "granted>", "vouchers>", *(["left>"] if left else [])], rows)


def rules(found: Any) -> Any:
    """Return the rules of a programme with their sources."""
    said = json.loads(found.rules)
    rows = []
    for name, rule in said["programme"].items():
        if not isinstance(rule, dict) or "source" not in rule:
            rows.append((name, "" if rule is None else _plain(rule), "", ""))
            continue
        source = said["sources"].get(rule["source"], {})
        terms = {k: v for k, v in rule.items() if k not in ("source", "doubtful", "note")}
        told = f"{source.get('text', rule['source'])} ({source.get('date', '')})"
        rows.append((name, _plain(terms), "doubtful" if rule["doubtful"] else "", told))
    return table(["rule", "what", "", "source"], rows)


def enterprises(found: Sequence[Any]) -> Any:
    """Return enterprises."""
    from broker.wire.v1 import voucher_service_pb2 as pb

    rows = [
        (
            e.city,
            e.enterprise,
            e.title,
            e.registration,
            e.plant,
            word(pb.ApplicantType, e.applicant_type, "APPLICANT_TYPE_"),
            ", ".join(e.related_owners),
        )
        for e in found
    ]
    return table(["city", "enterprise", "title", "registration", "plant", "type", "related to"], rows)


def applications(found: Sequence[Any]) -> Any:
    """Return applications."""
    rows = [
        (
            a.application_id,
            application_state(a),
            a.city,
            a.asked.enterprise,
            a.asked.programme,
            yuan(a.asked.micro_yuan),
            a.asked.contract,
            a.asked.provider,
            clock_time(moment_of(a.applied_at)),
        )
        for a in found
    ]
    columns = ["application", "state", "city", "enterprise", "programme", "asked>", "contract", "provider", "at"]
    return table(columns, rows)


def application_state(found: Any) -> str:
    """Return the word for an application's state."""
    from broker.wire.v1 import voucher_service_pb2 as pb

    return word(pb.ApplicationState, found.state, "APPLICATION_STATE_").replace("_", " ")


def voucher_state(found: Any) -> str:
    """Return the word for a voucher's state."""
    from broker.wire.v1 import voucher_service_pb2 as pb

    return word(pb.VoucherState, found.state, "VOUCHER_STATE_").replace("_", " ")


def vouchers(found: Sequence[Any]) -> Any:
    """Return vouchers."""
    rows = [
        (
            v.voucher,
            voucher_state(v),
            v.city,
            v.enterprise,
            yuan(v.granted_micro_yuan),
            yuan(v.available_micro_yuan),
            yuan(v.held_micro_yuan),
            clock_time(moment_of(v.valid_until)),
        )
        for v in found
    ]
    columns = ["voucher", "state", "city", "enterprise", "granted>", "available>", "held>", "valid until"]
    return table(columns, rows)


def voucher(found: Any) -> Any:
    """Return one voucher, fact by fact."""
    from broker.wire.v1 import job_pb2

    classes = [word(job_pb2.WorkloadClass, number, "WORKLOAD_CLASS_") for number in found.workload_classes]
    due = f", due {clock_time(moment_of(found.papers_due))}" if found.HasField("papers_due") else ""
    rows = [
        ("voucher", found.voucher),
        ("state", voucher_state(found)),
        ("for", f"{found.enterprise} of {found.city}, in {found.hub}"),
        ("pays", f"{percent(found.domestic_ppm)} on domestic cards, {percent(found.other_ppm)} on others"),
        ("of", ", ".join(classes)),
        ("granted", yuan(found.granted_micro_yuan)),
        ("available", yuan(found.available_micro_yuan)),
        ("held", yuan(found.held_micro_yuan)),
        ("waits for papers", yuan(found.rest_micro_yuan)),
        ("papers missing", (", ".join(found.papers_missing) + due) or "none"),
        ("application", found.application_id),
        ("granted at", clock_time(moment_of(found.granted_at))),
        ("valid until", clock_time(moment_of(found.valid_until))),
    ]
    return table(["", ""], rows)


def story(found: Sequence[Any]) -> Any:
    """Return a story."""
    from broker.wire.v1 import voucher_service_pb2 as pb

    rows = [
        (
            clock_time(moment_of(s.at)),
            word(pb.StoryEvent, s.event, "STORY_EVENT_").replace("_", " "),
            s.officer,
            s.voucher or s.application_id or s.enterprise or s.programme,
            s.note,
        )
        for s in found
    ]
    return table(["at", "what", "who", "about", "note"], rows)


def forecast(found: Any) -> Any:
    """Return how fast a programme's money goes."""
    rows = [
        (name, yuan(b.left_micro_yuan), yuan(b.micro_yuan_per_day), b.days_seen, b.runs_out or "never at this rate")
        for name, b in (("budget, by grants", found.budget), ("granted, by captures", found.granted))
    ]
    return table(["what", "left>", "a day>", "days seen>", "runs out"], rows)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
