// The console: wires the page to the SDK. One call at a time; what the panels draw is theirs.

import { Cluster, connect, devices } from "/sdk/antiphon.js";
import { Meters } from "/meters.js";
import { clearQuality, clearRoundTrips, clearTraces, element, EventList, showMoves, showQuality, showRoundTrips, showRoute, showSecurity, showSteps, showTrace } from "/panels.js";
import { RoomPanel, wishedRoom } from "/room.js";
import { SessionTable } from "/sessions.js";
import { Timeline } from "/timeline.js";
import { advice, clock, plural, reason, STATES } from "/words.js";

const LOOK_AGAIN_MS = 2000;
const byId = (id) => document.getElementById(id);

let token = stored("antiphon-key");
let narrow = null; // the token that may not list workers
let call = null;
let connectedAt = 0;
let reachable = false;

const cluster = () => new Cluster({ token: token ?? undefined });
const timeline = new Timeline(byId("timeline"));
const meters = new Meters();
const events = new EventList();
const room = new RoomPanel(cluster, (error) => complain(error));
const table = new SessionTable(cluster, { mine: () => call?.session?.id ?? null, seen: seenByEdge, failed: (error) => lookedFor(error) });

/** What the call's record says of it. */
function seenByEdge(session) {
  showSecurity(session);
  showMoves(session.quality);
  showRoundTrips(call?.steps ?? [], session.quality?.rtt_ms);
}

function stored(key, value) {
  try {
    if (value !== undefined) sessionStorage.setItem(key, value);
    return sessionStorage.getItem(key);
  } catch {
    return value ?? null; // storage is blocked: kept for this page only
  }
}

// ---- the cluster: agents, regions, health

async function look() {
  try {
    const [agents, edges, workers] = await Promise.all([cluster().agents(), cluster().edges(), workersIfAllowed()]);
    offer("agents", "agent", agents.map(({ name }) => name));
    offer("regions", "region", ["", ...new Set(edges.map(({ region }) => region))]);
    lookedFor(null, agents, edges, workers);
  } catch (error) {
    lookedFor(error);
  }
}

/** A session token's bearer may not list them, and is not asked for them again. */
async function workersIfAllowed() {
  if (token !== null && token === narrow) return null;
  try {
    return await cluster().workers();
  } catch (error) {
    if (error.code !== "forbidden") throw error;
    narrow = token;
    return null;
  }
}

function lookedFor(error, agents = [], edges = [], workers = []) {
  reachable = error === null && agents.length > 0 && edges.length > 0;
  const words = error
    ? advice(error)[0]
    : [plural(edges.length, "edge"), ...(workers ? [plural(workers.length, "worker")] : [])].join(", ");
  byId("cluster-words").textContent = words;
  document.querySelector("#cluster .dot").dataset.tone = error ? "bad" : reachable ? "good" : "wait";
  if (call) return;
  byId("talk").disabled = !reachable;
  if (error) complain(error);
  else if (["server_unreachable", "unauthorized"].includes(byId("alert").dataset.code)) calm();
  if (reachable && !byId("status").dataset.over) say(`Ready. Press Talk, and speak with ${chosen("agent")}.`);
  else if (!error && !edges.length) say("No edge yet. The cluster may still be starting.");
  else if (!error && !agents.length) say("No worker with an agent yet. The cluster may still be starting.");
  else if (error) say("");
}

/** Fills a group of radio buttons without disturbing the choice, or the focus, of a person. */
function offer(group, name, values) {
  const box = byId(group).querySelector(".chips");
  const known = [...box.querySelectorAll("input")].map((input) => input.value);
  if (known.join() === values.join() && known.length) return;
  const before = chosen(name) ?? (name === "agent" ? "parrot" : "");
  const pick = values.includes(before) ? before : values[0];
  const chips = values.map((value) => {
    const input = element("input", { type: "radio", name, value, checked: value === pick });
    return element("label", { className: "chip" }, input, element("span", { textContent: value || "Nearest" }));
  });
  box.replaceChildren(...(chips.length ? chips : [element("p", { className: "none", textContent: "None yet" })]));
}

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value ?? null;

// ---- words

function say(words) {
  const status = byId("status");
  if (status.textContent !== words) status.textContent = words;
}

function complain(error) {
  const [title, words] = advice(error);
  byId("alert").dataset.code = error.code;
  byId("alert-title").textContent = title;
  byId("alert-words").textContent = words;
  byId("key").hidden = error.code !== "unauthorized";
  byId("alert").hidden = false;
}

function calm() {
  byId("alert").hidden = true;
  byId("alert").dataset.code = "";
}

// ---- the call

function talk() {
  calm();
  clearQuality();
  showRoute(null);
  showSecurity(null);
  showMoves(null);
  clearRoundTrips();
  const wished = wishedRoom();
  const placed = connect({
    token: token ?? undefined,
    agent: wished.alone ? undefined : (chosen("agent") ?? undefined),
    room: wished.room,
    region: chosen("region") || undefined,
    metadata: { client: "console" },
    audio: byId("microphone").value ? { deviceId: { exact: byId("microphone").value } } : true,
    output: byId("speaker").value || undefined,
  });
  call = placed;
  byId("status").dataset.over = "";
  lock(true);
  stage(placed.state);
  showSteps(placed.steps);
  clearTraces();
  placed.addEventListener("state", ({ detail }) => stage(detail.state));
  placed.addEventListener("step", () => showSteps(placed.steps));
  placed.addEventListener("stats", ({ detail }) => showQuality(detail));
  placed.addEventListener("turn", ({ detail }) => events.turn(detail, timeline.turn(detail)));
  placed.addEventListener("trace", ({ detail }) => showTrace(detail));
  placed.addEventListener("utterance", ({ detail }) => events.utterance(detail, timeline.utterance(detail)));
  placed.addEventListener("members", ({ detail }) => room.show(detail));
  placed.addEventListener("speakers", ({ detail }) => room.show(detail));
  placed.addEventListener("sessionstarted", ({ detail }) => showRoute({ ...placed.session, ...withoutBlanks(detail) }));
  placed.addEventListener("playbackblocked", () => say("Your browser holds the sound back: click anywhere to hear the agent."));
  placed.addEventListener("error", ({ detail }) => complain(detail));
  placed.addEventListener("ended", ({ detail }) => ended(detail));
  placed.ready.then(began, () => {});
}

const withoutBlanks = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));

function stage(state) {
  const live = state === "connected" || state === "reconnecting";
  byId("stage").dataset.state = state === "ended" ? "idle" : state;
  byId("talk-label").textContent = state === "ended" ? "Talk" : live ? "Hang up" : "Cancel";
  byId("mute").disabled = !live;
  if (STATES[state]) say(`${STATES[state]}…`);
  if (state === "connected") tick();
  if (call?.session) showRoute(call.session);
}

function began() {
  connectedAt = performance.now();
  timeline.start();
  events.clear();
  meters.start(() => call?.levels ?? { microphone: -100, agent: -100 }, (you, agent) => timeline.level(you, agent));
  tick();
  table.refresh();
  listDevices();
}

function tick() {
  if (call?.state !== "connected" || !connectedAt) return;
  const muted = call.muted ? ", muted" : "";
  document.title = `${clock((performance.now() - connectedAt) / 1000)} · Antiphon`;
  const { room: name, alone } = wishedRoom();
  say(`Talking ${alone ? `in room ${name}` : `with ${chosen("agent")}`}${muted}`);
}

function ended({ reason: why, error }) {
  const lasted = connectedAt ? ` after ${clock((performance.now() - connectedAt) / 1000)}` : "";
  call = null;
  connectedAt = 0;
  timeline.stop();
  meters.stop();
  room.clear();
  lock(false);
  setMuted(false);
  byId("route").classList.remove("live");
  document.title = "Antiphon";
  byId("status").dataset.over = "1";
  say(error ? "" : `${reason(why)}${lasted}.`);
  byId("talk").disabled = !reachable;
  table.refresh();
}

function lock(busy) {
  for (const input of document.querySelectorAll('input[name="agent"], input[name="region"], .room input')) input.disabled = busy;
}

function setMuted(muted) {
  byId("mute").setAttribute("aria-pressed", String(muted));
  byId("mute").textContent = muted ? "Unmute" : "Mute";
  byId("meter-you").classList.toggle("muted", muted);
  if (!call) return;
  if (muted) call.mute();
  else call.unmute();
  tick();
}

// ---- devices

async function listDevices() {
  const { microphones, outputs } = await devices.list();
  fill(byId("microphone"), microphones, "Microphone");
  fill(byId("speaker"), devices.canChooseOutput ? outputs : [], "Speaker");
  byId("speaker").disabled = !devices.canChooseOutput;
}

function fill(select, found, word) {
  const before = select.value;
  const options = found
    .filter(({ id }) => id !== "default" && id !== "communications")
    .map(({ id, label }, index) => new Option(label || `${word} ${index + 1}`, id));
  select.replaceChildren(new Option("Default", ""), ...options);
  select.value = options.some(({ value }) => value === before) ? before : "";
}

function change(method, select) {
  call?.[method](select.value || "default").catch((error) => complain(error.code ? error : { code: "output_missing" }));
}

// ---- theme

function theme() {
  return document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  byId("theme").setAttribute("aria-label", `Change to the ${theme() === "dark" ? "light" : "dark"} theme`);
  timeline.restyle();
  try {
    if (name) localStorage.setItem("antiphon-theme", name);
  } catch {
    // Storage is blocked: the choice lasts as long as the page.
  }
}

// ---- wiring

byId("talk").addEventListener("click", () => (call ? call.hangUp() : talk()));
byId("mute").addEventListener("click", () => setMuted(!call?.muted));
byId("microphone").addEventListener("change", ({ target }) => change("setMicrophone", target));
byId("speaker").addEventListener("change", ({ target }) => change("setOutput", target));
byId("theme").addEventListener("click", () => setTheme(theme() === "dark" ? "light" : "dark"));
byId("agents").addEventListener("change", () => reachable && say(`Ready. Press Talk, and speak with ${chosen("agent")}.`));
byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("key-value").value.trim();
  stored("antiphon-key", token);
  byId("key-value").value = "";
  look();
});
// Space places and ends the call from anywhere but where it means something else.
document.addEventListener("keydown", (event) => {
  const takesKeys = event.target.closest?.("button, input, select, summary, a, textarea, canvas");
  if (event.key !== " " || takesKeys || event.repeat || byId("talk").disabled) return;
  event.preventDefault();
  byId("talk").click();
});
devices.watch(listDevices);
setInterval(tick, 1000);
setInterval(() => document.hidden || look(), LOOK_AGAIN_MS);
setTheme();
showSteps([]);
listDevices();
look();
table.refresh();
