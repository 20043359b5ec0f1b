// What the SDK needs of a browser, played by hand: a peer whose states a test sets, and a server that answers from a list.

export class FakeTrack extends EventTarget {
  kind = "audio";
  enabled = true;
  stopped = false;

  stop() {
    this.stopped = true;
  }
}

export class FakeStream {
  constructor(tracks = [new FakeTrack()]) {
    this.tracks = tracks;
  }

  getTracks() {
    return this.tracks;
  }

  getAudioTracks() {
    return this.tracks;
  }
}

export class FakeChannel extends EventTarget {
  readyState = "connecting";
  sent = [];
  reports = [];

  constructor(label, options) {
    super();
    Object.assign(this, { label, options });
  }

  send(data) {
    if (typeof data === "string") this.sent.push(JSON.parse(data));
    else if (ArrayBuffer.isView(data)) this.sent.push([...data]);
    else this.reports.push(new DataView(data));
  }

  opens() {
    this.readyState = "open";
    this.dispatchEvent(new Event("open"));
  }

  close() {
    this.readyState = "closed";
  }

  /** The edge's own word: octets. */
  tells(...octets) {
    this.dispatchEvent(new MessageEvent("message", { data: Uint8Array.from(octets).buffer }));
  }

  says(message) {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
  }
}

const OFFER = (ufrag) =>
  `v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:${ufrag}\r\na=ice-pwd:pwd-${ufrag}\r\na=mid:0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n`;
export const ANSWER =
  "v=0\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:edge1\r\na=ice-pwd:secret1\r\na=candidate:1 1 udp 1 127.0.0.1 4000 typ host\r\na=mid:0\r\n";

export class FakePeer extends EventTarget {
  static last = null;
  iceConnectionState = "new";
  connectionState = "new";
  signalingState = "stable";
  remoteDescription = null;
  localDescription = null;
  closed = false;
  audible = false;
  #restarts = 0;

  constructor() {
    super();
    FakePeer.last = this;
    this.dtls = Object.assign(new EventTarget(), { state: "new" });
  }

  receivers = [];

  addTransceiver(track) {
    if (track === "audio") return this.receivers[this.receivers.push({ mid: String(this.receivers.length + 1) }) - 1];
    this.sender = { track, transport: this.dtls, replaceTrack: async (other) => void (this.sender.track = other) };
  }

  getSenders() {
    return this.sender ? [this.sender] : [];
  }

  createDataChannel(label, options) {
    return (this.channel = new FakeChannel(label, options));
  }

  async createOffer({ iceRestart = false } = {}) {
    if (iceRestart) this.#restarts += 1;
    return { type: "offer", sdp: OFFER(`page${this.#restarts}`) };
  }

  async setLocalDescription(description) {
    this.signalingState = description.type === "offer" ? "have-local-offer" : "stable";
    this.localDescription = description;
  }

  async setRemoteDescription(description) {
    this.signalingState = "stable";
    this.remoteDescription = description;
  }

  async getStats() {
    return this.stats ?? new Map();
  }

  close() {
    this.closed = true;
  }

  // ---- what a test does with it

  ice(state) {
    this.iceConnectionState = state;
    this.dispatchEvent(new Event("iceconnectionstatechange"));
  }

  connect() {
    this.secure();
    this.channel.opens();
  }

  /** ICE and DTLS are up, the channel is not yet. */
  secure() {
    this.ice("connected");
    this.dtls.state = "connected";
    this.dtls.dispatchEvent(new Event("statechange"));
    const receiver = {
      getSynchronizationSources: () => (this.audible ? [this.source ?? {}] : []),
      getStats: async () => this.playout?.() ?? new Map(),
    };
    this.dispatchEvent(Object.assign(new Event("track"), { streams: [new FakeStream()], receiver }));
    for (const transceiver of this.receivers) {
      this.dispatchEvent(Object.assign(new Event("track"), { streams: [new FakeStream()], receiver, transceiver }));
    }
  }
}

/** Replies by "METHOD path": a function of the request, or a status with a body. Requests are kept. */
export class FakeServer {
  requests = [];

  constructor(replies = {}) {
    this.replies = {
      "POST /v1/sessions": () => Response.json({ id: "ses_a", sdp: ANSWER, edge: "frankfurt-1" }, { status: 201 }),
      "DELETE /v1/sessions/ses_a": () => new Response(null, { status: 204 }),
      ...replies,
    };
  }

  fetch = async (url, init) => {
    const { pathname, search } = new URL(url);
    const key = `${init.method} ${pathname}`;
    this.requests.push({ key, search, ...init });
    const reply = this.replies[key];
    if (!reply) throw new TypeError("fetch failed");
    return reply(init);
  };

  of(key) {
    return this.requests.filter((request) => request.key === key);
  }
}

/** Installs the fakes; returns what a test steers. */
export function install({ replies, microphone = async () => new FakeStream(), userAgent = "Chrome" } = {}) {
  FakePeer.last = null;
  const server = new FakeServer(replies);
  const asked = [];
  const getUserMedia = (constraints) => {
    asked.push(constraints);
    return microphone(constraints);
  };
  class FakeAudio {
    muted = false;
    static last = null;

    constructor() {
      FakeAudio.last = this;
    }

    async play() {}
  }
  Object.assign(globalThis, { fetch: server.fetch, RTCPeerConnection: FakePeer, Audio: FakeAudio });
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: { getUserMedia }, userAgent }, configurable: true });
  return { server, asked, audio: () => FakeAudio.last, peer: () => FakePeer.last };
}

export const problem = (status, type, detail) => () =>
  new Response(JSON.stringify({ type, code: type.split(":").pop(), detail, status }), { status, headers: { "Content-Type": "application/problem+json" } });

export async function until(condition, what = "it to happen") {
  for (let waited = 0; waited < 200; waited += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited two seconds for ${what}`);
}
