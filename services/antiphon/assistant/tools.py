"""Functions that a language model may call: JSON schemas from their typed signatures, and their calls."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from antiphon.assistant import metrics
from antiphon.assistant.parts import ToolSchema
from antiphon.worker import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.assistant.parts import ToolCall

_TIMEOUT_S = 15.0


class Tool:
    """A function, plain or async. Its docstring tells the model what it does; a parameter of type Session gets it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._session_parameter: str | None = None
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in hints:
                raise TypeError(f"tool {function.__name__}: parameter {name} needs a type, which tells the model")
            if hints[name] is Session:
                self._session_parameter = name
            else:
                fields[name] = (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        self._arguments: type[BaseModel] = create_model(
            function.__name__, __config__=ConfigDict(extra="forbid"), **fields
        )
        schema = self._arguments.model_json_schema()
        schema.pop("title", None)
        self.schema = ToolSchema(function.__name__, inspect.getdoc(function) or "", schema)

    async def call(self, call: ToolCall, session: Session) -> str:
        """What the model is told: the result, as JSON unless it is text, or what went wrong."""
        try:
            arguments = self._arguments.model_validate_json(call.arguments or "{}")
        except ValidationError as error:
            metrics.TOOLS.labels("bad_arguments").inc()
            return f"error: {'; '.join(_place(one['loc']) + one['msg'] for one in error.errors())}"
        values = {name: getattr(arguments, name) for name in type(arguments).model_fields}
        if self._session_parameter:
            values[self._session_parameter] = session
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                result = await self._run(values)
        except TimeoutError:
            metrics.TOOLS.labels("timeout").inc()
            return f"error: no answer within {_TIMEOUT_S:.0f} s"
        except Exception as error:
            metrics.TOOLS.labels("failed").inc()
            session.log.warning("tool failed", tool=self.schema.name, exc_info=error)
            return f"error: {error}"
        metrics.TOOLS.labels("done").inc()
        return result if isinstance(result, str) else json.dumps(result, default=str)

    async def _run(self, values: dict[str, Any]) -> Any:  # noqa: ANN401
        if inspect.iscoroutinefunction(self._function):
            return await self._function(**values)
        return await asyncio.to_thread(self._function, **values)  # it may block


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) + ": " if location else ""
