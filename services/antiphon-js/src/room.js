// A call's room: what is known of it, and what the SDK tells the edge about it. Who plays its voices is session.js.

/** Messages for the edge (proto/antiphon/data/v1): their first byte is the type. */
const MUTE = 16;
const HEAR = 17;

export const muteMessage = (muted) => Uint8Array.of(MUTE, Number(muted));

/** Which sessions of the room are heard: their ids, or null for all. */
export function hearMessage(sessions) {
  if (sessions === null) return Uint8Array.of(HEAR, 0);
  const names = [...sessions].map((session) => new TextEncoder().encode(session));
  return Uint8Array.from([HEAR, 1, names.length, ...names.flatMap((name) => [name.length, ...name])]);
}

/** What is known of a call's room: its members, who speaks, and whose voice comes in which of the receive slots. */
export class RoomState {
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

  /** What a page is told when something changes. */
  get all() {
    const { name, you, members, speakers, voices } = this;
    return { room: name, you, members, speakers, voices };
  }

  /** Nobody at this edge says more of the room than was known before. */
  follow({ name, you, all: { members } }) {
    if (this.#members.length) return;
    Object.assign(this, { name, you });
    this.#members = members;
  }

  /** These are heard by another leg from now on. */
  hush(sessions) {
    for (const { transceiver, element } of this.#slots) {
      if (element && sessions.includes(this.#sessions.get(transceiver.mid))) element.muted = true;
    }
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
