"""An agent made of parts: what the caller said is recognised, a model answers, and a voice says it as it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
        filler: str = "",
        filler_after_s: float = 1.5,
        tools: Iterable[Callable[..., Any]] = (),
    ) -> None:
        self.recognizer = recognizer
        self.model = model
        self.voice = voice
        self.instructions = instructions
        """The system message."""
        self.greeting = greeting
        """Said when the caller is there; nothing where it is empty."""
        self.filler = filler
        """Said when a reply is late; nothing where it is empty."""
        self.filler_after_s = filler_after_s
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
        session.turns.recognizer = self.recognizer
        dialogue = Dialogue(self, session)
        session.on_turn(speculative=True)(dialogue.answer)
        if self.filler:
            session.turns.policy = replace(session.turns.policy, late_s=self.filler_after_s)
            session.on_late(dialogue.fill)
        await dialogue.greet()
