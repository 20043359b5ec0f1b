// A call that comes to another edge, with the browser and the server played by hand.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { connect } from "../antiphon.js";
import { ANSWER, install, problem, until } from "./browser.js";

const MOVE = "POST /v1/sessions/ses_a:move";
let call = null;

afterEach(async () => {
  await call?.hangUp();
  call = null;
});

const moves = (edge = "virginia-1") => () => Response.json({ id: "ses_a", sdp: ANSWER, edge, worker: "worker-1" });

async function connected(browser, options = {}) {
  call = connect({ url: "http://antiphon.test", agent: "parrot", metadata: { name: "Ada" }, ...options });
  await until(() => browser.peer()?.remoteDescription, "the answer");
  browser.peer().connect();
  return call.ready;
}

function states() {
  const seen = [];
  call.addEventListener("state", ({ detail }) => seen.push(detail.state));
  return seen;
}

async function secondPeer(browser, first) {
  await until(() => browser.peer() !== first && browser.peer().remoteDescription, "another edge's answer");
  return browser.peer();
}

/** Its counter of packets grows until `silent` is set. */
function chatty(peer) {
  let packets = 0;
  Object.defineProperty(peer, "stats", {
    get: () => new Map([["T", { type: "transport", packetsReceived: peer.silent ? packets : ++packets }]]),
  });
}

test("a call whose edge drains goes on at another one, and leaves the old one after that", async () => {
  const browser = install({ replies: { [MOVE]: moves() } });
  await connected(browser);
  const [old, seen, moved] = [browser.peer(), states(), []];
  call.addEventListener("moved", ({ detail }) => moved.push(detail));
  old.channel.says({ sessionMove: { reason: "drain" } });
  const peer = await secondPeer(browser, old);
  assert.deepEqual([old.closed, call.state, peer.sender.track === old.sender.track], [false, "connected", true]);
  const [request] = browser.server.of(MOVE);
  assert.equal(request.search, "?dcid=0");
  const { sdp, ...asked } = JSON.parse(request.body);
  assert.match(sdp, /a=ice-ufrag:page0/);
  assert.deepEqual(asked, { lost: [], agent: "parrot", metadata: { name: "Ada" } });
  peer.connect();
  await until(() => moved.length, "the move");
  assert.deepEqual(moved, [{ from: "frankfurt-1", edge: "virginia-1" }]);
  assert.equal(call.session.edge, "virginia-1");
  call.send("over the new one");
  assert.deepEqual(peer.channel.sent, [{ app: { data: "over the new one" } }]);
  assert.equal(old.closed, false, "what it still sends is heard");
  await until(() => old.closed, "the old connection's end");
  old.channel.says({ sessionEnded: { reason: "moved" } });
  old.dtls.state = "closed";
  old.dtls.dispatchEvent(new Event("statechange"));
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.deepEqual([call.state, seen], ["connected", []]);
});

test("an edge that falls silent is noticed within two seconds, and named as lost", async () => {
  const browser = install({ replies: { [MOVE]: moves() } });
  await connected(browser);
  const old = browser.peer();
  chatty(old);
  await new Promise((resolve) => setTimeout(resolve, 600));
  const began = performance.now();
  old.silent = true;
  const seen = states();
  await until(() => browser.server.of(MOVE).length, "the move");
  assert.ok(performance.now() - began < 2000);
  assert.deepEqual(JSON.parse(browser.server.of(MOVE)[0].body).lost, ["frankfurt-1"]);
  (await secondPeer(browser, old)).connect();
  await until(() => call.state === "connected");
  assert.deepEqual(seen, ["reconnecting", "connected"]);
});

test("an edge that speaks again before another takes the call was never lost", async () => {
  const browser = install({ replies: { [MOVE]: problem(503, "no_edge", "There is no other edge.") } });
  await connected(browser);
  const old = browser.peer();
  chatty(old);
  old.connectionState = "connected";
  await new Promise((resolve) => setTimeout(resolve, 600));
  old.silent = true;
  await until(() => browser.server.of(MOVE).length >= 2, "two tries");
  assert.deepEqual(browser.server.of(MOVE).slice(0, 2).map(({ body }) => JSON.parse(body).lost), [["frankfurt-1"], []]);
  old.silent = false;
  await until(() => call.state === "connected", "the old edge");
  assert.equal(old.closed, false);
});

test("a call whose worker is lost comes back with another one", async () => {
  const browser = install({ replies: { [MOVE]: moves("frankfurt-1"), "POST /v1/sessions": () => Response.json({ id: "ses_a", sdp: ANSWER, edge: "frankfurt-1", worker: "worker-0" }, { status: 201 }) } });
  await connected(browser);
  const old = browser.peer();
  old.channel.says({ sessionEnded: { reason: "worker" } });
  old.dtls.state = "closed";
  old.dtls.dispatchEvent(new Event("statechange"));
  (await secondPeer(browser, old)).connect();
  assert.deepEqual(JSON.parse(browser.server.of(MOVE)[0].body).lost, ["worker-0"]);
  await until(() => call.state === "connected");
  assert.equal(call.session.worker, "worker-1");
});

test("a move that nobody takes leaves the call where it is", async () => {
  const browser = install({ replies: { [MOVE]: problem(503, "no_edge", "Every edge is full.") } });
  await connected(browser);
  const old = browser.peer();
  old.channel.says({ sessionMove: { reason: "drain" } });
  await until(() => browser.server.of(MOVE).length, "the try");
  await until(() => browser.peer() !== old && browser.peer().closed, "the new connection's end");
  assert.deepEqual([call.state, old.closed], ["connected", false]);
  call.send("still here");
  assert.deepEqual(old.channel.sent.at(-1), { app: { data: "still here" } });
});

test("a member of a room goes where the room goes, and is muted there as it was", async () => {
  const browser = install({ replies: { [MOVE]: moves() } });
  await connected(browser, { agent: undefined, room: "kitchen", slots: 1 });
  const old = browser.peer();
  const told = (members) => ({ roomMembers: { room: "kitchen", you: "ses_a", members } });
  old.channel.says(told([{ session: "ses_a", muted: true }, { session: "ses_b" }]));
  call.subscribe(["ses_b"]);
  old.channel.says({ sessionMove: { reason: "drain" } });
  const peer = await secondPeer(browser, old);
  assert.equal(peer.receivers.length, 1, "a slot for each voice");
  old.channel.says(told([{ session: "ses_a", muted: true }]));
  assert.equal(call.members.length, 1, "until it is there, the old edge tells");
  peer.connect();
  await until(() => call.session.edge === "virginia-1", "the move");
  assert.deepEqual(peer.channel.sent.slice(0, 2), [[16, 1], [17, 1, 1, 5, ...Buffer.from("ses_b")]], "what this edge does not know");
  old.channel.says(told([]));
  peer.channel.says(told([{ session: "ses_a", muted: true }, { session: "ses_b" }]));
  assert.deepEqual(call.members.map(({ session }) => session), ["ses_a", "ses_b"]);
});

test("who hangs up while a move is under way leaves nothing behind", async () => {
  const browser = install({ replies: { [MOVE]: moves() } });
  await connected(browser);
  const old = browser.peer();
  old.channel.says({ sessionMove: { reason: "drain" } });
  const peer = await secondPeer(browser, old);
  await call.hangUp();
  assert.deepEqual([old.closed, peer.closed, call.state], [true, true, "ended"]);
});
