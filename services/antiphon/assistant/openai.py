"""Any endpoint that speaks OpenAI's chat completions, streamed as server-sent events."""

from __future__ import annotations

from collections import defaultdict
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel, ValidationError

from antiphon.assistant.parts import PartError, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from antiphon.assistant.parts import Message, ToolSchema

_MOST_ERROR_CHARACTERS = 300


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(BaseModel):
    index: int = 0
    id: str | None = None
    function: _Function = _Function()


class _Delta(BaseModel):
    content: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()


class _Chunk(BaseModel):
    choices: list[_Choice] = []


class OpenAIModel:
    """A LanguageModel at a URL such as http://127.0.0.1:11434/v1. It tries once: no caller waits for retries."""

    def __init__(self, url: str, model: str, key: str = "", *, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/") + "/chat/completions"
        self._model = model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 3.0))

    async def reply(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> AsyncIterator[str | ToolCall]:
        """Raises PartError for an HTTP error, a silence longer than the timeout, or what is no completion."""
        body: dict[str, Any] = {"model": self._model, "stream": True, "messages": [_message(one) for one in messages]}
        if tools:
            body["tools"] = [_tool(one) for one in tools]
        calls: defaultdict[int, list[str]] = defaultdict(lambda: ["", "", ""])
        async with aclosing(self._chunks(body)) as chunks:
            async for chunk in chunks:
                for choice in chunk.choices[:1]:
                    if choice.delta.content:
                        yield choice.delta.content
                    for part in choice.delta.tool_calls or ():
                        call = calls[part.index]
                        call[0] = part.id or call[0]
                        call[1] += part.function.name or ""
                        call[2] += part.function.arguments or ""
        for identity, name, arguments in calls.values():
            yield ToolCall(identity or name, name, arguments)

    async def _chunks(self, body: dict[str, Any]) -> AsyncGenerator[_Chunk, None]:
        try:
            async with (
                httpx.AsyncClient(timeout=self._timeout) as http,
                http.stream("POST", self._url, json=body, headers=self._headers) as response,
            ):
                if response.is_error:
                    text = (await response.aread()).decode(errors="replace")[:_MOST_ERROR_CHARACTERS]
                    raise PartError(f"the language model at {self._url} answered {response.status_code}: {text}")
                async for line in response.aiter_lines():
                    data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                    if data == "[DONE]":
                        return
                    if data:
                        yield _parse(data)
        except httpx.TimeoutException:
            raise PartError(f"the language model at {self._url} was silent for too long") from None
        except httpx.HTTPError as error:
            raise PartError(f"the language model at {self._url} cannot be reached: {error}") from None


def _parse(data: str) -> _Chunk:
    try:
        return _Chunk.model_validate_json(data)
    except ValidationError:
        raise PartError(f"the language model sent what is no completion: {data[:_MOST_ERROR_CHARACTERS]}") from None


def _message(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    if message.call:
        body["tool_call_id"] = message.call
    return body


def _tool(tool: ToolSchema) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
