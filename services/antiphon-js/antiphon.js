// Antiphon in the browser: one call with an agent over WebRTC, and the cluster's REST API for pages that show it.
// It touches no page but for one <audio> element, which it never attaches; drawing is the page's business.

const CHANNEL = "antiphon";
const CHANNEL_ID = 0;
const CONNECT_TIMEOUT_MS = 15_000;
const RECONNECT_TIMEOUT_MS = 30_000;
const BYE_GRACE_MS = 400;
const REPORT_MS = 250;
const IDLE_REPORT_MS = 2000;
const LONGEST_SILENCE_MS = 1000;
const SILENCE_DBFS = -100;
/** Voices of a room that are received at a time, where the page does not say; an edge takes eight at most. */
const SLOTS = 3;
const UNTRACED = { turn: 0, outcome: "", endedBy: "", responseMs: null, playedBy: null, stages: [], marks: {} };

// ---- Errors: one class for each thing that a page tells its user -------------------------------------------------

/** What happened, in words for a person (`message`), as a stable `code`, and the server's problem+json where there is one. */
export class AntiphonError extends Error {
  constructor(code, message, { problem = null, status = 0, cause } = {}) {
    super(message, { cause });
    this.name = new.target.name;
    this.code = code;
    this.problem = problem;
    this.status = status;
  }
}

/** The person or the browser refused the microphone. */
export class MicrophoneDenied extends AntiphonError {}
/** There is no microphone, or another program holds it. */
export class MicrophoneMissing extends AntiphonError {}
/** No edge has room for the call. */
export class NoEdge extends AntiphonError {}
/** No worker has room for the call. */
export class NoWorker extends AntiphonError {}
/** No live worker has this agent. */
export class UnknownAgent extends AntiphonError {}
/** The token is missing, wrong, or not allowed to do this. */
export class Unauthorized extends AntiphonError {}
/** The server cannot be reached, or media cannot pass. */
export class NetworkFailed extends AntiphonError {}
/** The server refused the request for another reason; `problem` tells it. */
export class Refused extends AntiphonError {}

function microphoneError(cause) {
  switch (cause?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new MicrophoneDenied(
        "microphone_denied",
        "The microphone is blocked for this page. Allow it in the browser's address bar, then call again.",
        { cause },
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return new MicrophoneMissing("microphone_missing", "No such microphone was found. Plug one in or choose another, then call again.", {
        cause,
      });
    default:
      return new MicrophoneMissing(
        "microphone_busy",
        "The microphone could not be opened: another program may hold it. Close that program, then call again.",
        { cause },
      );
  }
}

function problemError(status, problem) {
  const said = problem?.detail || problem?.title || `The server answered with status ${status}.`;
  const code = problem?.code;
  const details = { problem, status };
  if (status === 401 || status === 403) return new Unauthorized("unauthorized", said, details);
  if (code === "unknown_agent") return new UnknownAgent(code, said, details);
  if (code === "no_worker") return new NoWorker(code, said, details);
  if (code === "no_edge") return new NoEdge(code, said, details);
  if (status === 502 || status === 504) return new NetworkFailed("server_unreachable", said, details);
  return new Refused(code ?? "refused", said, details);
}

// ---- The REST API ----------------------------------------------------------------------------------------------

/** A signaling node's REST API, with errors as above. */
export class Cluster {
  #url;
  #token;

  constructor({ url = globalThis.location?.origin, token } = {}) {
    if (!url) throw new TypeError("url is needed outside a browser");
    this.#url = String(url).replace(/\/+$/, "");
    this.#token = token;
  }

  agents(options) {
    return this.#list("agents", options);
  }

  edges(options) {
    return this.#list("edges", options);
  }

  workers(options) {
    return this.#list("workers", options);
  }

  /** Sessions, the newest first; `live` leaves those out that have ended. */
  sessions({ live = false, limit = 100 } = {}, options) {
    return this.#list("sessions", options, `?live=${live}&limit=${limit}`);
  }

  /** Rooms with somebody in them. */
  rooms(options) {
    return this.#list("rooms", options);
  }

  /** One room: its members, who speaks, who is muted. */
  async room(name, options) {
    const response = await this.request("GET", `/v1/rooms/${encodeURIComponent(name)}`, options);
    return response.json();
  }

  /** Mutes a member of a room, or says whom it hears: `{ muted, hears: "all" | [sessions] }`. Resolves to the member. */
  async changeMember(room, session, change, options) {
    const path = `/v1/rooms/${encodeURIComponent(room)}/members/${encodeURIComponent(session)}`;
    const headers = { "Content-Type": "application/json" };
    const response = await this.request("PATCH", path, { ...options, headers, body: JSON.stringify(change) });
    return response.json();
  }

  /** One session with its state and quality as its edge sees them just now. */
  async session(id, options) {
    const response = await this.request("GET", `/v1/sessions/${encodeURIComponent(id)}`, options);
    return response.json();
  }

  async end(id, options) {
    await this.request("DELETE", `/v1/sessions/${encodeURIComponent(id)}`, options);
  }

  /** One request; resolves to a Response with a 2xx status, else rejects with an AntiphonError. */
  async request(method, path, { headers, ...init } = {}) {
    const target = new URL(path, `${this.#url}/`);
    const authorization = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    let response;
    try {
      response = await fetch(target, { method, ...init, headers: { ...authorization, ...headers } });
    } catch (cause) {
      if (cause?.name === "AbortError" || init.signal?.aborted) throw cause;
      throw new NetworkFailed("server_unreachable", `The Antiphon server at ${target.host} cannot be reached. Is it running?`, { cause });
    }
    if (response.ok) return response;
    throw problemError(response.status, await response.json().catch(() => null));
  }

  async #list(what, options, query = "") {
    const response = await this.request("GET", `/v1/${what}${query}`, options);
    return (await response.json())[what];
  }
}

// ---- Devices ---------------------------------------------------------------------------------------------------

/** Microphones and outputs of this computer. Their labels are empty until a microphone was allowed once. */
export const devices = {
  async list() {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    const pick = (kind) => all.filter((d) => d.kind === kind && d.deviceId).map(({ deviceId, label }) => ({ id: deviceId, label }));
    return { microphones: pick("audioinput"), outputs: pick("audiooutput") };
  },

  /** Whether this browser lets a page choose where sound comes out. */
  get canChooseOutput() {
    return typeof HTMLMediaElement !== "undefined" && "setSinkId" in HTMLMediaElement.prototype;
  },

  /** Calls back when a device comes or goes; returns a function that stops it. */
  watch(callback) {
    const target = navigator.mediaDevices;
    target?.addEventListener("devicechange", callback);
    return () => target?.removeEventListener("devicechange", callback);
  },
};

async function openMicrophone(audio) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MicrophoneDenied("insecure_page", "Browsers give a microphone only to pages on https:// or on this computer (localhost).");
  }
  const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  if (audio && typeof audio === "object") Object.assign(wanted, audio);
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: wanted });
  } catch (cause) {
    throw microphoneError(cause);
  }
}

// ---- Levels ----------------------------------------------------------------------------------------------------

class Meter {
  #analyser;
  #source = null;
  #samples;

  constructor(context) {
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024; // 21 ms at 48 kHz: one Opus frame
    this.#samples = new Float32Array(this.#analyser.fftSize);
  }

  listen(stream) {
    this.#source?.disconnect();
    this.#source = this.#analyser.context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  /** Root mean square in dBFS. */
  get level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    return power > 0 ? Math.max(SILENCE_DBFS, 10 * Math.log10(power)) : SILENCE_DBFS;
  }
}

// ---- SDP fragments (RFC 8840) for the ICE restart -----------------------------------------------------------------

const attribute = (sdp, name) => new RegExp(`^a=${name}:(.*?)\\r?$`, "m").exec(sdp)?.[1];

/** The offer's new ICE credentials as application/trickle-ice-sdpfrag. */
export function restartFragment(offer) {
  const mid = attribute(offer, "mid") ?? "0";
  const media = /^m=.*?(?=\r?$)/m.exec(offer)?.[0] ?? "m=audio 9 UDP/TLS/RTP/SAVPF 0";
  const lines = [`a=ice-ufrag:${attribute(offer, "ice-ufrag")}`, `a=ice-pwd:${attribute(offer, "ice-pwd")}`, media, `a=mid:${mid}`];
  return `${lines.join("\r\n")}\r\n`;
}

/** The former answer with the credentials, and candidates where there are some, of the edge's fragment. */
export function restartedAnswer(answer, fragment) {
  const ufrag = attribute(fragment, "ice-ufrag");
  const password = attribute(fragment, "ice-pwd");
  const candidates = fragment.match(/^a=candidate:.*?(?=\r?$)/gm) ?? [];
  const lines = [];
  for (const line of answer.split(/\r?\n/)) {
    if (line.startsWith("a=ice-ufrag:")) lines.push(`a=ice-ufrag:${ufrag}`);
    else if (line.startsWith("a=ice-pwd:")) lines.push(`a=ice-pwd:${password}`, ...candidates);
    else if (!(candidates.length && line.startsWith("a=candidate:"))) lines.push(line);
  }
  return lines.join("\r\n");
}

// ---- Statistics --------------------------------------------------------------------------------------------------

function readStatistics(report, before, levels) {
  const byType = (type) => [...report.values()].filter((entry) => entry.type === type && (entry.kind ?? "audio") === "audio");
  const [outbound] = byType("outbound-rtp");
  // In a room there is one for each voice: the agent's is the first m-line's, where it speaks.
  const inbounds = byType("inbound-rtp");
  const inbound = inbounds.find((entry) => entry.mid === "0" && entry.packetsReceived > 0) ?? inbounds[0];
  const [remote] = byType("remote-inbound-rtp");
  const transport = byType("transport")[0];
  const pair = report.get(transport?.selectedCandidatePairId) ?? byType("candidate-pair").find((p) => p.nominated && p.state === "succeeded");
  const far = report.get(pair?.remoteCandidateId);
  const received = inbound?.packetsReceived ?? 0;
  const lost = Math.max(0, inbound?.packetsLost ?? 0);
  const samples = inbound?.totalSamplesReceived ?? 0;
  const concealed = (inbound?.concealedSamples ?? 0) - (inbound?.silentConcealedSamples ?? 0);
  const emitted = inbound?.jitterBufferEmittedCount ?? 0;
  const delay = inbound?.jitterBufferDelay ?? 0;
  const sums = { received, lost, samples, concealed, emitted, delay };
  const since = Object.fromEntries(Object.entries(sums).map(([name, value]) => [name, value - (before?.[name] ?? 0)]));
  const ratio = (part, whole) => (whole > 0 ? Math.max(0, part) / whole : 0);
  const ms = (seconds) => (seconds === undefined ? null : seconds * 1000);
  const statistics = {
    roundTripMs: ms(remote?.roundTripTime ?? pair?.currentRoundTripTime),
    sent: {
      packets: outbound?.packetsSent ?? 0,
      bytes: outbound?.bytesSent ?? 0,
      lost: Math.max(0, remote?.packetsLost ?? 0),
      loss: remote?.fractionLost ?? 0,
      jitterMs: ms(remote?.jitter),
      retransmitted: outbound?.retransmittedPacketsSent ?? 0,
      level: levels.microphone,
    },
    received: {
      packets: received,
      bytes: inbound?.bytesReceived ?? 0,
      lost,
      loss: ratio(since.lost, since.lost + since.received),
      jitterMs: ms(inbound?.jitter),
      concealed: ratio(since.concealed, since.samples),
      bufferMs: since.emitted > 0 ? (since.delay / since.emitted) * 1000 : null,
      level: levels.agent,
    },
    edge: far ? { address: far.address ?? far.ip ?? null, port: far.port ?? null, protocol: far.protocol ?? null } : null,
  };
  return { statistics, sums };
}

// ---- Playout reports: binary messages between this SDK and the edge (proto/antiphon/data/v1) ----------------------

const PLAYOUT_REPORT = 1;
const STOP = 2;

/** How far this browser's playing of the agent's voice is, as the edge wants it: 32 octets. */
function encodePlayoutReport({ now, source, ageMs, outputMs, bufferMs, received, lost, concealed }) {
  const view = new DataView(new ArrayBuffer(32));
  const half = (value) => Math.max(0, Math.min(0xffff, Math.round(value) || 0));
  const plays = source?.rtpTimestamp !== undefined;
  view.setUint8(0, PLAYOUT_REPORT);
  view.setUint8(1, 1);
  view.setUint16(2, 1 | (plays ? 2 : 0));
  view.setUint32(4, Math.round(now));
  view.setUint32(8, plays ? source.rtpTimestamp : 0);
  view.setUint16(12, half(ageMs));
  view.setUint16(14, half(outputMs));
  view.setUint16(16, half(bufferMs));
  view.setUint32(20, received);
  view.setUint32(24, lost);
  view.setUint32(28, concealed);
  return view.buffer;
}

/** Milliseconds since a source was played. Its clock is performance.timeOrigin's; some browsers take Date's. */
function ageOf(source) {
  const ages = [performance.timeOrigin + performance.now() - source.timestamp, Date.now() - source.timestamp];
  return Math.min(...ages.map((age) => (age >= -5 ? Math.max(0, age) : Infinity)));
}

/** What playing is like, summed since the call began: packets, delays in the jitter buffer and on the way to the speaker. */
function readPlayout(report) {
  const entries = [...report.values()];
  const inbound = entries.find((entry) => entry.type === "inbound-rtp" && (entry.mid ?? "0") === "0") ?? {};
  const output = entries.find((entry) => entry.type === "media-playout") ?? {};
  return {
    received: inbound.packetsReceived ?? 0,
    lost: Math.max(0, inbound.packetsLost ?? 0),
    concealed: Math.max(0, (inbound.concealedSamples ?? 0) - (inbound.silentConcealedSamples ?? 0)),
    buffered: inbound.jitterBufferDelay ?? 0,
    emitted: inbound.jitterBufferEmittedCount ?? 0,
    delayed: output.totalPlayoutDelay ?? 0,
    played: output.totalSamplesCount ?? 0,
  };
}

const meanMs = (sum, count) => (count > 0 ? (1000 * sum) / count : 0);

// ---- Rooms -------------------------------------------------------------------------------------------------------

/** Messages for the edge (proto/antiphon/data/v1): their first byte is the type. */
const MUTE = 16;
const HEAR = 17;

function hearMessage(sessions) {
  if (sessions === null) return Uint8Array.of(HEAR, 0);
  const names = [...sessions].map((session) => new TextEncoder().encode(session));
  return Uint8Array.from([HEAR, 1, names.length, ...names.flatMap((name) => [name.length, ...name])]);
}

/** What is known of a call's room: its members, who speaks, and whose voice comes in which of the receive slots. */
class RoomState {
  name = null;
  you = null;
  #members = [];
  #speaking = [];
  #sessions = new Map();
  #slots = [];

  constructor(slots) {
    this.#slots = slots.map((transceiver) => ({ transceiver, stream: null, element: null }));
  }

  get members() {
    return this.#members.map(({ session = "", muted = false }) => ({
      session,
      muted,
      speaking: this.#speaking.includes(session),
      you: session === this.you,
    }));
  }

  get speakers() {
    return [...this.#speaking];
  }

  /** One for each slot, in a fixed order: a page may show each as a tile. */
  get voices() {
    return this.#slots.map(({ transceiver, stream }) => ({
      mid: transceiver.mid,
      stream,
      session: this.#sessions.get(transceiver.mid) ?? null,
    }));
  }

  get elements() {
    return this.#slots.flatMap(({ element }) => element ?? []);
  }

  /** The slot of a track, if it is one's. */
  slotOf(transceiver) {
    return this.#slots.find((slot) => slot.transceiver === transceiver);
  }

  takeMembers({ room = "", you = "", members = [] }) {
    this.name = room;
    this.you = you;
    this.#members = members;
  }

  takeSpeakers({ speaking = [], voices = [] }) {
    this.#speaking = speaking;
    this.#sessions = new Map(voices.map(({ mid, session }) => [mid, session]));
  }
}

// ---- The call ----------------------------------------------------------------------------------------------------

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * One call. `state` goes preparing → connecting → connected ⇄ reconnecting → ended and never back.
 * `ready` resolves once connected and rejects with what prevented it.
 */
export class Call extends EventTarget {
  #options;
  #cluster;
  #started = performance.now();
  #state = "preparing";
  #steps = [];
  #session = null;
  #local = null;
  #ownsLocal = false;
  #remote = null;
  #peer = null;
  #channel = null;
  #context = null;
  #meters = {};
  #element = null;
  #receiver = null;
  #playout = null;
  #reportedAt = -Infinity;
  #edgeStops = false;
  #unsilence = null;
  #muted = false;
  #room = new RoomState([]);
  #sums = null;
  #timers = new Set();
  #cleanups = [];
  #saidWhy = null;
  #settle;

  constructor(options = {}) {
    super();
    this.#options = options;
    this.#cluster = new Cluster(options);
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ready.catch(() => {}); // the `ended` event tells those who don't await it
    const { signal } = options;
    if (signal?.aborted) return void queueMicrotask(() => this.#end("cancelled"));
    this.#on(signal, "abort", () => this.#leave("cancelled"));
    this.#on(globalThis, "pagehide", () => this.#leave("bye", null, 0));
    this.#on(globalThis, "online", () => this.#reconnect());
    this.#setUp().catch((error) => this.#leave("error", asAntiphonError(error)));
  }

  get state() {
    return this.#state;
  }

  /** The session as the server told it when it was made: id, edge, worker, region, placement. */
  get session() {
    return this.#session;
  }

  get steps() {
    return this.#steps.map((step) => ({ ...step }));
  }

  get muted() {
    return this.#muted;
  }

  /** The agent's audio, for recording or drawing. */
  get remoteStream() {
    return this.#remote;
  }

  /** Levels at this moment, in dBFS; cheap enough for each animation frame. */
  get levels() {
    const { microphone, agent } = this.#meters;
    return { microphone: this.#muted || !microphone ? SILENCE_DBFS : microphone.level, agent: agent?.level ?? SILENCE_DBFS };
  }

  /** Who is in the call's room: `{ session, muted, speaking, you }` each. Empty in none. */
  get members() {
    return this.#room.members;
  }

  /** Sessions of the room that speak. */
  get speakers() {
    return this.#room.speakers;
  }

  /** The room's voices as they are received, by slot: `{ mid, stream, session }`; session is null where nobody is heard. */
  get voices() {
    return this.#room.voices;
  }

  /** Hears only these sessions of the room, however loud others are; all of them when called without. */
  subscribe(sessions = null) {
    this.#command(hearMessage(sessions));
  }

  mute() {
    this.#setMuted(true);
  }

  unmute() {
    this.#setMuted(false);
  }

  /** Sends any JSON value to the agent's code. */
  send(data) {
    this.#say({ app: { data } });
  }

  /** A talk button (press, release), a send button (commit), a change of mind (clear); manual: only these end turns; automatic: silence does. */
  turn(command) {
    this.#say({ turn: { command } });
  }

  #say(message) {
    if (this.#channel?.readyState !== "open") throw new AntiphonError("not_connected", "The call is not connected, so nothing can be sent.");
    this.#channel.send(JSON.stringify(message));
  }

  /** Changes to another microphone in the middle of the call. */
  async setMicrophone(deviceId) {
    const stream = await openMicrophone({ deviceId: { exact: deviceId } });
    if (this.#state === "ended") return stopTracks(stream);
    const sender = this.#peer?.getSenders().find((one) => one.track?.kind === "audio");
    await sender?.replaceTrack(stream.getAudioTracks()[0]);
    if (this.#ownsLocal) stopTracks(this.#local);
    this.#useLocal(stream, true);
  }

  /** Chooses where the agent's voice comes out; see `devices.canChooseOutput`. */
  async setOutput(deviceId) {
    await Promise.all([this.#element, ...this.#room.elements].map((element) => element?.setSinkId?.(deviceId)));
  }

  /** Starts playback that the browser held back for want of a gesture; call it from a click. */
  async resumePlayback() {
    const elements = [this.#element, ...this.#room.elements];
    await Promise.all([...elements.map((element) => element?.play()), this.#context?.state === "suspended" && this.#context.resume()]);
  }

  async statistics() {
    if (!this.#peer) return null;
    const { statistics, sums } = readStatistics(await this.#peer.getStats(), this.#sums, this.levels);
    this.#sums = sums;
    return statistics;
  }

  /** Ends the call. Resolves when the server has heard it, or cannot be reached. */
  async hangUp() {
    await this.#leave("bye");
  }

  // ---- set-up

  async #setUp() {
    this.#begin("microphone");
    const { audio = true } = this.#options;
    const given = isStream(audio);
    const stream = given ? audio : await openMicrophone(audio);
    if (this.#state === "ended") return given || stopTracks(stream);
    this.#useLocal(stream, !given);

    this.#begin("offer");
    const peer = this.#makePeer(stream);
    await peer.setLocalDescription(await peer.createOffer());
    this.#check();

    this.#begin("http");
    this.#setState("connecting");
    const answer = await this.#post(peer.localDescription.sdp);
    this.#check();

    this.#begin("ice");
    await peer.setRemoteDescription({ type: "answer", sdp: answer });
    this.#check();
    this.#later(CONNECT_TIMEOUT_MS, () => this.#state === "connecting" && this.#leave("error", this.#noMedia()));
  }

  #makePeer(stream) {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" });
    this.#peer = peer;
    peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendrecv", streams: [stream] });
    const { room, slots = SLOTS } = this.#options;
    const receive = () => peer.addTransceiver("audio", { direction: "recvonly" });
    this.#room = new RoomState(room ? Array.from({ length: slots }, receive) : []);
    // Negotiated out of band: usable as soon as SCTP is up, one round trip earlier than DCEP.
    this.#channel = peer.createDataChannel(CHANNEL, { negotiated: true, id: CHANNEL_ID });
    this.#channel.binaryType = "arraybuffer";
    this.#on(this.#channel, "message", ({ data }) => (typeof data === "string" ? this.#receive(data) : this.#receiveOfEdge(data)));
    this.#on(this.#channel, "close", () => this.#closedByEdge());
    this.#on(peer, "track", (event) => {
      const stream = event.streams[0] ?? new MediaStream([event.track]);
      const slot = this.#room.slotOf(event.transceiver);
      if (slot) this.#playVoice(slot, stream);
      else this.#play(stream, event.receiver);
    });
    this.#on(this.#channel, "open", () => this.#muted && this.#tellMuted());
    this.#on(peer, "iceconnectionstatechange", () => this.#iceChanged());
    this.#on(peer, "connectionstatechange", () => this.#connectionChanged());
    return peer;
  }

  async #post(sdp) {
    const { agent, region, metadata, room } = this.#options;
    const response = await this.#cluster.request("POST", `/v1/sessions?dcid=${CHANNEL_ID}`, {
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ sdp, agent, region, metadata, room }),
      signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS), // not the caller's: a session that was made must be known to be ended
    });
    const { sdp: answer, ...session } = await response.json();
    this.#session = session;
    return answer;
  }

  #iceChanged() {
    const { iceConnectionState } = this.#peer;
    const up = iceConnectionState === "connected" || iceConnectionState === "completed";
    if (up && this.#current() === "ice") {
      this.#begin("dtls");
      this.#on(this.#peer.getSenders?.()[0]?.transport, "statechange", () => this.#connectionChanged());
    }
    if (iceConnectionState === "disconnected" || iceConnectionState === "failed") this.#reconnect();
  }

  #connectionChanged() {
    const dtls = this.#peer.getSenders?.()[0]?.transport?.state;
    if (dtls === "closed" || dtls === "failed") this.#closedByEdge();
    else if (this.#state === "connecting" && (dtls ?? this.#peer.connectionState) === "connected") this.#connected();
  }

  #connected() {
    if (this.#current() === "ice") this.#begin("dtls"); // both changes arrived together
    this.#begin("audio");
    this.#setState("connected");
    this.#settle.resolve(this);
    const tell = (statistics) => this.#state !== "ended" && this.#emit("stats", statistics);
    this.#every(this.#options.statsIntervalMs ?? 1000, () => this.statistics().then(tell, () => {}));
    this.#every(REPORT_MS, () => this.#reportPlayout().catch(() => {}));
  }

  /** When DTLS or the channel closes: the reason is what the session's last message said, else what its record says. */
  #closedByEdge() {
    if (this.#state === "connecting") this.#leave("error", this.#noMedia());
    else this.#later(500, async () => this.#end(this.#saidWhy ?? (await this.#recordedReason()) ?? "remote"));
  }

  async #recordedReason() {
    const signal = AbortSignal.timeout(2000);
    return this.#cluster.session(this.#session.id, { signal }).then(({ reason }) => reason, () => null);
  }

  #noMedia() {
    if (/firefox/i.test(globalThis.navigator?.userAgent ?? "") && onlyLoopback(this.#peer.remoteDescription?.sdp ?? "")) {
      return new NetworkFailed(
        "no_media",
        "Firefox does not connect to loopback addresses, and the edge has no other. Use another browser, or let the edge listen on this machine's address.",
      );
    }
    return new NetworkFailed(
      "no_media",
      "The server answered, but audio cannot reach the edge: a firewall or VPN may block UDP. Try another network.",
    );
  }

  // ---- audio

  #useLocal(stream, owned) {
    this.#local = stream;
    this.#ownsLocal = owned;
    const [track] = stream.getAudioTracks();
    track.enabled = !this.#muted;
    this.#on(track, "ended", () => {
      if (this.#state === "ended" || this.#local !== stream) return;
      this.#emit("error", new MicrophoneMissing("microphone_lost", "The microphone went away. Choose another one to go on talking."));
    });
    this.#measure("microphone", stream);
  }

  #play(stream, receiver) {
    this.#remote = stream;
    this.#receiver = receiver;
    this.#element = this.#speaker(stream);
    if (this.#options.output) this.setOutput(this.#options.output).catch(() => this.#emit("error", outputMissing()));
    this.#measure("agent", stream);
    const stop = this.#every(20, () => {
      if (this.#current() !== "audio" || !receiver.getSynchronizationSources().length) return;
      this.#begin(null);
      stop();
    });
  }

  #playVoice(slot, stream) {
    slot.stream = stream;
    slot.element = this.#speaker(stream);
    if (this.#options.output) slot.element.setSinkId?.(this.#options.output).catch(() => {}); // told with the agent's
  }

  #speaker(stream) {
    const element = new Audio();
    element.autoplay = true;
    element.srcObject = stream;
    element.play()?.catch((cause) => {
      if (cause?.name === "NotAllowedError") this.#waitForGesture();
    });
    return element;
  }

  #waitForGesture() {
    this.#emit("playbackblocked", null);
    for (const type of ["pointerdown", "keydown"]) this.#on(globalThis.document, type, () => this.resumePlayback().catch(() => {}));
  }

  #measure(name, stream) {
    if (typeof AudioContext === "undefined") return;
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    if (this.#context.state === "suspended") this.#context.resume().catch(() => {});
    this.#meters[name] ??= new Meter(this.#context);
    this.#meters[name].listen(stream);
  }

  #setMuted(muted) {
    this.#muted = muted;
    for (const track of this.#local?.getAudioTracks() ?? []) track.enabled = !muted;
    this.#tellMuted();
  }

  /** The others of a room see who is muted, and the edge forwards nothing of it. */
  #tellMuted() {
    if (this.#options.room && this.#channel?.readyState === "open") this.#command(Uint8Array.of(MUTE, Number(this.#muted)));
  }

  #command(message) {
    if (!this.#options.room) throw new AntiphonError("no_room", "The call is in no room: pass `room` to connect.");
    if (this.#channel?.readyState !== "open") throw new AntiphonError("not_connected", "The call is not connected, so nothing can be sent.");
    this.#channel.send(message);
  }

  /** Tells the edge what is played, some times each second while there is something. */
  async #reportPlayout() {
    if (!this.#receiver?.getStats || this.#channel.readyState !== "open") return;
    const before = this.#playout;
    const playout = readPlayout(await this.#receiver.getStats());
    this.#playout = playout;
    const now = performance.now();
    const since = (name) => playout[name] - (before?.[name] ?? 0);
    const idle = since("received") < 5; // comfort frames are fewer
    if (this.#channel.readyState !== "open" || (idle && now - this.#reportedAt < IDLE_REPORT_MS - REPORT_MS / 2)) return;
    this.#reportedAt = now;
    const source = this.#receiver.getSynchronizationSources()[0];
    const outputMs = playout.played ? meanMs(since("delayed"), since("played")) : 1000 * (this.#context?.outputLatency ?? 0);
    const bufferMs = meanMs(since("buffered"), since("emitted"));
    const ageMs = source ? ageOf(source) : 0;
    this.#channel.send(encodePlayoutReport({ ...playout, now, source, ageMs, outputMs, bufferMs }));
  }

  /** An edge can stop sending at once, but not what lies in this browser's jitter buffer: that is silenced here. */
  #silence() {
    if (!this.#element) return;
    this.#unsilence?.();
    this.#element.muted = true;
  }

  #unsilenceAfter(ms, isOver = () => false) {
    const until = performance.now() + ms;
    const stop = this.#every(10, () => (isOver() || performance.now() >= until) && this.#unsilence?.());
    this.#unsilence = () => {
      stop();
      this.#unsilence = null;
      if (this.#element) this.#element.muted = false;
    };
  }

  /** The edge says at which timestamp what follows the stop begins: it is heard from there on, however long that takes to come. */
  #silenceUntil(timestamp) {
    this.#edgeStops = true;
    const playing = () => this.#receiver?.getSynchronizationSources()[0]?.rtpTimestamp;
    const isOver = () => ((playing() - timestamp) | 0) >= 0;
    if (playing() !== undefined && isOver()) return; // said again, or late
    this.#silence();
    this.#unsilenceAfter(playing() === undefined ? 300 : LONGEST_SILENCE_MS, isOver);
  }

  /** Without the edge's own word, the session's text has to do. It comes later, and may cut what follows. */
  #obey(state) {
    if (this.#edgeStops) return;
    const stopped = state === "held" || state === "flushed";
    if (!stopped) return void this.#unsilence?.();
    this.#silence();
    this.#unsilenceAfter(300);
  }

  #receiveOfEdge(data) {
    const view = new DataView(data);
    if (view.byteLength >= 8 && view.getUint8(0) === STOP) this.#silenceUntil(view.getUint32(4));
  }

  // ---- messages (proto/antiphon/data/v1, proto3 JSON: fields that are zero are absent)

  #receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    const { sessionStarted, callerTurn, agentUtterance, app, sessionEnded, roomMembers, roomSpeakers, turnTrace } = message;
    if (sessionStarted) this.#emit("sessionstarted", { session: "", agent: "", worker: "", edge: "", ...sessionStarted });
    else if (turnTrace) this.#emit("trace", { ...UNTRACED, ...turnTrace });
    else if (roomMembers) this.#roomChanged(() => this.#room.takeMembers(roomMembers), "members");
    else if (roomSpeakers) this.#roomChanged(() => this.#room.takeSpeakers(roomSpeakers), "speakers");
    else if (callerTurn) this.#emit("turn", { turn: 0, state: "", atMs: 0, audioMs: 0, ...callerTurn });
    else if (agentUtterance) {
      this.#obey(agentUtterance.state);
      this.#emit("utterance", { utterance: 0, state: "", heardMs: 0, lengthMs: 0, ...agentUtterance });
    } else if (app) this.#emit("message", { data: app.data ?? null });
    else if (sessionEnded) {
      this.#saidWhy = sessionEnded.reason || "remote";
      // What the agent said last is still in the jitter buffer.
      this.#later(300, () => this.#end(this.#saidWhy));
    }
  }

  #roomChanged(take, type) {
    take();
    const { name, you, members, speakers, voices } = this.#room;
    this.#emit(type, { room: name, you, members, speakers, voices });
  }

  // ---- a lost path

  async #reconnect() {
    if (this.#state !== "connected") return;
    this.#setState("reconnecting");
    const deadline = performance.now() + RECONNECT_TIMEOUT_MS;
    for (let pause = 250; this.#state === "reconnecting"; pause = Math.min(2 * pause, 4000)) {
      const error = await this.#restartIce().catch((cause) => cause);
      if (error?.status === 404 || error?.status === 410) return void this.#end(this.#saidWhy ?? "gone");
      if (!error && (await this.#isBack(4000)) && this.#state === "reconnecting") return this.#setState("connected");
      if (performance.now() > deadline) return void this.#leave("network", this.#noMedia());
      await sleep(pause);
    }
  }

  async #restartIce() {
    const peer = this.#peer;
    if (peer.signalingState === "have-local-offer") await peer.setLocalDescription({ type: "rollback" });
    const answer = peer.remoteDescription.sdp;
    const offer = await peer.createOffer({ iceRestart: true });
    await peer.setLocalDescription(offer);
    const response = await this.#cluster.request("PATCH", `/v1/sessions/${this.#session.id}`, {
      headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" },
      body: restartFragment(offer.sdp),
      signal: AbortSignal.timeout(5000),
    });
    await peer.setRemoteDescription({ type: "answer", sdp: restartedAnswer(answer, await response.text()) });
  }

  async #isBack(withinMs) {
    const deadline = performance.now() + withinMs;
    while (this.#state === "reconnecting" && performance.now() < deadline) {
      if (["connected", "completed"].includes(this.#peer.iceConnectionState)) return true;
      await sleep(50);
    }
    return false;
  }

  // ---- the end

  /** Says bye and lets the session end by it, so that its record says so; after `graceMs` it is ended through the API. */
  async #leave(reason, error = null, graceMs = BYE_GRACE_MS) {
    if (this.#state === "ended") return;
    const channel = this.#channel;
    const open = channel?.readyState === "open";
    if (open) channel.send(JSON.stringify({ bye: {} }));
    const heard = open && graceMs > 0 ? new Promise((resolve) => channel.addEventListener("close", () => resolve(true))) : false;
    this.#end(reason, error, { hold: heard !== false });
    const over = heard && (await Promise.race([heard, sleep(graceMs)]));
    this.#close();
    // keepalive: the request outlives the page.
    if (this.#session && !over) await this.#cluster.end(this.#session.id, { keepalive: true }).catch(() => {});
  }

  #close() {
    this.#channel?.close();
    this.#peer?.close();
  }

  #end(reason, error = null, { hold = false } = {}) {
    if (this.#state === "ended") return;
    for (const timer of this.#timers) clearInterval(timer);
    for (const undo of this.#cleanups.splice(0)) undo();
    if (this.#ownsLocal && this.#local) stopTracks(this.#local);
    if (!hold) this.#close();
    for (const element of [this.#element, ...this.#room.elements]) if (element) element.srcObject = null;
    this.#context?.close().catch(() => {});
    this.#meters = {};
    this.#begin(null, false);
    this.#setState("ended");
    const cancelled = reason === "cancelled" ? this.#options.signal.reason : null;
    this.#settle.reject(error ?? cancelled ?? new AntiphonError("ended", `The call ended before it was connected (${reason}).`));
    if (error) this.#emit("error", error);
    this.#emit("ended", { reason, error });
  }

  /** Throws where the call ended during an await; a session that was made meanwhile is ended too. */
  #check() {
    if (this.#state !== "ended") return;
    if (this.#session) this.#cluster.end(this.#session.id, { keepalive: true }).catch(() => {});
    throw new AntiphonError("ended", "The call has ended.");
  }

  // ---- small helpers

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #setState(state) {
    const previous = this.#state;
    this.#state = state;
    this.#emit("state", { state, previous });
  }

  #current() {
    const last = this.#steps.at(-1);
    return last && last.endMs === null ? last.name : null;
  }

  /** Ends the step that runs, done or cut short, and begins the next, if there is one. */
  #begin(name, done = true) {
    const now = performance.now() - this.#started;
    const last = this.#steps.at(-1);
    if (last && last.endMs === null) {
      last.endMs = now;
      last.done = done;
      this.#emit("step", { ...last });
    }
    if (name === null) return;
    this.#steps.push({ name, startMs: now, endMs: null, done: false });
    this.#emit("step", { ...this.#steps.at(-1) });
  }

  #on(target, type, handler) {
    if (!target?.addEventListener) return;
    target.addEventListener(type, handler);
    this.#cleanups.push(() => target.removeEventListener(type, handler));
  }

  #later(ms, action) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  #every(ms, action) {
    const timer = setInterval(action, ms);
    this.#timers.add(timer);
    return () => {
      clearInterval(timer);
      this.#timers.delete(timer);
    };
  }
}

const isStream = (audio) => typeof audio?.getAudioTracks === "function";

/** Whether every candidate of an answer is of this machine alone: Firefox pairs none of them. */
function onlyLoopback(sdp) {
  const addresses = [...sdp.matchAll(/^a=candidate:\S+ \d+ \w+ \d+ (\S+)/gm)].map(([, address]) => address);
  return addresses.length > 0 && addresses.every((address) => address === "::1" || address.startsWith("127."));
}

function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function asAntiphonError(cause) {
  if (cause instanceof AntiphonError) return cause;
  if (cause?.name === "TimeoutError") {
    return new NetworkFailed("server_unreachable", "The Antiphon server did not answer in time. Try again.", { cause });
  }
  return new AntiphonError("unexpected", `The browser could not set up the call: ${cause?.message ?? cause}.`, { cause });
}

function outputMissing() {
  return new AntiphonError("output_missing", "The chosen output is not there any more; the default one is used.");
}

/** Calls an agent. Listen on what it returns, or await its `ready`. Call it from a click, so that the browser allows playback. */
export function connect(options) {
  return new Call(options);
}
