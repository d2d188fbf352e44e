"""What a client can learn from a refused call, decoded by the book."""

from collections.abc import AsyncIterable, Awaitable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status


@dataclass
class Refusal:
    code: str
    message: str
    reason: str = ""
    domain: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None


def decoded(error: grpc.aio.AioRpcError) -> Refusal:
    found = Refusal(error.code().name, error.details() or "")
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else []:
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            found.reason, found.domain, found.facts = info.reason, info.domain, dict(info.metadata)
        elif detail.Unpack(bad):
            found.fields = {v.field: v.description for v in bad.field_violations}
        elif detail.Unpack(retry):
            found.retry_after_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    return found


async def refusal(call: Awaitable[Any] | AsyncIterable[Any]) -> Refusal:
    """Make the call, which must be refused, and return how."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _to_its_end(call)
    return decoded(caught.value)


async def _to_its_end(call: Awaitable[Any] | AsyncIterable[Any]) -> None:
    if isinstance(call, AsyncIterable):
        async for _ in call:
            pass
    else:
        await call
