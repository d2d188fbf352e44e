"""The agent's own check of placement policies: signed by a trusted key, for this lease, and kept at this place.

What the place is (cluster, hub, owner, origin of its pools) comes from the agent's own configuration, which its owner
has written, and never from the broker: a broker that is wrong about a cluster cannot make it run what its owner or a
city does not want there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from broker.agent.orders import Desired, EndReason, Order, PoolStock, Refusal
from broker.ids import job_text, lease_text
from broker.policy.keys import TrustedKeys
from broker.policy.statement import PlacementPolicy, PolicyFault, PolicyRefused, objection


@dataclass(frozen=True, slots=True)
class Place:
    """What the cluster is, as its own configuration says; `origins` by pool, `pool_of` by node."""

    cluster: str
    hub: str
    owner: str
    origins: Mapping[str, str]
    pool_of: Mapping[str, str]


def place(cluster: str, *, hub: str, owner: str, origins: Mapping[str, str], pools: Iterable[PoolStock]) -> Place:
    """Return the place that these pools make."""
    return Place(cluster, hub, owner, origins, {node.node: pool.pool for pool in pools for node in pool.nodes})


class PolicyGate:
    """Lets those orders through whose signed policy holds here."""

    def __init__(self, trusted: TrustedKeys, here: Place) -> None:
        self._trusted = trusted
        self._here = here

    def trusts(self, key_id: str) -> bool:
        """Tell whether statements that this key signs are believed."""
        return key_id in self._trusted

    def screen(self, desired: Desired) -> Desired:
        """Return what should be, with orders that may not start as refusals."""
        start: list[Order] = []
        refused = list(desired.refused)
        for order in desired.start:
            try:
                self.check(order)
            except PolicyRefused as error:
                refused.append(Refusal(order.key, order.job, str(error), EndReason.POLICY_REJECTED))
            else:
                start.append(order)
        return replace(desired, start=tuple(start), refused=tuple(refused))

    def check(self, order: Order) -> None:
        """Raise PolicyRefused when the order may not start here."""
        if order.policy is None:
            raise PolicyRefused(PolicyFault.MISSING, "the lease was made before the broker signed placement policies")
        policy = self._trusted.verified(order.policy)
        _check_meant(policy, order)
        if policy.cluster != self._here.cluster:
            raise PolicyRefused(
                PolicyFault.OTHER_CLUSTER, f"it is for cluster {policy.cluster}; this is {self._here.cluster}"
            )
        origin = self._here.origins.get(policy.pool)
        strange = [task.node for task in order.tasks if self._here.pool_of.get(task.node) != policy.pool]
        if origin is None or strange:
            what = f"node {strange[0]} is not in" if strange else "there is no"
            raise PolicyRefused(PolicyFault.POOL_UNKNOWN, f"{what} pool {policy.pool} by the agent's configuration")
        problem = objection(policy, hub=self._here.hub, owner=self._here.owner, origin=origin)
        if problem is not None:
            raise problem


def _check_meant(policy: PlacementPolicy, order: Order) -> None:
    said = (policy.lease, policy.epoch, policy.job, policy.city)
    meant = (lease_text(order.key.lease), order.key.epoch, job_text(order.job), order.city)
    if said != meant:
        raise PolicyRefused(
            PolicyFault.OTHER_LEASE,
            "it is for {} (epoch {}) of {} of {}, and the order for {} (epoch {}) of {} of {}".format(*said, *meant),
        )
