from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OpenSessionRequest(_message.Message):
    __slots__ = ("session", "epoch", "offer", "agent", "worker", "worker_address", "metadata", "caller", "data_channel", "room", "project", "owner")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    WORKER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    DATA_CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    session: str
    epoch: int
    offer: str
    agent: str
    worker: str
    worker_address: str
    metadata: str
    caller: str
    data_channel: int
    room: str
    project: str
    owner: str
    def __init__(self, session: _Optional[str] = ..., epoch: _Optional[int] = ..., offer: _Optional[str] = ..., agent: _Optional[str] = ..., worker: _Optional[str] = ..., worker_address: _Optional[str] = ..., metadata: _Optional[str] = ..., caller: _Optional[str] = ..., data_channel: _Optional[int] = ..., room: _Optional[str] = ..., project: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class OpenSessionResponse(_message.Message):
    __slots__ = ("answer", "ufrag")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    UFRAG_FIELD_NUMBER: _ClassVar[int]
    answer: str
    ufrag: str
    def __init__(self, answer: _Optional[str] = ..., ufrag: _Optional[str] = ...) -> None: ...

class RestartIceRequest(_message.Message):
    __slots__ = ("session", "epoch", "sdpfrag")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SDPFRAG_FIELD_NUMBER: _ClassVar[int]
    session: str
    epoch: int
    sdpfrag: str
    def __init__(self, session: _Optional[str] = ..., epoch: _Optional[int] = ..., sdpfrag: _Optional[str] = ...) -> None: ...

class RestartIceResponse(_message.Message):
    __slots__ = ("sdpfrag", "ufrag")
    SDPFRAG_FIELD_NUMBER: _ClassVar[int]
    UFRAG_FIELD_NUMBER: _ClassVar[int]
    sdpfrag: str
    ufrag: str
    def __init__(self, sdpfrag: _Optional[str] = ..., ufrag: _Optional[str] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session", "epoch", "reason")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    session: str
    epoch: int
    reason: str
    def __init__(self, session: _Optional[str] = ..., epoch: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("state", "setup_us", "quality", "remote", "security", "project", "owner")
    class SetupUsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class QualityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    SETUP_US_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    REMOTE_FIELD_NUMBER: _ClassVar[int]
    SECURITY_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    state: str
    setup_us: _containers.ScalarMap[str, int]
    quality: _containers.ScalarMap[str, float]
    remote: str
    security: str
    project: str
    owner: str
    def __init__(self, state: _Optional[str] = ..., setup_us: _Optional[_Mapping[str, int]] = ..., quality: _Optional[_Mapping[str, float]] = ..., remote: _Optional[str] = ..., security: _Optional[str] = ..., project: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class GetSessionsRequest(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sessions: _Optional[_Iterable[str]] = ...) -> None: ...

class GetSessionsResponse(_message.Message):
    __slots__ = ("sessions",)
    class SessionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: GetSessionResponse
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[GetSessionResponse, _Mapping]] = ...) -> None: ...
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.MessageMap[str, GetSessionResponse]
    def __init__(self, sessions: _Optional[_Mapping[str, GetSessionResponse]] = ...) -> None: ...

class GetRoomsRequest(_message.Message):
    __slots__ = ("rooms",)
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    rooms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rooms: _Optional[_Iterable[str]] = ...) -> None: ...

class GetRoomsResponse(_message.Message):
    __slots__ = ("rooms",)
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    rooms: _containers.RepeatedCompositeFieldContainer[Room]
    def __init__(self, rooms: _Optional[_Iterable[_Union[Room, _Mapping]]] = ...) -> None: ...

class Room(_message.Message):
    __slots__ = ("name", "members")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, name: _Optional[str] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("session", "muted", "speaking", "hears", "hearing")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MUTED_FIELD_NUMBER: _ClassVar[int]
    SPEAKING_FIELD_NUMBER: _ClassVar[int]
    HEARS_FIELD_NUMBER: _ClassVar[int]
    HEARING_FIELD_NUMBER: _ClassVar[int]
    session: str
    muted: bool
    speaking: bool
    hears: Sessions
    hearing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session: _Optional[str] = ..., muted: _Optional[bool] = ..., speaking: _Optional[bool] = ..., hears: _Optional[_Union[Sessions, _Mapping]] = ..., hearing: _Optional[_Iterable[str]] = ...) -> None: ...

class Sessions(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sessions: _Optional[_Iterable[str]] = ...) -> None: ...

class ChangeMemberRequest(_message.Message):
    __slots__ = ("session", "epoch", "muted", "all", "only")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MUTED_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    ONLY_FIELD_NUMBER: _ClassVar[int]
    session: str
    epoch: int
    muted: bool
    all: bool
    only: Sessions
    def __init__(self, session: _Optional[str] = ..., epoch: _Optional[int] = ..., muted: _Optional[bool] = ..., all: _Optional[bool] = ..., only: _Optional[_Union[Sessions, _Mapping]] = ...) -> None: ...

class ChangeMemberResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
