// Playout between this SDK and the edge, in binary messages (proto/antiphon/data/v1): reports of what this browser plays of the
// agent's voice, and the edge's word to stop. Who falls silent at it is silence.js.

/** How often a report is due while something plays, and while nothing does. */
export const REPORT_MS = 250;
const IDLE_REPORT_MS = 2000;
const PLAYOUT_REPORT = 1;
const STOP = 2;

/** The timestamp at which what follows a stop begins; null where a message is something else. */
export function readStop(data) {
  const view = new DataView(data);
  return view.byteLength >= 8 && view.getUint8(0) === STOP ? view.getUint32(4) : null;
}

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

export class PlayoutReports {
  #before = null;
  #sentAt = -Infinity;

  /** Another connection counts anew. */
  restart() {
    this.#before = null;
  }

  /** Tells the edge what is played of a receiver. To be called each `REPORT_MS`. */
  async send(channel, receiver, latencyMs) {
    if (!receiver?.getStats || channel.readyState !== "open") return;
    const before = this.#before;
    const playout = readPlayout(await receiver.getStats());
    this.#before = playout;
    const now = performance.now();
    const since = (name) => playout[name] - (before?.[name] ?? 0);
    const idle = since("received") < 5; // comfort frames are fewer
    if (channel.readyState !== "open" || (idle && now - this.#sentAt < IDLE_REPORT_MS - REPORT_MS / 2)) return;
    this.#sentAt = now;
    const source = receiver.getSynchronizationSources()[0];
    const outputMs = playout.played ? meanMs(since("delayed"), since("played")) : latencyMs;
    const bufferMs = meanMs(since("buffered"), since("emitted"));
    const ageMs = source ? ageOf(source) : 0;
    channel.send(encodePlayoutReport({ ...playout, now, source, ageMs, outputMs, bufferMs }));
  }
}
