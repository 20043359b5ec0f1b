// What a browser does for the interoperability scripts: calls through the SDK with a given recording as its microphone,
// keeps what it hears, and tells its statistics. Answers are JSON text in the document's data-answer attribute.

const RATE = 16000;
const POLL_MS = 50;
const BUFFER = 16384; // large, so that a busy machine loses nothing of what is heard
const held = { call: null, peer: null, pieces: [], messages: [], arrivals: [] };

/** Wraps the browser's own class, for what a peer can change of an offer and an answer before it sees them. */
function watchPeers({ repair = true }) {
  const Native = held.native ?? (held.native = window.RTCPeerConnection);
  window.RTCPeerConnection = class extends Native {
    constructor(...given) {
      super(...given);
      held.peer = this;
      this.addEventListener("track", ({ streams, track }) => listen(streams[0] ?? new MediaStream([track])));
    }

    addTransceiver(...given) {
      const transceiver = super.addTransceiver(...given);
      const codecs = (RTCRtpReceiver.getCapabilities?.("audio")?.codecs ?? []).filter(({ mimeType }) => !/red$/i.test(mimeType));
      if (!repair && codecs.length) transceiver.setCodecPreferences(codecs);
      return transceiver;
    }

    setRemoteDescription({ type, sdp }) {
      return super.setRemoteDescription({ type, sdp: repair ? sdp : sdp.replace(/^a=rtcp-fb:\d+ nack\r?\n/gm, "") });
    }
  };
}

function listen(stream) {
  const context = new AudioContext({ sampleRate: RATE, latencyHint: "playback" });
  const processor = context.createScriptProcessor(BUFFER, 1, 1);
  processor.onaudioprocess = ({ inputBuffer }) => held.pieces.push(inputBuffer.getChannelData(0).slice());
  context.createMediaStreamSource(stream).connect(processor);
  processor.connect(context.destination);
}

/** A recording (WAV, base64) as a microphone; it plays once, or round and round. */
async function microphone(wav, loop) {
  const context = new AudioContext({ sampleRate: 48000, latencyHint: "playback" });
  context.resume();
  const source = context.createBufferSource();
  source.buffer = await context.decodeAudioData(Uint8Array.from(atob(wav), (c) => c.charCodeAt(0)).buffer);
  source.loop = loop;
  const destination = context.createMediaStreamDestination();
  source.connect(destination);
  return { stream: destination.stream, start: () => source.start() };
}

/** Notes when packets arrive: [ms, how many so far], each 50 ms. */
async function watchArrivals(peer) {
  while (held.peer === peer && peer.connectionState !== "closed") {
    const report = await peer.getStats().catch(() => null);
    const inbound = [...(report?.values() ?? [])].find((entry) => entry.type === "inbound-rtp");
    if (inbound) held.arrivals.push([performance.now(), inbound.packetsReceived]);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const commands = {
  async call({ token, agent, wav, loop, repair }) {
    watchPeers({ repair });
    Object.assign(held, { pieces: [], messages: [], arrivals: [] });
    const { connect } = await import("/sdk/antiphon.js");
    const { stream, start } = await microphone(wav, loop);
    const began = performance.now();
    const call = (held.call = connect({ url: location.origin, token, agent, audio: stream }));
    call.addEventListener("message", ({ detail }) => held.messages.push(detail.data));
    call.addEventListener("utterance", ({ detail }) => held.messages.push({ utterance: detail }));
    await call.ready;
    start();
    watchArrivals(held.peer);
    return { session: call.session.id ?? call.session.session, connectedMs: performance.now() - began, answer: held.peer.remoteDescription.sdp };
  },

  async statistics() {
    const report = await held.peer.getStats();
    const all = [...report.values()];
    const one = (type) => all.find((entry) => entry.type === type && (entry.kind ?? "audio") === "audio") ?? {};
    const transport = one("transport");
    const pair = report.get(transport.selectedCandidatePairId) ?? all.find((p) => p.type === "candidate-pair" && p.nominated) ?? {};
    const codec = (entry) => report.get(entry.codecId)?.mimeType ?? null;
    const [outbound, inbound] = [one("outbound-rtp"), one("inbound-rtp")];
    return {
      outbound, inbound, transport, pair, remote: one("remote-inbound-rtp"),
      sends: codec(outbound), receives: codec(inbound),
      local: report.get(pair.localCandidateId) ?? {}, far: report.get(pair.remoteCandidateId) ?? {},
      ice: held.peer.iceConnectionState, state: held.call.state,
    };
  },

  /** The channel opens a little after the call is connected. */
  async send({ data }) {
    for (let tries = 250; ; tries--) {
      try {
        return void held.call.send(data);
      } catch (error) {
        if (tries === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
  },

  async messages() {
    return held.messages;
  },

  async arrivals() {
    return held.arrivals;
  },

  /** Everything heard since the call began: 16-bit samples at 16 kHz, base64. */
  async heard() {
    const bytes = new Uint8Array(held.pieces.length * 2 * BUFFER);
    const view = new DataView(bytes.buffer);
    held.pieces.forEach((piece, at) =>
      piece.forEach((sample, i) => view.setInt16(2 * (at * BUFFER + i), Math.max(-1, Math.min(1, sample)) * 32767, true)));
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  },

  async hangUp() {
    await held.call.hangUp();
    return held.call.state;
  },
};

window.interop = (number, name, given) => {
  const answer = (what) => (document.documentElement.dataset.answer = JSON.stringify({ number, ...what }));
  Promise.resolve(commands[name](JSON.parse(given))).then((value) => answer({ value }), (error) => answer({ error: String(error) }));
};
