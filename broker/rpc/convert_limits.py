"""Between the wire and the domain: quotas and power of hubs, with all checks of admin_service.proto."""

from typing import Final

from broker.market.energy import PowerChange, PowerUse
from broker.market.quotas import QuotaUse
from broker.market.snapshot_rules import MILLI_TFLOPS_PER_MILLI_PFLOPS
from broker.rpc.convert_checks import Checks
from broker.store.rules import JOULES_PER_KILOWATT_HOUR
from broker.wire.v1 import admin_service_pb2 as pb
from broker.worlds.quotas import QuotaRow
from broker.worlds.schema import HUB_FIGURES_MAX, PUE_MILLI_MAX, QUOTA_MILLI_PFLOPS_MAX

PUE_MILLI_MIN: Final = 1000
WATTS_PER_KILOWATT: Final = 1000


def quota_row(request: pb.SetQuotaRequest) -> QuotaRow:
    """Return the quota to set. Raise InvalidRequest that names every wrong field."""
    checks, given = Checks(), request.quota
    path = _path(checks, "quota.", given)
    guaranteed = _amount(checks, "guaranteed", given.guaranteed_milli_pflops)
    found = QuotaRow(
        quota=path,
        guaranteed_milli_pflops=guaranteed,
        borrow_milli_pflops=_amount(checks, "borrow", given.borrow_milli_pflops)
        if given.HasField("borrow_milli_pflops")
        else None,
        lend_milli_pflops=_amount(checks, "lend", given.lend_milli_pflops)
        if given.HasField("lend_milli_pflops")
        else None,
    )
    checks.done()
    return found


def quota_path(request: pb.RemoveQuotaRequest) -> str:
    """Return the path of the quota to remove. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    path = _path(checks, "", request)
    checks.done()
    return path


def quota_hub(request: pb.ListQuotasRequest) -> str:
    """Return the hub whose quotas are asked for, empty for all. Raise InvalidRequest."""
    checks = Checks()
    checks.slug_or_empty("hub", request.hub)
    checks.done()
    return request.hub


def power_hub(request: pb.GetHubPowerRequest) -> str:
    """Return the hub to show. Raise InvalidRequest."""
    checks = Checks()
    checks.slug("hub", request.hub)
    checks.done()
    return request.hub


def power_change(request: pb.SetHubPowerRequest) -> PowerChange:
    """Return what to change of a hub's power. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    checks.slug("hub", request.hub)
    most = {**HUB_FIGURES_MAX, "used_kilowatt_hours": HUB_FIGURES_MAX["energy_kilowatt_hours_per_year"]}
    figures = {
        name: checks.within(name, getattr(request, name), 0, limit)
        for name, limit in most.items()
        if request.HasField(name)
    }
    if request.HasField("pue_milli"):
        low = PUE_MILLI_MIN if request.pue_milli else 0
        figures["pue_milli"] = checks.within("pue_milli", request.pue_milli, low, PUE_MILLI_MAX)
    if not figures:
        checks.wrong("power_kilowatts_max", f"or another of {', '.join(sorted(most))}, pue_milli must be given")
    checks.done()
    return PowerChange(request.hub, **figures)


def quota_to_wire(use: QuotaUse) -> pb.QuotaUse:
    """Return a quota with how it stands."""
    hub, city, enterprise = use.quota.place
    return pb.QuotaUse(
        quota=pb.Quota(
            hub=hub,
            city=city or "",
            enterprise=enterprise or "",
            guaranteed_milli_pflops=use.quota.guaranteed_milli_pflops,
            borrow_milli_pflops=use.quota.borrow_milli_pflops,
            lend_milli_pflops=use.quota.lend_milli_pflops,
        ),
        used_milli_pflops=_milli_pflops(use.used),
        borrowed_milli_pflops=_milli_pflops(use.borrowed),
        lent_milli_pflops=_milli_pflops(use.lent),
    )


def power_to_wire(use: PowerUse) -> pb.HubPower:
    """Return power and energy of a hub."""
    power, energy = use.power, use.energy
    limits = [use.pace_watts] if use.pace_watts is not None else []
    if power.power_kilowatts_max:
        limits.append(power.power_kilowatts_max * WATTS_PER_KILOWATT)
    found = pb.HubPower(
        hub=use.hub,
        power_kilowatts_max=power.power_kilowatts_max,
        pue_milli=power.pue_milli,
        micro_yuan_per_kilowatt_hour=power.micro_yuan_per_kilowatt_hour,
        used_watts=use.used_watts,
        pace_watts=use.pace_watts,
        free_watts=max(0, min(limits) - use.used_watts) if limits else None,
        year=use.year,
    )
    if energy is not None:
        found.energy_kilowatt_hours_per_year = energy.quota_joules // JOULES_PER_KILOWATT_HOUR
        found.used_kilowatt_hours = -(-energy.used_joules // JOULES_PER_KILOWATT_HOUR)
        found.committed_kilowatt_hours = -(-energy.committed_joules // JOULES_PER_KILOWATT_HOUR)
        found.left_kilowatt_hours = max(0, energy.quota_joules - energy.used_joules) // JOULES_PER_KILOWATT_HOUR
    return found


def _path(checks: Checks, prefix: str, given: pb.Quota | pb.RemoveQuotaRequest) -> str:
    checks.slug(f"{prefix}hub", given.hub)
    checks.slug_or_empty(f"{prefix}city", given.city)
    checks.slug_or_empty(f"{prefix}enterprise", given.enterprise)
    if given.enterprise and not given.city:
        checks.wrong(f"{prefix}city", "must be given with an enterprise")
    return "/".join(part for part in (given.hub, given.city, given.enterprise) if part)


def _amount(checks: Checks, name: str, milli_pflops: int) -> int:
    return checks.within(f"quota.{name}_milli_pflops", milli_pflops, 0, QUOTA_MILLI_PFLOPS_MAX)


def _milli_pflops(milli_tflops: int) -> int:
    return -(-milli_tflops // MILLI_TFLOPS_PER_MILLI_PFLOPS)
