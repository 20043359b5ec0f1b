from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ControlRequest(_message.Message):
    __slots__ = ("hello", "opened", "connected", "closed", "data", "ping", "pong", "room")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    opened: SessionOpened
    connected: SessionConnected
    closed: SessionClosed
    data: DataMessage
    ping: Ping
    pong: Pong
    room: RoomState
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., opened: _Optional[_Union[SessionOpened, _Mapping]] = ..., connected: _Optional[_Union[SessionConnected, _Mapping]] = ..., closed: _Optional[_Union[SessionClosed, _Mapping]] = ..., data: _Optional[_Union[DataMessage, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., room: _Optional[_Union[RoomState, _Mapping]] = ...) -> None: ...

class ControlResponse(_message.Message):
    __slots__ = ("welcome", "refused", "hang_up", "data", "ping", "pong", "pace", "policy", "member", "accepted")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    HANG_UP_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    refused: SessionRefused
    hang_up: HangUp
    data: DataMessage
    ping: Ping
    pong: Pong
    pace: Pace
    policy: SessionPolicy
    member: MemberChange
    accepted: SessionAccepted
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., refused: _Optional[_Union[SessionRefused, _Mapping]] = ..., hang_up: _Optional[_Union[HangUp, _Mapping]] = ..., data: _Optional[_Union[DataMessage, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., pace: _Optional[_Union[Pace, _Mapping]] = ..., policy: _Optional[_Union[SessionPolicy, _Mapping]] = ..., member: _Optional[_Union[MemberChange, _Mapping]] = ..., accepted: _Optional[_Union[SessionAccepted, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("edge", "region", "link", "version")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    edge: str
    region: str
    link: int
    version: int
    def __init__(self, edge: _Optional[str] = ..., region: _Optional[str] = ..., link: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("worker", "stripes", "pace")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    STRIPES_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    worker: str
    stripes: int
    pace: Pace
    def __init__(self, worker: _Optional[str] = ..., stripes: _Optional[int] = ..., pace: _Optional[_Union[Pace, _Mapping]] = ...) -> None: ...

class Pace(_message.Message):
    __slots__ = ("gather_us",)
    GATHER_US_FIELD_NUMBER: _ClassVar[int]
    gather_us: int
    def __init__(self, gather_us: _Optional[int] = ...) -> None: ...

class SessionPolicy(_message.Message):
    __slots__ = ("session", "hold_on_voice")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HOLD_ON_VOICE_FIELD_NUMBER: _ClassVar[int]
    session: int
    hold_on_voice: bool
    def __init__(self, session: _Optional[int] = ..., hold_on_voice: _Optional[bool] = ...) -> None: ...

class SessionOpened(_message.Message):
    __slots__ = ("session", "id", "epoch", "agent", "metadata", "caller", "room", "takeover")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    TAKEOVER_FIELD_NUMBER: _ClassVar[int]
    session: int
    id: str
    epoch: int
    agent: str
    metadata: str
    caller: str
    room: str
    takeover: Takeover
    def __init__(self, session: _Optional[int] = ..., id: _Optional[str] = ..., epoch: _Optional[int] = ..., agent: _Optional[str] = ..., metadata: _Optional[str] = ..., caller: _Optional[str] = ..., room: _Optional[str] = ..., takeover: _Optional[_Union[Takeover, _Mapping]] = ...) -> None: ...

class Takeover(_message.Message):
    __slots__ = ("number", "utterance", "generation")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    number: int
    utterance: int
    generation: int
    def __init__(self, number: _Optional[int] = ..., utterance: _Optional[int] = ..., generation: _Optional[int] = ...) -> None: ...

class RoomState(_message.Message):
    __slots__ = ("room", "members")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    room: str
    members: _containers.RepeatedCompositeFieldContainer[RoomMember]
    def __init__(self, room: _Optional[str] = ..., members: _Optional[_Iterable[_Union[RoomMember, _Mapping]]] = ...) -> None: ...

class RoomMember(_message.Message):
    __slots__ = ("id", "muted", "speaking")
    ID_FIELD_NUMBER: _ClassVar[int]
    MUTED_FIELD_NUMBER: _ClassVar[int]
    SPEAKING_FIELD_NUMBER: _ClassVar[int]
    id: str
    muted: bool
    speaking: bool
    def __init__(self, id: _Optional[str] = ..., muted: _Optional[bool] = ..., speaking: _Optional[bool] = ...) -> None: ...

class MemberChange(_message.Message):
    __slots__ = ("session", "muted")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MUTED_FIELD_NUMBER: _ClassVar[int]
    session: int
    muted: bool
    def __init__(self, session: _Optional[int] = ..., muted: _Optional[bool] = ...) -> None: ...

class SessionConnected(_message.Message):
    __slots__ = ("session", "setup_us")
    class SetupUsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SETUP_US_FIELD_NUMBER: _ClassVar[int]
    session: int
    setup_us: _containers.ScalarMap[str, int]
    def __init__(self, session: _Optional[int] = ..., setup_us: _Optional[_Mapping[str, int]] = ...) -> None: ...

class SessionClosed(_message.Message):
    __slots__ = ("session", "reason")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    session: int
    reason: str
    def __init__(self, session: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SessionRefused(_message.Message):
    __slots__ = ("session", "reason")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    session: int
    reason: str
    def __init__(self, session: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SessionAccepted(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: int
    def __init__(self, session: _Optional[int] = ...) -> None: ...

class HangUp(_message.Message):
    __slots__ = ("session", "reason", "after_playout")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AFTER_PLAYOUT_FIELD_NUMBER: _ClassVar[int]
    session: int
    reason: str
    after_playout: bool
    def __init__(self, session: _Optional[int] = ..., reason: _Optional[str] = ..., after_playout: _Optional[bool] = ...) -> None: ...

class DataMessage(_message.Message):
    __slots__ = ("session", "label", "binary", "payload")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    BINARY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    session: int
    label: str
    binary: bool
    payload: bytes
    def __init__(self, session: _Optional[int] = ..., label: _Optional[str] = ..., binary: _Optional[bool] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("sent_us",)
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    sent_us: int
    def __init__(self, sent_us: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("sent_us", "received_us")
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    sent_us: int
    received_us: int
    def __init__(self, sent_us: _Optional[int] = ..., received_us: _Optional[int] = ...) -> None: ...

class MediaRequest(_message.Message):
    __slots__ = ("hello", "frames", "gaps", "playout", "drops", "quality", "hints")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    PLAYOUT_FIELD_NUMBER: _ClassVar[int]
    DROPS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    hello: MediaHello
    frames: IngestFrames
    gaps: IngestGaps
    playout: PlayoutReports
    drops: IngestDrops
    quality: IngestQuality
    hints: VoiceHints
    def __init__(self, hello: _Optional[_Union[MediaHello, _Mapping]] = ..., frames: _Optional[_Union[IngestFrames, _Mapping]] = ..., gaps: _Optional[_Union[IngestGaps, _Mapping]] = ..., playout: _Optional[_Union[PlayoutReports, _Mapping]] = ..., drops: _Optional[_Union[IngestDrops, _Mapping]] = ..., quality: _Optional[_Union[IngestQuality, _Mapping]] = ..., hints: _Optional[_Union[VoiceHints, _Mapping]] = ...) -> None: ...

class MediaHello(_message.Message):
    __slots__ = ("link", "stripe")
    LINK_FIELD_NUMBER: _ClassVar[int]
    STRIPE_FIELD_NUMBER: _ClassVar[int]
    link: int
    stripe: int
    def __init__(self, link: _Optional[int] = ..., stripe: _Optional[int] = ...) -> None: ...

class IngestFrames(_message.Message):
    __slots__ = ("session", "sequence", "timestamp", "arrival_us", "duration", "level", "flags", "size", "payload")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_US_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    sequence: _containers.RepeatedScalarFieldContainer[int]
    timestamp: _containers.RepeatedScalarFieldContainer[int]
    arrival_us: _containers.RepeatedScalarFieldContainer[int]
    duration: _containers.RepeatedScalarFieldContainer[int]
    level: _containers.RepeatedScalarFieldContainer[int]
    flags: _containers.RepeatedScalarFieldContainer[int]
    size: _containers.RepeatedScalarFieldContainer[int]
    payload: bytes
    def __init__(self, session: _Optional[_Iterable[int]] = ..., sequence: _Optional[_Iterable[int]] = ..., timestamp: _Optional[_Iterable[int]] = ..., arrival_us: _Optional[_Iterable[int]] = ..., duration: _Optional[_Iterable[int]] = ..., level: _Optional[_Iterable[int]] = ..., flags: _Optional[_Iterable[int]] = ..., size: _Optional[_Iterable[int]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class IngestGaps(_message.Message):
    __slots__ = ("session", "first", "count", "state")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    first: _containers.RepeatedScalarFieldContainer[int]
    count: _containers.RepeatedScalarFieldContainer[int]
    state: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[_Iterable[int]] = ..., first: _Optional[_Iterable[int]] = ..., count: _Optional[_Iterable[int]] = ..., state: _Optional[_Iterable[int]] = ...) -> None: ...

class IngestQuality(_message.Message):
    __slots__ = ("session", "rtt_us", "jitter_us", "expected", "lost_before_repair", "repaired_red", "repaired_nack", "late", "reordered", "duplicates", "lost", "echo")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    RTT_US_FIELD_NUMBER: _ClassVar[int]
    JITTER_US_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    LOST_BEFORE_REPAIR_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_RED_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_NACK_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    REORDERED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    ECHO_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    rtt_us: _containers.RepeatedScalarFieldContainer[int]
    jitter_us: _containers.RepeatedScalarFieldContainer[int]
    expected: _containers.RepeatedScalarFieldContainer[int]
    lost_before_repair: _containers.RepeatedScalarFieldContainer[int]
    repaired_red: _containers.RepeatedScalarFieldContainer[int]
    repaired_nack: _containers.RepeatedScalarFieldContainer[int]
    late: _containers.RepeatedScalarFieldContainer[int]
    reordered: _containers.RepeatedScalarFieldContainer[int]
    duplicates: _containers.RepeatedScalarFieldContainer[int]
    lost: _containers.RepeatedScalarFieldContainer[int]
    echo: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[_Iterable[int]] = ..., rtt_us: _Optional[_Iterable[int]] = ..., jitter_us: _Optional[_Iterable[int]] = ..., expected: _Optional[_Iterable[int]] = ..., lost_before_repair: _Optional[_Iterable[int]] = ..., repaired_red: _Optional[_Iterable[int]] = ..., repaired_nack: _Optional[_Iterable[int]] = ..., late: _Optional[_Iterable[int]] = ..., reordered: _Optional[_Iterable[int]] = ..., duplicates: _Optional[_Iterable[int]] = ..., lost: _Optional[_Iterable[int]] = ..., echo: _Optional[_Iterable[int]] = ...) -> None: ...

class IngestDrops(_message.Message):
    __slots__ = ("session", "count")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    count: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[_Iterable[int]] = ..., count: _Optional[_Iterable[int]] = ...) -> None: ...

class PlayoutReports(_message.Message):
    __slots__ = ("session", "utterance", "queued", "sent", "heard", "state", "underruns", "received", "basis", "began_us", "way_us", "to_the_ear_us")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    UNDERRUNS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    BEGAN_US_FIELD_NUMBER: _ClassVar[int]
    WAY_US_FIELD_NUMBER: _ClassVar[int]
    TO_THE_EAR_US_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    utterance: _containers.RepeatedScalarFieldContainer[int]
    queued: _containers.RepeatedScalarFieldContainer[int]
    sent: _containers.RepeatedScalarFieldContainer[int]
    heard: _containers.RepeatedScalarFieldContainer[int]
    state: _containers.RepeatedScalarFieldContainer[int]
    underruns: _containers.RepeatedScalarFieldContainer[int]
    received: _containers.RepeatedScalarFieldContainer[int]
    basis: _containers.RepeatedScalarFieldContainer[int]
    began_us: _containers.RepeatedScalarFieldContainer[int]
    way_us: _containers.RepeatedScalarFieldContainer[int]
    to_the_ear_us: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[_Iterable[int]] = ..., utterance: _Optional[_Iterable[int]] = ..., queued: _Optional[_Iterable[int]] = ..., sent: _Optional[_Iterable[int]] = ..., heard: _Optional[_Iterable[int]] = ..., state: _Optional[_Iterable[int]] = ..., underruns: _Optional[_Iterable[int]] = ..., received: _Optional[_Iterable[int]] = ..., basis: _Optional[_Iterable[int]] = ..., began_us: _Optional[_Iterable[int]] = ..., way_us: _Optional[_Iterable[int]] = ..., to_the_ear_us: _Optional[_Iterable[int]] = ...) -> None: ...

class VoiceHints(_message.Message):
    __slots__ = ("session", "at_us", "timestamp", "kind", "level", "held")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    at_us: _containers.RepeatedScalarFieldContainer[int]
    timestamp: _containers.RepeatedScalarFieldContainer[int]
    kind: _containers.RepeatedScalarFieldContainer[int]
    level: _containers.RepeatedScalarFieldContainer[int]
    held: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[_Iterable[int]] = ..., at_us: _Optional[_Iterable[int]] = ..., timestamp: _Optional[_Iterable[int]] = ..., kind: _Optional[_Iterable[int]] = ..., level: _Optional[_Iterable[int]] = ..., held: _Optional[_Iterable[int]] = ...) -> None: ...

class MediaResponse(_message.Message):
    __slots__ = ("frames", "commands", "receipts")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    frames: PlayoutFrames
    commands: PlayoutCommands
    receipts: IngestReceipts
    def __init__(self, frames: _Optional[_Union[PlayoutFrames, _Mapping]] = ..., commands: _Optional[_Union[PlayoutCommands, _Mapping]] = ..., receipts: _Optional[_Union[IngestReceipts, _Mapping]] = ...) -> None: ...

class IngestReceipts(_message.Message):
    __slots__ = ("session", "timestamp")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    timestamp: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[_Iterable[int]] = ..., timestamp: _Optional[_Iterable[int]] = ...) -> None: ...

class PlayoutFrames(_message.Message):
    __slots__ = ("session", "utterance", "generation", "duration", "flags", "size", "payload", "level")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    utterance: _containers.RepeatedScalarFieldContainer[int]
    generation: _containers.RepeatedScalarFieldContainer[int]
    duration: _containers.RepeatedScalarFieldContainer[int]
    flags: _containers.RepeatedScalarFieldContainer[int]
    size: _containers.RepeatedScalarFieldContainer[int]
    payload: bytes
    level: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[_Iterable[int]] = ..., utterance: _Optional[_Iterable[int]] = ..., generation: _Optional[_Iterable[int]] = ..., duration: _Optional[_Iterable[int]] = ..., flags: _Optional[_Iterable[int]] = ..., size: _Optional[_Iterable[int]] = ..., payload: _Optional[bytes] = ..., level: _Optional[_Iterable[int]] = ...) -> None: ...

class PlayoutCommands(_message.Message):
    __slots__ = ("session", "command", "generation")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    command: _containers.RepeatedScalarFieldContainer[int]
    generation: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[_Iterable[int]] = ..., command: _Optional[_Iterable[int]] = ..., generation: _Optional[_Iterable[int]] = ...) -> None: ...
