"""What all interceptors share: one concern around every call, and before every message that comes in."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

import grpc
from google.protobuf.message import Message

Context = grpc.aio.ServicerContext[Any, Any]
Handler = grpc.RpcMethodHandler[Any, Any]


class Guard(grpc.aio.ServerInterceptor):
    """One concern of the edge. The first guard of a server is the outermost."""

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
        # grpc hands on None for a method that nobody serves, and answers UNIMPLEMENTED by itself.
        return handler and self.guarded(handler, handler_call_details.method)

    def guarded(self, handler: Handler, method: str) -> Handler:
        """Return the same kind of handler, with this guard around its behaviour."""
        if handler.request_streaming and handler.response_streaming:
            make, behaviour = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        elif handler.request_streaming:
            make, behaviour = grpc.stream_unary_rpc_method_handler, handler.stream_unary
        elif handler.response_streaming:
            make, behaviour = grpc.unary_stream_rpc_method_handler, handler.unary_stream
        else:
            make, behaviour = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        return make(
            self._behaviour(behaviour, method, streaming=handler.request_streaming),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _behaviour(self, inner: Any, method: str, *, streaming: bool) -> Callable[..., Any]:
        async def incoming(request: Any) -> Any:
            if streaming:
                return self._admitted(request)
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
