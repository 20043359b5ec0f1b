// The boards beside the timeline: quality, the way of the voice with its reasons, the set-up's steps, and the list of turns.

import { showMap } from "/map.js";
import { clock, ms, percent, OUTCOMES, plural, seconds, STAGE_NAMES, STEP_NAMES } from "/words.js";

const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ---- quality

const GOOD = { rtt: 150, jitter: 30, loss: 0.02 };

export function showQuality(statistics) {
  const { roundTripMs, sent, received } = statistics;
  const figures = {
    rtt: [ms(roundTripMs), roundTripMs > GOOD.rtt],
    "loss-up": [percent(sent.loss), sent.loss > GOOD.loss],
    "loss-down": [percent(received.loss), received.loss > GOOD.loss],
    jitter: [ms(received.jitterMs), received.jitterMs > GOOD.jitter],
    buffer: [ms(received.bufferMs), false],
  };
  for (const [id, [text, poor]] of Object.entries(figures)) {
    if (text === "") continue; // nothing came in this second: the last figure stands
    byId(id).textContent = text;
    byId(id).classList.toggle("poor", poor);
  }
}

export function clearQuality() {
  for (const id of ["rtt", "loss-up", "loss-down", "jitter", "buffer"]) {
    byId(id).textContent = "";
    byId(id).classList.remove("poor");
  }
}

// ---- route

/** The candidates that placement ranked, the chosen ones marked, and before them what it says of the caller's place and its policy. */
function reasons(placement) {
  const lines = [];
  const candidates = [];
  for (const value of Object.values(placement ?? {})) {
    if (typeof value === "string") lines.push(element("li", { textContent: sentence(value) }));
    else if (Array.isArray(value)) candidates.push(...value.filter((one) => one?.why).map(candidate));
  }
  return [...lines, ...candidates];
}

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);

function candidate({ id, chosen, why }) {
  const row = element("li", { className: chosen ? "candidate chosen" : "candidate" }, element("b", { textContent: id }), ` ${why}`);
  if (chosen) row.append(element("span", { className: "hidden", textContent: " (chosen)" }));
  return row;
}


export function showRoute(session) {
  byId("route").classList.toggle("live", session !== null);
  byId("route-edge").textContent = session?.edge || "–";
  byId("route-region").textContent = session?.region || "";
  byId("route-worker").textContent = session?.worker || "–";
  byId("route-agent").textContent = session?.agent || "";
  if (!session) return;
  showMap(byId("map"), session.placement);
  const lines = reasons(session.placement);
  byId("why").replaceChildren(...(lines.length ? lines : [element("li", { textContent: "The server gave no reasons." })]));
}

// ---- set-up

export function showSteps(steps) {
  const measured = steps.filter((step) => step.name !== "audio");
  const end = Math.max(1, ...measured.map((step) => step.endMs ?? performance.now()));
  const rows = Object.entries(STEP_NAMES).map(([name, title]) => {
    const step = steps.find((one) => one.name === name);
    const row = element("li", { className: name });
    row.append(element("span", { textContent: title }), bar(step, end), element("b", { textContent: duration(step) }));
    return row;
  });
  byId("waterfall").replaceChildren(...rows);
  const [microphone] = steps;
  const ready = steps.find((step) => step.name === "dtls" && step.done);
  byId("setup-total").textContent = ready ? `Connected in ${ms(ready.endMs - microphone.endMs)} ms, microphone aside` : "";
}

const SHORTEST_RTT_MS = 5;

/** What the set-up cost, and in round trips of this path where that is long enough to matter. What the agent thinks about is not in it. */
export function showRoundTrips(steps, roundTripMs) {
  const step = (name) => steps.find((one) => one.name === name && one.done);
  const [offered, secured] = [step("http"), step("dtls")];
  if (!offered || !secured || !roundTripMs) return;
  const took = secured.endMs - offered.startMs;
  const trips = roundTripMs < SHORTEST_RTT_MS ? "" : `, ${(took / roundTripMs).toFixed(1)} round trips of ${ms(roundTripMs)} ms`;
  byId("round-trips").textContent = `From the offer until frames may flow: ${ms(took)} ms${trips}`;
}

export function clearRoundTrips() {
  byId("round-trips").textContent = "";
}

/** How often the caller's network changed under the call, and how long its voice was away. */
export function showMoves(quality) {
  const { path_changes: moves = 0, path_gap_ms: gapMs } = quality ?? {};
  byId("moves").textContent = moves > 0 ? `Moved to another path ${plural(moves, "time")}, the last gap ${ms(gapMs)} ms` : "";
}

/** How the call is sealed, as its edge sees it. */
export function showSecurity(session) {
  byId("security").textContent = session?.security ? `Sealed with ${session.security}` : "";
}

function bar(step, end) {
  const fill = element("i");
  const track = element("div", { className: "track" }, fill);
  if (!step) return track;
  if (step.name === "audio") {
    fill.className = "after";
    fill.style.left = "100%";
    return track;
  }
  const from = Math.min(1, step.startMs / end);
  fill.style.left = `min(${from * 100}%, 100% - 4px)`;
  fill.style.width = step.endMs === null ? "0" : `${((step.endMs - step.startMs) / end) * 100}%`;
  if (step.endMs !== null && !step.done) fill.className = "failed";
  return track;
}

function duration(step) {
  if (!step) return "";
  if (step.endMs === null) return "…";
  if (step.name === "audio") return step.done ? `+ ${seconds(step.endMs - step.startMs)}` : "none";
  return step.done ? `${ms(step.endMs - step.startMs)} ms` : "failed";
}

// ---- latency

/** The last turn's stages, a bar each, on one time line from the caller's last sound to the answer. */
export function showTrace({ turn, outcome, responseMs, playedBy, stages }) {
  const end = Math.max(1, ...stages.map(({ atMs }) => atMs));
  const rows = stages.map(({ stage, atMs, tookMs }) => {
    const fill = element("i");
    fill.style.left = `min(${((atMs - tookMs) / end) * 100}%, 100% - 4px)`;
    fill.style.width = `${(tookMs / end) * 100}%`;
    const row = element("li", { className: stage });
    row.append(element("span", { textContent: STAGE_NAMES[stage] ?? stage }), element("div", { className: "track" }, fill), element("b", { textContent: `${ms(tookMs)} ms` }));
    return row;
  });
  byId("stages").replaceChildren(...rows);
  const told = playedBy === "estimate" ? ", the last two estimated" : "";
  byId("latency-total").textContent = responseMs === null ? `Turn ${turn}: ${OUTCOMES[outcome] ?? outcome}` : `Turn ${turn}: answered in ${ms(responseMs)} ms${told}`;
}

export function clearTraces() {
  byId("stages").replaceChildren(element("li", { className: "none", textContent: "Once the agent answers, this says where the time went." }));
  byId("latency-total").textContent = "";
}

// ---- turns as a list

export class EventList {
  #list = byId("events");
  #rows = new Map();

  clear() {
    this.#rows.clear();
    this.#list.replaceChildren(element("li", { className: "none", textContent: "Nobody has spoken yet." }));
  }

  turn({ turn, state, audioMs }, { start }) {
    const words = { started: "speaking", ended: `spoke for ${seconds(audioMs)}`, withdrawn: "went on, so the turn is not over" };
    this.#show(`you ${turn}`, "you", "You", start, words[state] ?? state);
  }

  utterance({ utterance, state, heardMs, lengthMs }, { start }) {
    const words = {
      started: "speaking",
      resumed: "speaking",
      held: "held: you spoke",
      ended: `said it all, ${seconds(lengthMs || heardMs)}`,
      flushed: `was cut off: you heard ${seconds(heardMs)} of ${seconds(Math.max(lengthMs, heardMs))}`,
    };
    this.#show(`agent ${utterance}`, "agent", "Agent", start, words[state] ?? state);
  }

  #show(key, kind, who, start, words) {
    let row = this.#rows.get(key);
    if (!row) {
      if (!this.#rows.size) this.#list.replaceChildren();
      row = element("li", { className: kind });
      this.#rows.set(key, row);
      this.#list.append(row);
    }
    row.replaceChildren(element("time", { textContent: clock(start) }), element("b", { textContent: who }), element("span", { textContent: words }));
  }
}
