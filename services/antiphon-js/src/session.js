// One session as its caller's side sees it: its set-up, what its edge and its worker say, and its end. A lost path is reconnecting.js's
// business, another edge moving.js's; the page sees it through call.js.

import { Cluster } from "./cluster.js";
import { isStream, openMicrophone, stopTracks } from "./devices.js";
import { AntiphonError, asAntiphonError, callEnded, MicrophoneMissing, noMedia, notConnected, outputMissing } from "./errors.js";
import { CHANNEL_ID, Leg, LISTEN_MS } from "./leg.js";
import { Levels, SILENCE_DBFS } from "./levels.js";
import { Lifetime, sleep } from "./lifetime.js";
import { readMessage } from "./messages.js";
import { Microphone } from "./microphone.js";
import { Moves } from "./moving.js";
import { PlayoutReports, readStop, REPORT_MS } from "./playout.js";
import { forgetRoundTrips } from "./probing.js";
import { reconnect } from "./reconnecting.js";
import { hearMessage, muteMessage, RoomState } from "./room.js";
import { Silence } from "./silence.js";
import { readStatistics } from "./statistics.js";
import { Steps } from "./steps.js";

const CONNECT_TIMEOUT_MS = 15_000;
const BYE_GRACE_MS = 400;
/** Voices of a room that are received at a time, where the page does not say; an edge takes eight at most. */
const SLOTS = 3;

export class Session {
  state = "preparing";
  /** As the server told it when it was made, or moved: id, edge, worker, region, placement. */
  record = null;
  /** The leg that carries the call, and the one that is heard. */
  leg = null;
  playing = null;
  /** The reason of its end, where it was told one. */
  saidWhy = null;
  microphone = new Microphone();
  room = new RoomState([]);
  steps = new Steps((step) => this.emit("step", step));
  moves = new Moves(this);
  #lifetime = new Lifetime();
  #levels = new Levels();
  #silence = new Silence(this.#lifetime, () => this.playing);
  #reports = new PlayoutReports();
  #sums = null;
  #measured = {};
  #left = null;
  #hears = null;
  #settle;

  /** Begins at once. `emit(type, detail)` tells the page; `settle.resolve()` says that it is connected, `settle.reject(error)` that it will not be. */
  constructor(options, emit, settle) {
    this.options = options;
    this.cluster = new Cluster(options);
    this.emit = emit;
    this.#settle = settle;
    const { signal } = options;
    if (signal?.aborted) return void queueMicrotask(() => this.end("cancelled"));
    this.#lifetime.on(signal, "abort", () => this.leave("cancelled"));
    this.#lifetime.on(globalThis, "pagehide", () => this.leave("bye", null, 0));
    this.#lifetime.on(globalThis, "online", () => (forgetRoundTrips(), reconnect(this)));
    this.#setUp().catch((error) => this.leave("error", asAntiphonError(error)));
  }

  setState(state) {
    const previous = this.state;
    this.state = state;
    this.emit("state", { state, previous });
  }

  // ---- set-up

  async #setUp() {
    this.steps.begin("microphone");
    const { audio = true, region } = this.options;
    this.#measured = region ? {} : this.cluster.measure();
    const given = isStream(audio);
    const stream = given ? audio : await openMicrophone(audio);
    if (this.state === "ended") return given || stopTracks(stream);
    this.#use(stream, !given);

    this.steps.begin("offer");
    const leg = this.makeLeg(stream);
    this.adopt(leg);
    const offer = await leg.offer();
    this.#check();

    this.steps.begin("http");
    this.setState("connecting");
    const answer = await this.#post(offer);
    this.#check();

    this.steps.begin("ice");
    await leg.accept(answer);
    this.#check();
    this.#lifetime.later(CONNECT_TIMEOUT_MS, () => this.state === "connecting" && this.leave("error", this.noMedia()));
  }

  async #post(sdp) {
    const { agent, region, metadata, room, turns, recording } = this.options;
    const measured = await this.#measured;
    const rtts = Object.keys(measured).length ? measured : undefined;
    const response = await this.cluster.request("POST", `/v1/sessions?dcid=${CHANNEL_ID}`, {
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ sdp, agent, region, metadata, room, turns, recording, rtts }),
      signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS), // not the caller's: a session that was made must be known to be ended
    });
    const { sdp: answer, ...record } = await response.json();
    this.record = record;
    return answer;
  }

  /** Throws where the call ended during an await; a session that was made meanwhile is ended too. */
  #check() {
    if (this.state !== "ended") return;
    if (this.record) this.cluster.end(this.record.id, { keepalive: true }).catch(() => {});
    throw callEnded();
  }

  // ---- legs

  /** A connection to be, and what comes of it. */
  makeLeg(stream) {
    const { room, slots = SLOTS } = this.options;
    const leg = new Leg(stream, room ? slots : 0);
    const current = () => this.leg === leg;
    const on = (target, type, handler) => this.#lifetime.on(target, type, handler);
    on(leg.channel, "message", ({ data }) => {
      if (!current()) this.#overhear(leg, data);
      else if (typeof data === "string") this.#receive(data);
      else this.#receiveOfEdge(data);
    });
    on(leg.channel, "close", () => current() && this.#closedByEdge());
    on(leg.channel, "open", () => this.#wishes.forEach((wish) => leg.send(wish)));
    on(leg.peer, "track", (event) => this.#tracked(leg, event));
    on(leg.peer, "iceconnectionstatechange", () => this.#iceChanged(leg));
    on(leg.peer, "connectionstatechange", () => this.#connectionChanged(leg));
    return leg;
  }

  /** From now on this leg carries the call, and no longer the one that it leaves for a moment beside it. */
  adopt(leg, left = null) {
    this.#left = left;
    if (left) leg.room.follow(left.room);
    this.room = leg.room;
    this.#silence.restart();
    this.#reports.restart();
    this.#sums = null;
    this.leg = leg;
    leg.beginToListen();
    if (leg.remote) this.#hear(leg);
    if (left && this.options.room) this.#toldOfRoom("speakers");
  }

  #iceChanged(leg) {
    const { iceConnectionState } = leg.peer;
    const up = iceConnectionState === "connected" || iceConnectionState === "completed";
    if (up && !leg.wasUp) {
      leg.wasUp = true;
      if (this.steps.current === "ice") this.steps.begin("dtls");
      this.#lifetime.on(leg.dtls, "statechange", () => this.#connectionChanged(leg));
    }
    if (leg !== this.leg) return;
    if (iceConnectionState === "disconnected" || iceConnectionState === "failed") reconnect(this);
  }

  #connectionChanged(leg) {
    leg.look();
    if (leg !== this.leg) return;
    if (["closed", "failed"].includes(leg.dtls?.state)) this.#closedByEdge();
    else if (this.state === "connecting" && leg.isUp) this.#connected();
  }

  #connected() {
    if (this.steps.current === "ice") this.steps.begin("dtls"); // both changes arrived together
    this.steps.begin("audio");
    this.setState("connected");
    this.#settle.resolve();
    const every = (ms, task) => this.#lifetime.every(ms, () => task().catch(() => {}));
    every(this.options.statsIntervalMs ?? 1000, async () => {
      const statistics = await this.statistics();
      if (this.state !== "ended") this.emit("stats", statistics);
    });
    every(REPORT_MS, () => this.#reports.send(this.leg.channel, this.playing?.receiver, this.#levels.outputLatencyMs));
    every(LISTEN_MS, () => this.moves.listenToEdge());
  }

  /** When DTLS or the channel closes: the reason is what the session's last message said, else what its record says. */
  #closedByEdge() {
    const { leg } = this;
    if (this.state === "connecting") this.leave("error", this.noMedia());
    else this.#lifetime.later(500, () => this.leg === leg && !this.moves.isMoving && this.#over(leg));
  }

  /** For a reason, or because its edge or its worker is lost: then the call comes back by another one. */
  async #over(leg) {
    const reason = this.saidWhy ?? (await this.#recordedReason());
    if (this.leg !== leg || this.moves.isMoving) return;
    const lost = reason === null || reason === "worker";
    if (lost && this.moves.mayReturn) this.moves.move([reason ? this.record.worker : this.record.edge]);
    else this.end(reason ?? "remote");
  }

  async #recordedReason() {
    const signal = AbortSignal.timeout(2000);
    const told = ({ state, reason }) => (state === "lost" ? null : (reason ?? null));
    return this.cluster.session(this.record.id, { signal }).then(told, () => null);
  }

  noMedia() {
    return noMedia(this.leg.answer);
  }

  // ---- what is heard

  #tracked(leg, event) {
    const stream = event.streams[0] ?? new MediaStream([event.track]);
    const slot = leg.room.slotOf(event.transceiver);
    if (slot) this.#playVoice(slot, stream);
    else this.#play(leg, stream, event.receiver);
  }

  #play(leg, stream, receiver) {
    Object.assign(leg, { remote: stream, receiver, element: this.#speaker(stream) });
    if (leg !== this.leg) return;
    this.#hear(leg);
    const stop = this.#lifetime.every(20, () => {
      if (this.steps.current !== "audio" || !receiver.getSynchronizationSources().length) return;
      this.steps.begin(null);
      stop();
    });
  }

  #hear(leg) {
    this.playing = leg;
    if (this.options.output) this.setOutput(this.options.output).catch(() => this.emit("error", outputMissing()));
    this.#levels.listen("agent", leg.remote);
  }

  #playVoice(slot, stream) {
    slot.stream = stream;
    slot.element = this.#speaker(stream);
    if (this.options.output) slot.element.setSinkId?.(this.options.output).catch(() => {}); // told with the agent's
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
    this.emit("playbackblocked", null);
    for (const type of ["pointerdown", "keydown"]) {
      this.#lifetime.on(globalThis.document, type, () => this.resumePlayback().catch(() => {}));
    }
  }

  get #elements() {
    return [this.playing?.element, ...this.room.elements].filter(Boolean);
  }

  async setOutput(deviceId) {
    await Promise.all(this.#elements.map((element) => element.setSinkId?.(deviceId)));
  }

  async resumePlayback() {
    await Promise.all([...this.#elements.map((element) => element.play()), this.#levels.resume()]);
  }

  get levels() {
    return { microphone: this.microphone.muted ? SILENCE_DBFS : this.#levels.of("microphone"), agent: this.#levels.of("agent") };
  }

  async statistics() {
    if (!this.leg) return null;
    const { statistics, sums } = readStatistics(await this.leg.peer.getStats(), this.#sums, this.levels);
    this.#sums = sums;
    return statistics;
  }

  // ---- what is said

  async setMicrophone(deviceId) {
    const stream = await openMicrophone({ deviceId: { exact: deviceId } });
    if (this.state === "ended") return stopTracks(stream);
    await this.leg?.replaceTrack(stream.getAudioTracks()[0]);
    this.#use(stream, true);
  }

  #use(stream, owned) {
    this.microphone.use(stream, owned);
    this.#lifetime.on(this.microphone.track, "ended", () => {
      if (this.state === "ended" || this.microphone.stream !== stream) return;
      this.emit("error", new MicrophoneMissing("microphone_lost", "The microphone went away. Choose another one to go on talking."));
    });
    this.#levels.listen("microphone", stream);
  }

  mute(muted) {
    this.microphone.mute(muted);
    this.#tellMuted();
  }

  /** The others of a room see who is muted, and the edge forwards nothing of it. */
  #tellMuted() {
    if (this.options.room && this.leg?.isOpen) this.command(muteMessage(this.microphone.muted));
  }

  // ---- messages

  /** To the session's worker: an object of proto/antiphon/data/v1. */
  say(message) {
    if (!this.leg?.send(JSON.stringify(message))) throw notConnected();
  }

  /** What an edge of the room is to know first: also that others have muted this member. */
  get #wishes() {
    if (!this.options.room) return [];
    const muted = this.microphone.muted || this.room.members.some((member) => member.you && member.muted);
    return [...(muted ? [muteMessage(true)] : []), ...(this.#hears ? [hearMessage(this.#hears)] : [])];
  }

  /** Hears only these sessions of the room, all where null, also at its next edge. */
  hear(sessions) {
    this.command(hearMessage(sessions));
    this.#hears = sessions && [...sessions];
  }

  /** To the edge, about the room. */
  command(message) {
    if (!this.options.room) throw new AntiphonError("no_room", "The call is in no room: pass `room` to connect.");
    if (!this.leg?.send(message)) throw notConnected();
  }

  #receiveOfEdge(data) {
    const timestamp = readStop(data);
    if (timestamp !== null) this.#silence.until(timestamp);
  }

  /** What an edge that the call comes to, or has left, says of the room. */
  #overhear(leg, data) {
    const { type, detail } = (typeof data === "string" && readMessage(data)) || {};
    if (type === "members") leg.room.takeMembers(detail);
    if (type === "speakers") leg.room.takeSpeakers(detail);
  }

  #toldOfRoom(type) {
    this.#left?.room.hush(this.room.voices.map(({ session }) => session).filter(Boolean));
    this.emit(type, this.room.all);
  }

  #receive(text) {
    const { type, detail } = readMessage(text) ?? {};
    if (type === "move") return void this.moves.move();
    if (type === "ended") return this.#toldWhy(detail.reason);
    if (type === "members") this.room.takeMembers(detail);
    if (type === "speakers") this.room.takeSpeakers(detail);
    if (type === "utterance") this.#silence.obey(detail.state);
    if (type === "members" || type === "speakers") this.#toldOfRoom(type);
    else if (type) this.emit(type, detail);
  }

  #toldWhy(reason) {
    this.saidWhy = reason;
    if (reason === "worker" && this.moves.mayReturn) return void this.moves.move([this.record.worker]);
    // What the agent said last is still in the jitter buffer.
    this.#lifetime.later(300, () => this.end(this.saidWhy));
  }

  // ---- the end

  /** Says bye and lets the session end by it, so that its record says so; after `graceMs` it is ended through the API. */
  async leave(reason, error = null, graceMs = BYE_GRACE_MS) {
    if (this.state === "ended") return;
    const channel = this.leg?.channel;
    const open = channel?.readyState === "open";
    if (open) channel.send(JSON.stringify({ bye: {} }));
    const heard = open && graceMs > 0 ? new Promise((resolve) => channel.addEventListener("close", () => resolve(true))) : false;
    this.end(reason, error, { hold: heard !== false });
    const over = heard && (await Promise.race([heard, sleep(graceMs)]));
    this.#close();
    // keepalive: the request outlives the page.
    if (this.record && !over) await this.cluster.end(this.record.id, { keepalive: true }).catch(() => {});
  }

  end(reason, error = null, { hold = false } = {}) {
    if (this.state === "ended") return;
    this.#lifetime.end();
    this.microphone.stop();
    if (!hold) this.#close();
    for (const element of this.#elements) element.srcObject = null;
    this.#levels.close();
    this.steps.begin(null, false);
    this.setState("ended");
    const cancelled = reason === "cancelled" ? this.options.signal.reason : null;
    this.#settle.reject(error ?? cancelled ?? new AntiphonError("ended", `The call ended before it was connected (${reason}).`));
    if (error) this.emit("error", error);
    this.emit("ended", { reason, error });
  }

  #close() {
    this.leg?.close();
    this.moves.cancel();
  }
}
