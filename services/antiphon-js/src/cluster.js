// A signaling node's REST API. What a call makes of it is session.js's business.

import { NetworkFailed, problemError } from "./errors.js";
import { measureOnce, PROBE_MS } from "./probing.js";

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

  /** Regions with the addresses of their probes. */
  regions(options) {
    return this.#list("regions", options);
  }

  /**
   * Round trips in milliseconds by region, as this browser measures them; of regions that do not answer in time none.
   * Remembered for ten minutes, or until the network changes. Never rejects: a call can do without.
   */
  async measure({ withinMs = PROBE_MS } = {}) {
    return measureOnce(this.#url, withinMs, () => this.regions({ signal: AbortSignal.timeout(1000) }));
  }

  /** Where a caller would be placed, and why: `{ ip, region, agent, room, rtts }`, all optional. */
  async explain(wish = {}, options) {
    const headers = { "Content-Type": "application/json" };
    const response = await this.request("POST", "/v1/placements:explain", { ...options, headers, body: JSON.stringify(wish) });
    return response.json();
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

  /** All pages of a list; with a query that page alone. */
  async #list(what, options, query = "") {
    const found = [];
    for (let next = "", path = query; ; path = `?cursor=${next}`) {
      const page = await (await this.request("GET", `/v1/${what}${path}`, options)).json();
      found.push(...page[what]);
      if (query || !page.next || page.next === next) return found;
      next = page.next;
    }
  }
}
