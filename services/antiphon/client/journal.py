"""What the session said about itself on the data channel: turns, utterances, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from antiphon.wire.data.v1 import channel_pb2

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass
class Turn:
    """A turn of the caller. `at_ms` is session time; `said_at` seconds since the call began, as the message came."""

    number: int
    state: str
    at_ms: float
    audio_ms: float
    said_at: float


@dataclass
class Utterance:
    """An utterance of the agent. `began` and `ended` are seconds since the call began, as the messages came."""

    number: int
    state: str
    heard_ms: float
    length_ms: float
    began: float
    ended: float | None = None

    @property
    def over(self) -> bool:
        return self.state in {"ended", "flushed"}


@dataclass
class Trace:
    """Where the time went between a turn's last sound and the answer."""

    turn: int
    outcome: str
    """answered, silent, unheard, withdrawn, closed."""
    ended_by: str
    response_ms: float | None
    """From the caller's last sound to the agent's first at the caller's ear."""
    played_by: str | None
    stages: list[tuple[str, float]]
    """Name and milliseconds, in order; they add up to the whole."""
    marks: dict[str, float]


@dataclass
class Journal:
    """Server messages in order of arrival, folded into what they mean."""

    agent: str = ""
    edge: str = ""
    worker: str = ""
    end_reason: str = ""
    turns: dict[int, Turn] = field(default_factory=dict)
    utterances: dict[int, Utterance] = field(default_factory=dict)
    traces: dict[int, Trace] = field(default_factory=dict)
    room: str = ""
    members: dict[str, bool] = field(default_factory=dict)
    """Sessions in the room, this one among them, and whether they are muted."""
    speakers: tuple[str, ...] = ()
    """Sessions of the room that speak."""
    recording: str = ""
    """started, ended or failed, where the session was made to be recorded."""
    recording_reason: str = ""
    """Why it ended or failed."""
    voices: dict[str, str] = field(default_factory=dict)
    """Whose voice comes in which m-line, by mid."""

    def take(self, message: channel_pb2.ServerMessage, now: float) -> None:
        """now: seconds since the call began."""
        match message.WhichOneof("message"):
            case "session_started":
                started = message.session_started
                self.agent, self.edge, self.worker = started.agent, started.edge, started.worker
            case "caller_turn":
                turn = message.caller_turn
                self.turns[turn.turn] = Turn(turn.turn, turn.state, turn.at_ms, turn.audio_ms, now)
            case "turn_trace":
                self._trace(message.turn_trace)
            case "agent_utterance":
                self._utterance(message.agent_utterance, now)
            case "room_members":
                self.room = message.room_members.room
                self.members = {one.session: one.muted for one in message.room_members.members}
            case "room_speakers":
                self.speakers = tuple(message.room_speakers.speaking)
                self.voices = {voice.mid: voice.session for voice in message.room_speakers.voices}
            case "recording":
                self.recording, self.recording_reason = message.recording.state, message.recording.reason
            case "session_ended":
                self.end_reason = message.session_ended.reason

    def speaking(self) -> bool:
        """Whether an utterance of the agent is under way."""
        return any(not utterance.over for utterance in self.utterances.values())

    def _trace(self, told: channel_pb2.TurnTrace) -> None:
        self.traces[told.turn] = Trace(
            told.turn,
            told.outcome,
            told.ended_by,
            told.response_ms if told.HasField("response_ms") else None,
            told.played_by if told.HasField("played_by") else None,
            [(stage.stage, stage.took_ms) for stage in told.stages],
            dict(told.marks),
        )

    def _utterance(self, told: channel_pb2.AgentUtterance, now: float) -> None:
        known = self.utterances.setdefault(told.utterance, Utterance(told.utterance, told.state, 0.0, 0.0, now))
        known.state, known.heard_ms, known.length_ms = told.state, told.heard_ms, told.length_ms
        if known.over:
            known.ended = now


def parse(text: str) -> channel_pb2.ServerMessage | None:
    """Reads one message of the session; None where it is not understood (a newer server may say more)."""
    try:
        message = json_format.Parse(text, channel_pb2.ServerMessage(), ignore_unknown_fields=True)
    except json_format.ParseError:
        return None
    return message if message.WhichOneof("message") else None


def app_data(message: channel_pb2.ServerMessage) -> Any:  # noqa: ANN401 - any JSON value
    """The agent's own message as plain JSON values."""
    return _whole(json_format.MessageToDict(message.app.data))


def _whole(value: Any) -> Any:  # noqa: ANN401
    """Protobuf knows doubles only: a number that JSON wrote without a fraction is an int again."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    return value


def app_message(data: Any) -> str:  # noqa: ANN401
    """A message for the agent's code: any JSON value."""
    message = channel_pb2.ClientMessage()
    json_format.ParseDict({"app": {"data": data}}, message)
    return json_format.MessageToJson(message, indent=None)


def turn_message(command: str) -> str:
    """press, release, commit, clear, manual or automatic."""
    message = channel_pb2.ClientMessage(turn=channel_pb2.TurnCommand(command=command))
    return json_format.MessageToJson(message, indent=None)


def bye_message() -> str:
    return json_format.MessageToJson(channel_pb2.ClientMessage(bye=channel_pb2.Bye()), indent=None)


def mute_message(*, muted: bool) -> bytes:
    """For the edge: see proto/antiphon/data/v1."""
    return bytes([16, int(muted)])


def hear_message(sessions: Collection[str]) -> bytes:
    """For the edge: only these sessions, or all where none are named."""
    if not sessions:
        return bytes([17, 0])
    names = [session.encode() for session in sessions]
    return bytes([17, 1, len(names)]) + b"".join(bytes([len(name)]) + name for name in names)
