"""An agent made of parts: what the caller said is recognised, a model answers, and a voice says it as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from antiphon.assistant.dialogue import Dialogue
from antiphon.assistant.tools import Tool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiphon.assistant.parts import LanguageModel, Recognizer
    from antiphon.worker import Session, Voice

Function = TypeVar("Function", bound=Callable[..., Any])


class Assistant:
    """Parts, and how they talk; shared by all callers. `await assistant.run(session)` in an agent."""

    def __init__(
        self,
        *,
        recognizer: Recognizer,
        model: LanguageModel,
        voice: Voice,
        instructions: str = "",
        greeting: str = "",
        tools: Iterable[Callable[..., Any]] = (),
    ) -> None:
        self.recognizer = recognizer
        self.model = model
        self.voice = voice
        self.instructions = instructions
        """The system message."""
        self.greeting = greeting
        """Said when the caller is there; nothing where it is empty."""
        self.tools: dict[str, Tool] = {}
        for function in tools:
            self.tool(function)

    def tool(self, function: Function) -> Function:
        """Decorates a function that the model may call: see Tool."""
        tool = Tool(function)
        self.tools[tool.schema.name] = tool
        return function

    async def run(self, session: Session) -> None:
        """Greets the caller and answers each turn. Returns after the greeting; the answers go on."""
        session.voice = self.voice
        dialogue = Dialogue(self, session)
        session.on_turn(speculative=True)(dialogue.answer)
        await dialogue.greet()
