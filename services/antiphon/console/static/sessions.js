// The table of live sessions, kept fresh while the page is seen.

import { element } from "/panels.js";
import { clock, ms, percent, plural } from "/words.js";

const REFRESH_MS = 2000;

export class SessionTable {
  #body = document.getElementById("sessions");
  #count = document.getElementById("sessions-count");
  #empty = this.#body.firstElementChild;
  #cluster;
  #mine;
  #seen;
  #failed;

  constructor(cluster, { mine, seen, failed }) {
    this.#cluster = cluster;
    this.#mine = mine;
    this.#seen = seen;
    this.#failed = failed;
    setInterval(() => document.hidden || this.refresh(), REFRESH_MS);
  }

  async refresh() {
    let live;
    try {
      live = await this.#cluster().sessions({ live: true });
    } catch (error) {
      return this.#failed(error);
    }
    this.#count.textContent = live.length ? plural(live.length, "call") : "";
    const focused = document.activeElement?.dataset?.session;
    this.#body.replaceChildren(...(live.length ? live.map((session) => this.#row(session)) : [this.#empty]));
    if (focused) this.#body.querySelector(`[data-session="${CSS.escape(focused)}"]`)?.focus();
    return undefined;
  }

  #row(session) {
    const { id, agent, region, edge, worker, state, created_ms: created, quality } = session;
    const mine = id === this.#mine();
    const row = element("tr", { title: id });
    const cell = (text, className = "") => element("td", { className, textContent: text });
    const first = cell(agent || "–");
    if (mine) {
      first.append(element("em", { textContent: "you" }));
      this.#seen(session);
    }
    const sent = (quality.packets_in ?? 0) + (quality.lost ?? 0);
    const loss = sent > 0 ? Math.max(0, quality.lost ?? 0) / sent : null;
    const rtt = quality.rtt_ms ? `${ms(quality.rtt_ms)} ms` : "–";
    const status = element("td", {}, element("span", { className: "dot" }), state);
    status.firstChild.dataset.tone = state === "connected" || state === "live" ? "good" : "wait";
    const end = element("button", { type: "button", className: "quiet small", textContent: "End", ariaLabel: `End session ${id} with ${agent}` });
    end.dataset.session = id;
    end.addEventListener("click", () => this.#end(id, end));
    row.append(first, cell(region), cell(edge), cell(worker), status);
    row.append(cell(created ? clock((Date.now() - created) / 1000) : "–", "number"), cell(rtt, "number"));
    row.append(cell(loss === null ? "–" : `${percent(loss)} %`, "number"), element("td", { className: "number" }, end));
    return row;
  }

  async #end(id, button) {
    button.disabled = true;
    try {
      await this.#cluster().end(id);
    } catch (error) {
      if (error.status !== 404) this.#failed(error);
    }
    await this.refresh();
  }
}
