// A session goes on at another edge: because its own drains, or because that or its worker is lost (docs/failure.md).

import { callEnded } from "./errors.js";
import { CHANNEL_ID } from "./leg.js";
import { sleep } from "./lifetime.js";
import { RECONNECT_TIMEOUT_MS } from "./reconnecting.js";

const MOVE_TIMEOUT_MS = 5000;
/** What the edge that was left still sends is heard for so long. */
const LEAVE_MS = 500;
const MOST_RETURNS = 5;
const OFTEN_MS = 60_000;

export class Moves {
  isMoving = false;
  #session;
  #coming = null;
  #returns = [];

  constructor(session) {
    this.#session = session;
  }

  /** Whether to come back is worth a try: who is thrown out again and again shall know. */
  get mayReturn() {
    const lately = this.#returns.filter((at) => at > performance.now() - OFTEN_MS);
    const { state } = this.#session;
    return ["connected", "reconnecting"].includes(state) && lately.length < MOST_RETURNS;
  }

  /** Comes back where nothing is heard of the edge any more. */
  async listenToEdge() {
    const { leg } = this.#session;
    const silent = await leg.listen();
    if (silent && leg === this.#session.leg && this.mayReturn) this.move([this.#session.record.edge]);
  }

  /** Goes on over a new connection, beside the old one until that is not needed. Edges and workers that are lost are not asked for. */
  async move(lost = []) {
    if (this.isMoving || !this.mayReturn) return;
    this.isMoving = true;
    const session = this.#session;
    const old = session.leg;
    const deadline = performance.now() + RECONNECT_TIMEOUT_MS;
    for (let tries = 0, pause = 100; session.state !== "ended"; tries += 1, pause = Math.min(2 * pause, 2000)) {
      if (lost.length && session.state === "connected") session.setState("reconnecting");
      // An edge that was lost may have begun anew, and be the only one there is.
      const error = await this.#tryToMove(tries % 2 ? [] : lost).catch((cause) => cause);
      if (session.state === "ended") return;
      if (!error) break;
      if (!lost.length && old.isSilent) lost = [session.record.edge];
      const over = [400, 404, 410].includes(error.status) || performance.now() > deadline;
      const back = lost[0] === session.record.edge && !old.isSilent && old.peer.connectionState === "connected";
      if (!lost.length || (back && old.isCounted)) break; // it is asked again, or was never lost
      if (over) return void session.end(session.saidWhy ?? (error.status ? "gone" : "network"), error.status ? null : session.noMedia());
      await sleep(pause);
    }
    this.isMoving = false;
    if (session.state === "reconnecting") session.setState("connected");
  }

  /** Gives up the connection that is being made. */
  cancel() {
    this.#coming?.peer.close();
  }

  async #tryToMove(lost) {
    const session = this.#session;
    const { leg: left, record: before } = session;
    const leg = (this.#coming = session.makeLeg(session.microphone.stream));
    try {
      const { sdp, ...record } = await this.#post(await leg.offer(), lost);
      await leg.accept(sdp);
      const timely = await Promise.race([leg.connected.then(() => true), sleep(MOVE_TIMEOUT_MS)]);
      if (!timely) throw session.noMedia();
      if (session.state === "ended") throw callEnded();
      session.record = record;
    } catch (error) {
      leg.peer.close();
      throw error;
    } finally {
      this.#coming = null;
    }
    session.adopt(leg, left);
    session.saidWhy = null;
    this.#returns.push(performance.now());
    session.emit("moved", { from: before.edge ?? null, edge: session.record.edge ?? null });
    setTimeout(() => left.leave(), LEAVE_MS);
  }

  async #post(sdp, lost) {
    const { cluster, record, options } = this.#session;
    const { agent, region, metadata, turns } = options;
    const response = await cluster.request("POST", `/v1/sessions/${record.id}:move?dcid=${CHANNEL_ID}`, {
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ sdp, lost, agent, region, metadata, turns }),
      signal: AbortSignal.timeout(MOVE_TIMEOUT_MS),
    });
    return response.json();
  }
}
