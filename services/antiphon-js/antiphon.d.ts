/** Antiphon in the browser: one call with an agent over WebRTC, and the cluster's REST API. */

/** problem+json (RFC 9457) as the server sent it. */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  [member: string]: unknown;
}

/** What happened, in words for a person (`message`), as a stable `code`, and the server's problem+json where there is one. */
export class AntiphonError extends Error {
  constructor(code: string, message: string, details?: { problem?: Problem | null; status?: number; cause?: unknown });
  readonly code: string;
  readonly problem: Problem | null;
  /** HTTP status, or 0 where no server spoke. */
  readonly status: number;
}
/** The person or the browser refused the microphone. Codes: microphone_denied, insecure_page. */
export class MicrophoneDenied extends AntiphonError {}
/** There is no microphone, or another program holds it. Codes: microphone_missing, microphone_busy, microphone_lost. */
export class MicrophoneMissing extends AntiphonError {}
/** No edge has room for the call. */
export class NoEdge extends AntiphonError {}
/** No worker has room for the call. */
export class NoWorker extends AntiphonError {}
/** No live worker has this agent. */
export class UnknownAgent extends AntiphonError {}
/** The token is missing or wrong (unauthorized), or does not grant this (forbidden). */
export class Unauthorized extends AntiphonError {}
/** The server cannot be reached, or media cannot pass. Codes: server_unreachable, no_media. */
export class NetworkFailed extends AntiphonError {}
/** The server refused the request for another reason; `problem` tells it. */
export class Refused extends AntiphonError {}

export type State = "preparing" | "connecting" | "connected" | "reconnecting" | "ended";
export type StepName = "microphone" | "offer" | "http" | "ice" | "dtls" | "audio";

/** One step of the set-up, in milliseconds since `connect`. `audio` lasts until the agent's first frame is played. */
export interface Step {
  name: StepName;
  startMs: number;
  /** null while it runs. */
  endMs: number | null;
  /** false while it runs, and where the call ended first. */
  done: boolean;
}

export interface ServerOptions {
  /** The signaling node; the page's own origin when absent. */
  url?: string | URL;
  /** A session token that your server minted for this person, sent as a bearer token. In a trusted place, an API key. */
  token?: string;
}

export interface CallOptions extends ServerOptions {
  /** Name of the agent; in a room the room's when absent, which may be none. */
  agent?: string;
  /** Room to join: its members hear each other. */
  room?: string;
  /** How many voices of the room are received at a time, the loudest first: 3 when absent, 8 at most. */
  slots?: number;
  /** Region to be placed in; the nearest when absent. */
  region?: string;
  /** A JSON object for the agent's code. */
  metadata?: Record<string, unknown>;
  /** How the agent shall take turns with this caller; its own code may change that. */
  turns?: {
    eagerness?: "low" | "medium" | "high" | "auto";
    mode?: "automatic" | "manual";
    interruptions?: "speech" | "words" | "never";
  };
  /** Whether the call is recorded, where the operator and the session token allow it; the event `recording` tells what comes of it. */
  recording?: boolean;
  /** Constraints for the microphone, or a stream to send instead of it. */
  audio?: boolean | MediaTrackConstraints | MediaStream;
  /** Id of the output device for the agent's voice. */
  output?: string;
  /** Hangs up when aborted. */
  signal?: AbortSignal;
  /** How often `stats` is sent; 1000 when absent. */
  statsIntervalMs?: number;
}

/** Figures since the call began, but `loss`, `concealed` and `bufferMs`, which are of the last interval. */
export interface Statistics {
  roundTripMs: number | null;
  sent: {
    packets: number;
    bytes: number;
    lost: number;
    /** 0 to 1. */
    loss: number;
    jitterMs: number | null;
    retransmitted: number;
    /** dBFS. */
    level: number;
  };
  received: {
    packets: number;
    bytes: number;
    lost: number;
    /** 0 to 1. */
    loss: number;
    jitterMs: number | null;
    /** Share of played samples that were made up, 0 to 1. */
    concealed: number;
    /** Mean delay in the jitter buffer. */
    bufferMs: number | null;
    /** dBFS. */
    level: number;
  };
  /** Where the media goes. */
  edge: { address: string | null; port: number | null; protocol: string | null } | null;
}

export interface SessionStarted {
  session: string;
  agent: string;
  worker: string;
  edge: string;
}

export interface Turn {
  /** Counted from 1. */
  turn: number;
  state: "started" | "ended" | "withdrawn";
  /** Milliseconds since the caller's first frame. */
  atMs: number;
  /** Length of its audio, once ended. */
  audioMs: number;
}

export interface TurnTrace {
  turn: number;
  /** answered, silent, unheard, withdrawn, closed. */
  outcome: string;
  /** end_of_turn, silence, words, command, longest. */
  endedBy: string;
  /** From your last sound to the agent's first at your ear; null where there was none. */
  responseMs: number | null;
  /** How the last stages are known. */
  playedBy: "device" | "estimate" | null;
  /** In order; they add up to the whole. */
  stages: { stage: string; atMs: number; tookMs: number }[];
  /** What the agent's code marked besides, in milliseconds from your last sound. */
  marks: Record<string, number>;
}

export interface Utterance {
  /** Counted from 1. */
  utterance: number;
  state: "started" | "held" | "resumed" | "ended" | "flushed";
  /** Played by the caller's device so far. */
  heardMs: number;
  /** As far as known. */
  lengthMs: number;
}

/** A session in a room. */
export interface Member {
  session: string;
  /** Whether nobody hears it. */
  muted: boolean;
  speaking: boolean;
  /** Whether it is this call. */
  you: boolean;
}

/** A receive slot of a room. */
export interface Voice {
  mid: string | null;
  /** For drawing or recording; it is played without the page's doing. */
  stream: MediaStream | null;
  /** Who is heard in it now. */
  session: string | null;
}

export interface RoomState {
  room: string | null;
  /** This call's session, as the room knows it. */
  you: string | null;
  members: Member[];
  /** Sessions that speak. */
  speakers: string[];
  voices: Voice[];
}

export interface Ended {
  /** bye, hangup, api, consent, error, worker, remote, gone, network, cancelled. */
  reason: string;
  error: AntiphonError | null;
}

export interface CallEventMap {
  state: CustomEvent<{ state: State; previous: State }>;
  /** A step of the set-up began or ended. */
  step: CustomEvent<Step>;
  sessionstarted: CustomEvent<SessionStarted>;
  turn: CustomEvent<Turn>;
  utterance: CustomEvent<Utterance>;
  /** Where the time went until a turn was answered. */
  trace: CustomEvent<TurnTrace>;
  /** The call is recorded (started), or is not any more though it goes on (ended, failed). */
  recording: CustomEvent<{ state: "started" | "ended" | "failed"; reason: string }>;
  /** Somebody came to the room, left it, was muted or unmuted. */
  members: CustomEvent<RoomState>;
  /** Somebody of the room began or ceased to speak, or a slot has another voice. */
  speakers: CustomEvent<RoomState>;
  /** The call came to another edge: its own drains, or is lost, or its worker is. */
  moved: CustomEvent<{ from: string | null; edge: string | null }>;
  /** What the agent's code sent. */
  message: CustomEvent<{ data: unknown }>;
  stats: CustomEvent<Statistics>;
  /** The browser wants a gesture before it plays: call `resumePlayback` from a click. Any click or key does it too. */
  playbackblocked: CustomEvent<null>;
  /** Ends the call only where `ended` follows. */
  error: CustomEvent<AntiphonError>;
  ended: CustomEvent<Ended>;
}

/** A session as the server tells it: id, where it was placed and why. */
export interface Session {
  id: string;
  [member: string]: unknown;
}

/** One call. `state` goes preparing → connecting → connected ⇄ reconnecting → ended and never back. */
export class Call extends EventTarget {
  constructor(options?: CallOptions);
  /** Resolves once connected; rejects with what prevented it. */
  readonly ready: Promise<Call>;
  readonly state: State;
  readonly session: Session | null;
  readonly steps: Step[];
  readonly muted: boolean;
  /** The agent's audio, for recording or drawing. */
  readonly remoteStream: MediaStream | null;
  /** Levels at this moment in dBFS (-100 is silence); cheap enough for each animation frame. */
  readonly levels: { microphone: number; agent: number };
  /** Who is in the room; empty in none. */
  readonly members: Member[];
  /** Sessions of the room that speak. */
  readonly speakers: string[];
  /** The room's voices by slot. */
  readonly voices: Voice[];
  /** Silences the microphone; in a room the others see it, too. */
  mute(): void;
  unmute(): void;
  /** Hears only these sessions of the room; all of them when called without. Throws AntiphonError (no_room, not_connected). */
  subscribe(sessions?: Iterable<string> | null): void;
  /** Sends any JSON value to the agent's code. Throws AntiphonError (not_connected). */
  send(data: unknown): void;
  /**
   * A talk button (press, release), a send button (commit), a change of mind (clear). After manual only these end your turns, after automatic
   * silence does again. Throws AntiphonError (not_connected).
   */
  turn(command: "press" | "release" | "commit" | "clear" | "manual" | "automatic"): void;
  setMicrophone(deviceId: string): Promise<void>;
  setOutput(deviceId: string): Promise<void>;
  resumePlayback(): Promise<void>;
  statistics(): Promise<Statistics | null>;
  /** Ends the call. Resolves when the server has heard it, or cannot be reached. */
  hangUp(): Promise<void>;

  addEventListener<K extends keyof CallEventMap>(
    type: K,
    listener: (this: Call, event: CallEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof CallEventMap>(
    type: K,
    listener: (this: Call, event: CallEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** Calls an agent. Listen on what it returns, or await its `ready`. Call it from a click, so that the browser allows playback. */
export function connect(options?: CallOptions): Call;

export interface Device {
  id: string;
  /** Empty until a microphone was allowed once. */
  label: string;
}

export const devices: {
  list(): Promise<{ microphones: Device[]; outputs: Device[] }>;
  /** Whether this browser lets a page choose where sound comes out. */
  readonly canChooseOutput: boolean;
  /** Calls back when a device comes or goes; returns a function that stops it. */
  watch(callback: () => void): () => void;
};

/** A member as the server tells it. */
export interface RoomMember {
  session: string;
  muted: boolean;
  speaking: boolean;
  /** Whom it wants to hear. */
  hears: "all" | string[];
  /** Whose voices are forwarded to it now. */
  hearing: string[];
}

/** A room as the server tells it. */
export interface Room {
  name: string;
  edge: string;
  region: string;
  agent: string | null;
  worker: string | null;
  /** The most audible first. */
  members: RoomMember[];
  /** Sessions that are being set up. */
  joining: string[];
}

/** A signaling node's REST API; rejects with the errors above. */
export interface Region {
  name: string;
  latitude: number;
  longitude: number;
  edges: number;
  capacity: number;
  sessions: number;
  probes: { http: string; stun: string }[];
}

export interface PlacementWish {
  /** The caller's address; that of this request when absent. */
  ip?: string;
  agent?: string;
  room?: string;
  region?: string;
  /** Round trips in milliseconds by region. */
  rtts?: Record<string, number>;
}

export interface PlacementExplained {
  edge: string | null;
  region: string | null;
  worker: string | null;
  /** What was known of the caller, and every candidate with its cost and reasons. */
  placement: Record<string, unknown>;
}

export class Cluster {
  constructor(options?: ServerOptions);
  agents(options?: RequestInit): Promise<Record<string, unknown>[]>;
  edges(options?: RequestInit): Promise<Record<string, unknown>[]>;
  workers(options?: RequestInit): Promise<Record<string, unknown>[]>;
  regions(options?: RequestInit): Promise<Region[]>;
  /**
   * Round trips in milliseconds by region, as this browser measures them; of regions that do not answer in time none.
   * Remembered for ten minutes. Never rejects.
   */
  measure(limits?: { withinMs?: number }): Promise<Record<string, number>>;
  /** Where a caller would be placed, and why; nothing is claimed. */
  explain(wish?: PlacementWish, options?: RequestInit): Promise<PlacementExplained>;
  /** The newest first; `live` leaves those out that have ended. */
  sessions(query?: { live?: boolean; limit?: number }, options?: RequestInit): Promise<Session[]>;
  rooms(options?: RequestInit): Promise<Room[]>;
  room(name: string, options?: RequestInit): Promise<Room>;
  changeMember(room: string, session: string, change: { muted?: boolean; hears?: "all" | string[] }, options?: RequestInit): Promise<RoomMember>;
  /** With its state and quality as its edge sees them just now. */
  session(id: string, options?: RequestInit): Promise<Session>;
  /** Ends any session. */
  end(id: string, options?: RequestInit): Promise<void>;
  /** One request; resolves to a Response with a 2xx status. */
  request(method: string, path: string, init?: RequestInit): Promise<Response>;
}

/** The offer's new ICE credentials as application/trickle-ice-sdpfrag. */
export function restartFragment(offer: string): string;
/** The former answer with the credentials, and candidates where there are some, of the edge's fragment. */
export function restartedAnswer(answer: string, fragment: string): string;
