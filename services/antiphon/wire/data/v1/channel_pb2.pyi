from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServerMessage(_message.Message):
    __slots__ = ("session_started", "caller_turn", "agent_utterance", "app", "session_ended")
    SESSION_STARTED_FIELD_NUMBER: _ClassVar[int]
    CALLER_TURN_FIELD_NUMBER: _ClassVar[int]
    AGENT_UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    SESSION_ENDED_FIELD_NUMBER: _ClassVar[int]
    session_started: SessionStarted
    caller_turn: CallerTurn
    agent_utterance: AgentUtterance
    app: AppMessage
    session_ended: SessionEnded
    def __init__(self, session_started: _Optional[_Union[SessionStarted, _Mapping]] = ..., caller_turn: _Optional[_Union[CallerTurn, _Mapping]] = ..., agent_utterance: _Optional[_Union[AgentUtterance, _Mapping]] = ..., app: _Optional[_Union[AppMessage, _Mapping]] = ..., session_ended: _Optional[_Union[SessionEnded, _Mapping]] = ...) -> None: ...

class ClientMessage(_message.Message):
    __slots__ = ("app", "bye")
    APP_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    app: AppMessage
    bye: Bye
    def __init__(self, app: _Optional[_Union[AppMessage, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ...) -> None: ...

class SessionStarted(_message.Message):
    __slots__ = ("session", "agent", "worker", "edge")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    session: str
    agent: str
    worker: str
    edge: str
    def __init__(self, session: _Optional[str] = ..., agent: _Optional[str] = ..., worker: _Optional[str] = ..., edge: _Optional[str] = ...) -> None: ...

class CallerTurn(_message.Message):
    __slots__ = ("turn", "state", "at_ms", "audio_ms")
    TURN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    turn: int
    state: str
    at_ms: float
    audio_ms: float
    def __init__(self, turn: _Optional[int] = ..., state: _Optional[str] = ..., at_ms: _Optional[float] = ..., audio_ms: _Optional[float] = ...) -> None: ...

class AgentUtterance(_message.Message):
    __slots__ = ("utterance", "state", "heard_ms", "length_ms")
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HEARD_MS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_MS_FIELD_NUMBER: _ClassVar[int]
    utterance: int
    state: str
    heard_ms: float
    length_ms: float
    def __init__(self, utterance: _Optional[int] = ..., state: _Optional[str] = ..., heard_ms: _Optional[float] = ..., length_ms: _Optional[float] = ...) -> None: ...

class AppMessage(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: _struct_pb2.Value
    def __init__(self, data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class SessionEnded(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Bye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
