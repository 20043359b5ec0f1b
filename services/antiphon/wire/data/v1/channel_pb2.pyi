from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServerMessage(_message.Message):
    __slots__ = ("session_started", "caller_turn", "agent_utterance", "app", "session_ended", "room_members", "room_speakers", "turn_trace", "session_move", "recording")
    SESSION_STARTED_FIELD_NUMBER: _ClassVar[int]
    CALLER_TURN_FIELD_NUMBER: _ClassVar[int]
    AGENT_UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    SESSION_ENDED_FIELD_NUMBER: _ClassVar[int]
    ROOM_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    ROOM_SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    TURN_TRACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_MOVE_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    session_started: SessionStarted
    caller_turn: CallerTurn
    agent_utterance: AgentUtterance
    app: AppMessage
    session_ended: SessionEnded
    room_members: RoomMembers
    room_speakers: RoomSpeakers
    turn_trace: TurnTrace
    session_move: SessionMove
    recording: Recording
    def __init__(self, session_started: _Optional[_Union[SessionStarted, _Mapping]] = ..., caller_turn: _Optional[_Union[CallerTurn, _Mapping]] = ..., agent_utterance: _Optional[_Union[AgentUtterance, _Mapping]] = ..., app: _Optional[_Union[AppMessage, _Mapping]] = ..., session_ended: _Optional[_Union[SessionEnded, _Mapping]] = ..., room_members: _Optional[_Union[RoomMembers, _Mapping]] = ..., room_speakers: _Optional[_Union[RoomSpeakers, _Mapping]] = ..., turn_trace: _Optional[_Union[TurnTrace, _Mapping]] = ..., session_move: _Optional[_Union[SessionMove, _Mapping]] = ..., recording: _Optional[_Union[Recording, _Mapping]] = ...) -> None: ...

class ClientMessage(_message.Message):
    __slots__ = ("app", "bye", "turn")
    APP_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    app: AppMessage
    bye: Bye
    turn: TurnCommand
    def __init__(self, app: _Optional[_Union[AppMessage, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ..., turn: _Optional[_Union[TurnCommand, _Mapping]] = ...) -> None: ...

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

class TurnTrace(_message.Message):
    __slots__ = ("turn", "outcome", "ended_by", "response_ms", "played_by", "stages", "marks")
    class MarksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TURN_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_MS_FIELD_NUMBER: _ClassVar[int]
    PLAYED_BY_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    turn: int
    outcome: str
    ended_by: str
    response_ms: float
    played_by: str
    stages: _containers.RepeatedCompositeFieldContainer[TurnStage]
    marks: _containers.ScalarMap[str, float]
    def __init__(self, turn: _Optional[int] = ..., outcome: _Optional[str] = ..., ended_by: _Optional[str] = ..., response_ms: _Optional[float] = ..., played_by: _Optional[str] = ..., stages: _Optional[_Iterable[_Union[TurnStage, _Mapping]]] = ..., marks: _Optional[_Mapping[str, float]] = ...) -> None: ...

class TurnStage(_message.Message):
    __slots__ = ("stage", "at_ms", "took_ms")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    at_ms: float
    took_ms: float
    def __init__(self, stage: _Optional[str] = ..., at_ms: _Optional[float] = ..., took_ms: _Optional[float] = ...) -> None: ...

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

class SessionMove(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Recording(_message.Message):
    __slots__ = ("state", "reason")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    state: str
    reason: str
    def __init__(self, state: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TurnCommand(_message.Message):
    __slots__ = ("command",)
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    command: str
    def __init__(self, command: _Optional[str] = ...) -> None: ...

class Bye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RoomMembers(_message.Message):
    __slots__ = ("room", "you", "members")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    YOU_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    room: str
    you: str
    members: _containers.RepeatedCompositeFieldContainer[RoomMember]
    def __init__(self, room: _Optional[str] = ..., you: _Optional[str] = ..., members: _Optional[_Iterable[_Union[RoomMember, _Mapping]]] = ...) -> None: ...

class RoomMember(_message.Message):
    __slots__ = ("session", "muted")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MUTED_FIELD_NUMBER: _ClassVar[int]
    session: str
    muted: bool
    def __init__(self, session: _Optional[str] = ..., muted: _Optional[bool] = ...) -> None: ...

class RoomSpeakers(_message.Message):
    __slots__ = ("speaking", "voices")
    SPEAKING_FIELD_NUMBER: _ClassVar[int]
    VOICES_FIELD_NUMBER: _ClassVar[int]
    speaking: _containers.RepeatedScalarFieldContainer[str]
    voices: _containers.RepeatedCompositeFieldContainer[RoomVoice]
    def __init__(self, speaking: _Optional[_Iterable[str]] = ..., voices: _Optional[_Iterable[_Union[RoomVoice, _Mapping]]] = ...) -> None: ...

class RoomVoice(_message.Message):
    __slots__ = ("mid", "session")
    MID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    mid: str
    session: str
    def __init__(self, mid: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...
