"""Placement policies in the life of a lease: signed when it is made, and what follows when its agent rejects it."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import structlog

from broker import metrics
from broker.ids import LeaseId, lease_text
from broker.lifecycle import EndReason
from broker.policy.keys import SignedPolicy, Signer
from broker.store import policies
from broker.store.database import Connection
from broker.store.leases import Ended, Stopped
from broker.store.policies import Unsigned

_REASON_CHARACTERS_MAX: Final = 256

log = structlog.get_logger("policies")


class Policies:
    """Signs the placement policies of new leases."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    async def sign(self, tx: Connection, leases: Collection[LeaseId]) -> None:
        """Store a signed statement for each of the leases, in the transaction that makes them."""
        if leases:
            unsigned = await policies.unsigned(tx, list(leases), self._signer.key_id)
            await policies.keep(tx, await asyncio.to_thread(self._signed, unsigned))

    def _signed(self, unsigned: Sequence[Unsigned]) -> dict[LeaseId, SignedPolicy]:
        return {each.lease: self._signer.sign(each.policy) for each in unsigned}


async def close_what_rejects(tx: Connection, told: Sequence[Stopped], ended: Sequence[Ended]) -> list[Stopped]:
    """Cordon the pools on which an agent has just rejected leases, and return its words on them.

    Broker and agent differ then in what the cluster is or whom it trusts. Without this the next round would place the
    same job there again, or the next one; which of the two is right only people know.
    """
    news = {each.ref for each in ended}
    rejected = [t for t in told if t.ending.reason is EndReason.POLICY_REJECTED and t.ref in news]
    for each in rejected:
        reason = f"its agent rejected {lease_text(each.ref.lease)}: {each.ending.detail}"
        await policies.close_pools(tx, [each.ref.lease], reason[:_REASON_CHARACTERS_MAX])
    return rejected


def tell_of_rejections(cluster: str, rejected: Sequence[Stopped]) -> None:
    """Count rejected leases and tell operators of them; after the commit."""
    for each in rejected:
        metrics.policy_rejected()
        log.warning(
            "an agent rejected a lease by its placement policy",
            cluster=cluster,
            lease=lease_text(each.ref.lease),
            why=each.ending.detail,
        )
