"""What all interceptors share: one concern around every call, and before every message that comes in."""

from __future__ import annotations  # grpc's classes are generic in its stubs only

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Guard(grpc.aio.ServerInterceptor):
    """One concern of the edge. The first guard of a server is the outermost."""

    def __init__(self) -> None:
        self._guarded: dict[str, tuple[Handler, Handler]] = {}  # by method: the handler, and it guarded

    @abstractmethod
    def around(self, method: str, context: Context) -> AbstractAsyncContextManager[None]:
        """Return what is entered before a call and left after it; an error raised on entry ends the call.

        Args:
            method: full name, such as "/broker.wire.v1.JobService/GetJob".
            context: the call.
        """

    async def admit(self, message: Any) -> None:
        """Look at one message before the servicer does: an error ends the call, a pause holds the sender back."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler of a call with this guard around it."""
        handler = await continuation(handler_call_details)
        if handler is None:  # nobody serves the method: grpc answers UNIMPLEMENTED by itself
            return None
        method = handler_call_details.method
        known, guarded = self._guarded.get(method, (None, handler))
        if known is not handler:
            guarded = self.guarded(handler, method)
            self._guarded[method] = handler, guarded
        return guarded

    def guarded(self, handler: Handler, method: str) -> Handler:
        """Return the same kind of handler, with this guard around its behaviour."""
        return like(handler, self._behaviour(behaviour_of(handler), method, streaming=handler.request_streaming))

    def _behaviour(self, inner: Any, method: str, *, streaming: bool) -> Callable[..., Any]:
        looks = type(self).admit is not Guard.admit  # most guards do not: their calls need not pass through one more

        async def incoming(request: Any) -> Any:
            if streaming:
                return self._admitted(request) if looks else request
            await self.admit(request)
            return request

        async def answers(request: Any, context: Context) -> AsyncGenerator[Message]:
            async with self.around(method, context), aclosing(inner(await incoming(request), context)) as responses:
                async for response in responses:
                    yield response

        async def answer(request: Any, context: Context) -> Any:
            async with self.around(method, context):
                return await inner(await incoming(request), context)

        if isasyncgenfunction(inner):
            return answers
        if iscoroutinefunction(inner):
            return answer
        raise TypeError(f"{method} must be an `async def`: a blocking one would stop every other call")

    async def _admitted(self, requests: AsyncIterable[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            await self.admit(request)
            yield request


def writing(handler: Handler) -> Handler:
    """Return a handler that writes its answers instead of yielding them; for the outermost guard.

    grpc drops a generator that it no longer needs, and its `finally` runs when the collector comes by; a coroutine is
    cancelled, and everything within has ended when the call has.
    """
    behaviour = behaviour_of(handler)
    if not isasyncgenfunction(behaviour):
        return handler

    async def written(request: Any, context: Context) -> None:
        async with aclosing(behaviour(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return like(handler, written)


def behaviour_of(handler: Handler) -> Any:
    """Return the function that serves."""
    if handler.response_streaming:
        return handler.stream_stream if handler.request_streaming else handler.unary_stream
    return handler.stream_unary if handler.request_streaming else handler.unary_unary


def like(handler: Handler, behaviour: Callable[..., Any], *, parse: Callable[[bytes], Any] | None = None) -> Handler:
    """Return a handler of the same kind with another behaviour, and perhaps another parser of requests."""
    if handler.request_streaming and handler.response_streaming:
        make = grpc.stream_stream_rpc_method_handler
    elif handler.request_streaming:
        make = grpc.stream_unary_rpc_method_handler
    elif handler.response_streaming:
        make = grpc.unary_stream_rpc_method_handler
    else:
        make = grpc.unary_unary_rpc_method_handler
    return make(
        behaviour,
        request_deserializer=parse or handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
