"""The operators' rules as arrays of the scheduler's snapshot, by the positions of a world view's rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from broker.market.power import meter_watts, pace_watts
from broker.store.energy import year_of
from broker.store.rules import HubRules, ModelRules, RulesView, Transfer, UseRow
from broker.store.snapshots import WorldView
from broker.worlds.quotas import QuotaRow
from scheduler.snapshot import UNKNOWN

Ints = NDArray[np.int64]

MILLI_TFLOPS_PER_MILLI_PFLOPS: Final = 1000
_NO_MODEL: Final = ModelRules(0, 0, (), 0)
_NO_HUB: Final = HubRules(0, 0, 0, None)
_NO_WAY: Final = Transfer(0, 0)


def arrays(view: WorldView) -> dict[str, Any]:
    """Return slices, power, ways of data, quotas and what is used of them.

    Sizes are those of `view.models`, `view.hubs` and `view.cities`; a rule that nobody has set is neutral.
    """
    rules = view.rules
    return {
        **_models(view, rules),
        **_hubs(view, rules),
        **_transfers(view, rules),
        **_quotas(view, rules),
        "city_used_milli_tflops": _city_used(view, rules),
    }


def used_watts(rules: RulesView, hub: str) -> int:
    """Return what the meter of a hub shows for everything that is leased there."""
    card_watts = sum(-(-r.milli_cards * rules.models[r.model].watts // 1000) for r in rules.use if r.hub == hub)
    return meter_watts(card_watts, rules.hubs.get(hub, _NO_HUB).pue_milli)


def pace(rules: RulesView, hub: str) -> int | None:
    """Return the level of power that keeps a hub within the year's energy quota, None where it has none."""
    energy = rules.hubs.get(hub, _NO_HUB).energy
    if energy is None:
        return None
    seconds_left = int((year_of(rules.at).end - rules.at).total_seconds())
    return pace_watts(energy, used_watts(rules, hub), seconds_left)


def used_by_quota(rules: RulesView) -> dict[str, int]:
    """Return what live leases use of each quota, its children's use included, in milli-TFLOPS."""
    tree = _Tree(rules.quotas)
    used = dict.fromkeys(tree.rows, 0)
    for row in rules.use:
        for quota in tree.chain(row.hub, row.city, row.enterprise):
            used[quota] += _milli_tflops(rules, row)
    return used


@dataclass(frozen=True, slots=True)
class _Tree:
    """Quotas by path."""

    rows: Mapping[str, QuotaRow]

    def __init__(self, quotas: Sequence[QuotaRow]) -> None:
        object.__setattr__(self, "rows", {row.quota: row for row in quotas})

    def leaf(self, hub: str, city: str, enterprise: str) -> str:
        """Return the quota that work of a tenant counts to in a hub: the nearest one; empty where none applies."""
        of_city, of_enterprise = f"{hub}/{city}", f"{hub}/{city}/{enterprise}"
        return next((quota for quota in (of_enterprise, of_city, hub) if quota in self.rows), "")

    def chain(self, hub: str, city: str, enterprise: str) -> list[str]:
        """Return that quota and those above it."""
        found, quota = [], self.leaf(hub, city, enterprise)
        while quota:
            found.append(quota)
            quota = self.rows[quota].parent
        return found


def _models(view: WorldView, rules: RulesView) -> dict[str, Any]:
    models = [rules.models.get(m.model, _NO_MODEL) for m in view.models]
    return {
        "model_card_watts": _ints([m.watts for m in models]),
        "model_shares_per_card_max": _ints([m.shares_per_card_max or UNKNOWN for m in models]),
        "slice_start": np.cumsum([0, *(len(m.slices_milli) for m in models)], dtype=np.int64),
        "slice_milli": _ints([milli for m in models for milli in m.slices_milli]),
    }


def _hubs(view: WorldView, rules: RulesView) -> dict[str, Any]:
    hubs = [rules.hubs.get(hub, _NO_HUB) for hub in view.hubs]
    paces = [pace(rules, hub) for hub in view.hubs]
    return {
        "hub_pue_ppm": _ints([(h.pue_milli or 1000) * 1000 for h in hubs]),
        "hub_power_cap_watts": _ints([h.power_kilowatts_max * 1000 or UNKNOWN for h in hubs]),
        "hub_pace_watts": _ints([UNKNOWN if level is None else level for level in paces]),
        "hub_used_watts": _ints([used_watts(rules, hub) for hub in view.hubs]),
        "hub_micro_yuan_per_kwh": _ints([h.micro_yuan_per_kilowatt_hour for h in hubs]),
    }


def _transfers(view: WorldView, rules: RulesView) -> dict[str, Any]:
    ways = [rules.transfers.get((city, hub), _NO_WAY) for city, _ in view.cities for hub in view.hubs]
    shape = (len(view.cities), len(view.hubs))
    return {
        "transfer_micro_yuan_per_gib": _ints([way.micro_yuan_per_gib for way in ways]).reshape(shape),
        "transfer_mib_per_second": _ints([way.mib_per_second or UNKNOWN for way in ways]).reshape(shape),
    }


def _quotas(view: WorldView, rules: RulesView) -> dict[str, Any]:
    tree = _Tree(rules.quotas)
    position = {quota: i for i, quota in enumerate(tree.rows)}
    tenants = _tenants(view, rules.quotas)
    used = used_by_quota(rules)
    position_of_leaf = [
        position.get(tree.leaf(hub, *_city_and_enterprise(tenant)), UNKNOWN) for tenant in tenants for hub in view.hubs
    ]
    rows = rules.quotas
    return {
        "tenant_names": tenants,
        "tenant_quota": _ints(position_of_leaf).reshape(len(tenants), len(view.hubs)),
        "quota_names": tuple(tree.rows),
        "quota_parent": _ints([position.get(row.parent, UNKNOWN) for row in rows]),
        "quota_guaranteed_milli_tflops": _ints([_or_none(row.guaranteed_milli_pflops) for row in rows]),
        "quota_borrow_milli_tflops": _ints([_or_none(row.borrow_milli_pflops) for row in rows]),
        "quota_lend_milli_tflops": _ints([_or_none(row.lend_milli_pflops) for row in rows]),
        "quota_used_milli_tflops": _ints([used[row.quota] for row in rows]),
    }


def _tenants(view: WorldView, quotas: Sequence[QuotaRow]) -> tuple[str, ...]:
    """Return who has a quota of their own somewhere, or could have one: "city" and "city/enterprise"."""
    if not quotas:
        return ()
    enterprises = {f"{city}/{enterprise}" for _, city, enterprise in (q.place for q in quotas) if enterprise}
    return (*(city for city, _ in view.cities), *sorted(enterprises))


def _city_and_enterprise(tenant: str) -> tuple[str, str]:
    city, _, enterprise = tenant.partition("/")
    return city, enterprise


def _city_used(view: WorldView, rules: RulesView) -> Ints:
    used = defaultdict[str, int](int)
    for row in rules.use:
        used[row.city] += _milli_tflops(rules, row)
    return _ints([used[city] for city, _ in view.cities])


def _milli_tflops(rules: RulesView, row: UseRow) -> int:
    return -(-row.milli_cards * rules.models[row.model].programme_milli_tflops // 1000)


def _or_none(milli_pflops: int | None) -> int:
    return UNKNOWN if milli_pflops is None else milli_pflops * MILLI_TFLOPS_PER_MILLI_PFLOPS


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)
