// A leg: one connection to one edge. A call has one, and two while it moves; which of them carries the call is session.js's business.

import { RoomState } from "./room.js";
import { countReceived } from "./statistics.js";

const CHANNEL = "antiphon";
export const CHANNEL_ID = 0;
/** An edge sends something several times a second, also when nobody speaks: one that is silent for so long is lost. */
const EDGE_SILENT_MS = 1500;
export const LISTEN_MS = 250;
/** Messages that may wait for the channel. */
const MAX_WAITING = 64;

export class Leg {
  peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" });
  /** Receive-only transceivers for a room's voices, and what this edge says of the room. */
  slots;
  room;
  channel;
  /** The agent's stream, its receiver and the element that plays it, once its track came. */
  remote = null;
  receiver = null;
  element = null;
  /** Whether ICE was up once. */
  wasUp = false;
  #connect;
  #waiting = [];
  /** Resolves once DTLS is up. */
  connected = new Promise((resolve) => (this.#connect = resolve));
  #heard = { count: null, at: performance.now(), looked: performance.now() };

  constructor(stream, slots) {
    this.peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendrecv", streams: [stream] });
    this.slots = Array.from({ length: slots }, () => this.peer.addTransceiver("audio", { direction: "recvonly" }));
    this.room = new RoomState(this.slots);
    // Negotiated out of band: usable as soon as SCTP is up, one round trip earlier than DCEP.
    this.channel = this.peer.createDataChannel(CHANNEL, { negotiated: true, id: CHANNEL_ID });
    this.channel.binaryType = "arraybuffer";
    this.channel.addEventListener("open", () => this.#waiting.splice(0).forEach((message) => this.channel.send(message)));
  }

  /** Sends now, or as soon as the channel is open, which takes a round trip more than DTLS. Returns whether it will. */
  send(message) {
    if (this.isOpen) this.channel.send(message);
    else if (this.isUp && this.channel.readyState === "connecting" && this.#waiting.length < MAX_WAITING) this.#waiting.push(message);
    else return false;
    return true;
  }

  /** Sends another track from now on. */
  async replaceTrack(track) {
    await this.peer.getSenders().find((one) => one.track?.kind === "audio")?.replaceTrack(track);
  }

  get isOpen() {
    return this.channel.readyState === "open";
  }

  /** The DTLS transport, where a browser shows it. */
  get dtls() {
    return this.peer.getSenders?.()[0]?.transport;
  }

  /** Whether DTLS is up. */
  get isUp() {
    return (this.dtls?.state ?? this.peer.connectionState) === "connected";
  }

  /** What the edge answered, or "". */
  get answer() {
    return this.peer.remoteDescription?.sdp ?? "";
  }

  async offer() {
    await this.peer.setLocalDescription(await this.peer.createOffer());
    return this.peer.localDescription.sdp;
  }

  async accept(sdp) {
    await this.peer.setRemoteDescription({ type: "answer", sdp });
  }

  /** Resolves `connected` once that is so. To be called when a state changes. */
  look() {
    if (this.isUp) this.#connect();
  }

  /** Counts what comes from now on. */
  beginToListen() {
    this.#heard = { count: null, at: performance.now(), looked: performance.now() };
  }

  /** Looks whether something came; returns whether the edge is silent. To be called each `LISTEN_MS`. */
  async listen() {
    const heard = this.#heard;
    const count = countReceived(await this.peer.getStats());
    const now = performance.now();
    if (count === null) return false;
    const stood = now - heard.looked > 4 * LISTEN_MS; // it was this page that stood still
    if (count !== heard.count || stood) Object.assign(heard, { count, at: now });
    heard.looked = now;
    return this.isSilent;
  }

  /** Whether this browser tells what comes. */
  get isCounted() {
    return this.#heard.count !== null;
  }

  /** Whether nothing comes any more: noticed within two seconds. */
  get isSilent() {
    return this.isCounted && performance.now() - this.#heard.at > EDGE_SILENT_MS;
  }

  close() {
    this.channel.close();
    this.peer.close();
  }

  /** Closes it, and lets its element go, when another leg is what is heard. */
  leave() {
    this.close();
    for (const element of this.room.elements) element.srcObject = null;
    if (this.element) this.element.srcObject = null;
  }
}
