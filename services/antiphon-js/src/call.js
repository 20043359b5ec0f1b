// What a page has of a call: what it may ask, what it may do, and the events that it listens to. What happens is session.js's business.

import { Session } from "./session.js";

/**
 * One call. `state` goes preparing → connecting → connected ⇄ reconnecting → ended and never back.
 * `ready` resolves once connected and rejects with what prevented it.
 */
export class Call extends EventTarget {
  #session;

  constructor(options = {}) {
    super();
    const settle = {};
    this.ready = new Promise((resolve, reject) => Object.assign(settle, { resolve: () => resolve(this), reject }));
    this.ready.catch(() => {}); // the `ended` event tells those who don't await it
    this.#session = new Session(options, (type, detail) => this.dispatchEvent(new CustomEvent(type, { detail })), settle);
  }

  get state() {
    return this.#session.state;
  }

  /** The session as the server told it when it was made: id, edge, worker, region, placement. */
  get session() {
    return this.#session.record;
  }

  get steps() {
    return this.#session.steps.all;
  }

  get muted() {
    return this.#session.microphone.muted;
  }

  /** The agent's audio, for recording or drawing. */
  get remoteStream() {
    return this.#session.playing?.remote ?? null;
  }

  /** Levels at this moment, in dBFS; cheap enough for each animation frame. */
  get levels() {
    return this.#session.levels;
  }

  /** Who is in the call's room: `{ session, muted, speaking, you }` each. Empty in none. */
  get members() {
    return this.#session.room.members;
  }

  /** Sessions of the room that speak. */
  get speakers() {
    return this.#session.room.speakers;
  }

  /** The room's voices as they are received, by slot: `{ mid, stream, session }`; session is null where nobody is heard. */
  get voices() {
    return this.#session.room.voices;
  }

  /** Hears only these sessions of the room, however loud others are; all of them when called without. */
  subscribe(sessions = null) {
    this.#session.hear(sessions);
  }

  mute() {
    this.#session.mute(true);
  }

  unmute() {
    this.#session.mute(false);
  }

  /** Sends any JSON value to the agent's code. */
  send(data) {
    this.#session.say({ app: { data } });
  }

  /** A talk button (press, release), a send button (commit), a change of mind (clear); manual: only these end turns; automatic: silence does. */
  turn(command) {
    this.#session.say({ turn: { command } });
  }

  /** Changes to another microphone in the middle of the call. */
  async setMicrophone(deviceId) {
    await this.#session.setMicrophone(deviceId);
  }

  /** Chooses where the agent's voice comes out; see `devices.canChooseOutput`. */
  async setOutput(deviceId) {
    await this.#session.setOutput(deviceId);
  }

  /** Starts playback that the browser held back for want of a gesture; call it from a click. */
  async resumePlayback() {
    await this.#session.resumePlayback();
  }

  async statistics() {
    return this.#session.statistics();
  }

  /** Ends the call. Resolves when the server has heard it, or cannot be reached. */
  async hangUp() {
    await this.#session.leave("bye");
  }
}

/** Calls an agent. Listen on what it returns, or await its `ready`. Call it from a click, so that the browser allows playback. */
export function connect(options) {
  return new Call(options);
}
