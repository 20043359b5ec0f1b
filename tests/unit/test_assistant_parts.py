"""An assistant's parts: sentences, tools, and a language model behind a real HTTP server."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from antiphon.assistant import Message, OpenAIModel, PartError, ToolCall
from antiphon.assistant.sentences import Sentences
from antiphon.assistant.tools import Tool
from antiphon.worker import Session
from tests.support.wait import until

ASK = [Message("user", "hello")]


def cut(*pieces: str) -> list[str]:
    sentences = Sentences()
    return [one for piece in pieces for one in sentences.push(piece)] + list(sentences.finish())


def test_the_first_piece_may_end_at_a_comma_and_later_ones_at_sentences() -> None:
    assert cut("When the sun came up, a ship lay there. It sang, it did. Yes") == [
        "When the sun came up,", "a ship lay there.", "It sang, it did.", "Yes",
    ]  # fmt: skip


def test_abbreviations_and_decimals_end_no_sentence() -> None:
    assert cut("Dr. Smith paid 3.50 at 5 p.m. today. Good") == ["Dr. Smith paid 3.50 at 5 p.m. today.", "Good"]


@given(st.text(alphabet="ab .,!?\n", max_size=600), st.integers(1, 40))
def test_no_word_is_lost_however_the_text_comes(text: str, step: int) -> None:
    pieces = cut(*(text[at : at + step] for at in range(0, len(text), step)))
    assert " ".join(pieces).split() == text.split()


async def book(
    day: Annotated[str, Field(description="Which day")], guests: int = 2, meal: Literal["lunch", "dinner"] = "dinner"
) -> dict[str, Any]:
    """Books a table."""
    return {"day": day, "guests": guests, "meal": meal}


class Nobody:
    """Stands for a session that no tool asks anything of."""

    class log:  # noqa: N801
        @staticmethod
        def warning(*_: object, **__: object) -> None: ...


async def call(tool: Tool, arguments: str) -> str:
    return await tool.call(ToolCall("1", tool.schema.name, arguments), Nobody())  # type: ignore[arg-type]


async def test_a_tools_schema_comes_from_its_signature() -> None:
    schema = Tool(book).schema
    assert (schema.name, schema.description) == ("book", "Books a table.")
    assert schema.parameters["required"] == ["day"]
    assert schema.parameters["properties"]["day"]["description"] == "Which day"
    assert schema.parameters["properties"]["meal"]["enum"] == ["lunch", "dinner"]
    assert json.loads(await call(Tool(book), '{"day": "Monday"}')) == {"day": "Monday", "guests": 2, "meal": "dinner"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("{", "JSON"), ("{}", "day"), ('{"day": "x", "guests": "many"}', "guests"), ('{"day": "x", "y": 1}', "y")],
)
async def test_arguments_that_do_not_fit_are_told_to_the_model(arguments: str, expected: str) -> None:
    answer = await call(Tool(book), arguments)
    assert answer.startswith("error: ")
    assert expected in answer


async def test_a_tool_that_fails_is_told_to_the_model() -> None:
    def broken() -> str:
        raise LookupError("no such table")

    assert await call(Tool(broken), "{}") == "error: no such table"


def test_the_session_is_no_argument_of_the_models() -> None:
    def leave(session: Session, why: str) -> str:
        return why

    assert list(Tool(leave).schema.parameters["properties"]) == ["why"]


class Endpoint:
    """A server that speaks as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.lines: list[str] = []
        self.status = 200
        self.silent_s = 0.0
        self.left = asyncio.Event()
        self.url = ""
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.answer)

    async def answer(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.keys.append(request.headers.get("authorization"))
        if self.status != 200:
            return Response("the quota is used up", self.status)
        return StreamingResponse(self.stream(), media_type="text/event-stream")

    async def stream(self) -> AsyncIterator[str]:
        try:
            for line in self.lines:
                yield f"data: {line}\n\n"
            await asyncio.sleep(self.silent_s)
            yield "data: [DONE]\n\n"
        finally:
            self.left.set()


def delta(**body: object) -> str:
    return json.dumps({"choices": [{"delta": body}]})


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    it = Endpoint()
    server = uvicorn.Server(uvicorn.Config(it.app, port=0, log_level="error", lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    it.url = f"http://127.0.0.1:{port}/v1"
    yield it
    server.should_exit = True
    server.force_exit = True
    await task


async def test_text_comes_piece_by_piece(endpoint: Endpoint) -> None:
    endpoint.lines = [delta(role="assistant"), delta(content="Hel"), delta(content="lo"), '{"choices": []}']
    model = OpenAIModel(endpoint.url, "small", "a-key")
    assert [piece async for piece in model.reply(ASK, [Tool(book).schema])] == ["Hel", "lo"]
    assert endpoint.keys == ["Bearer a-key"]
    assert endpoint.asked[0]["stream"] is True
    assert endpoint.asked[0]["tools"][0]["function"]["name"] == "book"


async def test_calls_of_tools_are_joined_from_their_pieces(endpoint: Endpoint) -> None:
    def part(index: int, **body: object) -> str:
        return delta(tool_calls=[{"index": index, **body}])

    endpoint.lines = [
        part(0, id="a", function={"name": "book", "arguments": ""}),
        part(0, function={"arguments": '{"day":'}),
        part(1, id="b", function={"name": "clock", "arguments": "{}"}),
        part(0, function={"arguments": '"Monday"}'}),
    ]
    model = OpenAIModel(endpoint.url, "small")
    found = [piece async for piece in model.reply(ASK, [])]
    assert found == [ToolCall("a", "book", '{"day":"Monday"}'), ToolCall("b", "clock", "{}")]
    again = [*ASK, Message("assistant", "", (found[0],)), Message("tool", "done", call="a")]  # type: ignore[arg-type]
    _ = [piece async for piece in model.reply(again, [])]
    sent = endpoint.asked[1]["messages"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "book", "arguments": '{"day":"Monday"}'}
    assert sent[2] == {"role": "tool", "content": "done", "tool_call_id": "a"}


async def test_an_http_error_is_told_without_the_key(endpoint: Endpoint) -> None:
    endpoint.status = 429
    with pytest.raises(PartError, match="429: the quota is used up") as error:
        _ = [piece async for piece in OpenAIModel(endpoint.url, "small", "secret-key").reply(ASK, [])]
    assert "secret-key" not in str(error.value)


async def test_what_is_no_completion_is_told(endpoint: Endpoint) -> None:
    endpoint.lines = ["{not json"]
    with pytest.raises(PartError, match="no completion"):
        _ = [piece async for piece in OpenAIModel(endpoint.url, "small").reply(ASK, [])]


async def test_silence_is_not_waited_for_longer_than_the_timeout(endpoint: Endpoint) -> None:
    endpoint.lines, endpoint.silent_s = [delta(content="Well")], 30.0
    with pytest.raises(PartError, match="silent"):
        _ = [piece async for piece in OpenAIModel(endpoint.url, "small", timeout_s=0.2).reply(ASK, [])]


async def test_a_reply_that_is_cut_hangs_up_on_the_model(endpoint: Endpoint) -> None:
    endpoint.lines, endpoint.silent_s = [delta(content="Well")], 30.0
    reply = OpenAIModel(endpoint.url, "small").reply(ASK, [])
    assert await anext(aiter(reply)) == "Well"
    await reply.aclose()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        await endpoint.left.wait()


async def test_nobody_at_the_address_is_told() -> None:
    with pytest.raises(PartError, match="cannot be reached"):
        _ = [piece async for piece in OpenAIModel("http://127.0.0.1:9/v1", "small").reply(ASK, [])]
