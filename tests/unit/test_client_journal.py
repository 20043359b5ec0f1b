"""What the caller makes of the session's messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from antiphon.client import journal

if TYPE_CHECKING:
    from antiphon.wire.data.v1.channel_pb2 import ServerMessage


def told(**message: object) -> ServerMessage:
    parsed = journal.parse(json.dumps(message))
    assert parsed is not None
    return parsed


def test_turns_and_utterances_are_folded_by_number() -> None:
    book = journal.Journal()
    book.take(told(sessionStarted={"session": "s", "agent": "parrot", "worker": "w", "edge": "e"}), 0.1)
    book.take(told(callerTurn={"turn": 1, "state": "started", "atMs": 500}), 0.6)
    book.take(told(callerTurn={"turn": 1, "state": "ended", "atMs": 500, "audioMs": 900}), 2.0)
    stages = [{"stage": "received", "atMs": 31, "tookMs": 31}, {"stage": "sounded", "atMs": 743, "tookMs": 712}]
    trace = {"turn": 1, "outcome": "answered", "endedBy": "silence", "responseMs": 743, "playedBy": "device"}
    book.take(told(turnTrace={**trace, "stages": stages, "marks": {"mine": 12.5}}), 2.0)
    assert book.traces[1].stages == [("received", 31.0), ("sounded", 712.0)]
    assert (book.traces[1].response_ms, book.traces[1].marks) == (743.0, {"mine": 12.5})
    book.take(told(agentUtterance={"utterance": 1, "state": "started", "lengthMs": 900}), 2.1)
    assert book.speaking()
    book.take(told(agentUtterance={"utterance": 1, "state": "flushed", "heardMs": 300, "lengthMs": 900}), 2.6)
    assert not book.speaking()
    assert (book.agent, book.edge, book.worker) == ("parrot", "e", "w")
    assert book.turns[1] == journal.Turn(1, "ended", 500.0, 900.0, 2.0)
    assert book.utterances[1] == journal.Utterance(1, "flushed", 300.0, 900.0, 2.1, 2.6)


def test_messages_of_a_newer_server_and_noise_are_passed_over() -> None:
    assert journal.parse('{"hologram": {}}') is None
    assert journal.parse("noise") is None
    assert journal.parse('{"sessionEnded": {"reason": "hangup", "mood": "sad"}}') is not None


def test_any_json_value_travels_to_and_from_the_agent() -> None:
    data = {"name": "Ada", "numbers": [1.5, 2, None, True]}
    assert json.loads(journal.app_message(data)) == {"app": {"data": data}}
    assert journal.app_data(told(app={"data": data})) == data
    back = journal.app_data(told(app={"data": data}))
    assert json.dumps(back, sort_keys=True) == json.dumps(data, sort_keys=True), "2 stays 2, not 2.0"
    assert json.loads(journal.bye_message()) == {"bye": {}}
