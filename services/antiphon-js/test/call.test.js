// One call from the page's side, with the browser and the server played by hand.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { AntiphonError, Cluster, connect, MicrophoneDenied, MicrophoneMissing, NetworkFailed, NoEdge, NoWorker, Refused, Unauthorized, UnknownAgent } from "../antiphon.js";
import { FakeStream, FakeTrack, install, problem, until } from "./browser.js";

const URL_ = "http://antiphon.test";
let call = null;

afterEach(async () => {
  await call?.hangUp();
  call = null;
});

function record(target, ...types) {
  const seen = [];
  for (const type of types) target.addEventListener(type, (event) => seen.push([type, event.detail]));
  return seen;
}

async function connected(browser, options = {}) {
  call = connect({ url: URL_, agent: "parrot", ...options });
  await until(() => browser.peer()?.remoteDescription, "the answer");
  browser.peer().connect();
  return call.ready;
}

async function refused(reply) {
  install({ replies: { "POST /v1/sessions": reply } });
  call = connect({ url: URL_ });
  return call.ready.then(
    () => assert.fail("connected"),
    (error) => error,
  );
}

test("a call goes from the microphone to connected and tells each step", async () => {
  const browser = install();
  call = connect({ url: URL_, agent: "parrot", region: "virginia", metadata: { name: "Ada" }, token: "id.secret" });
  const states = record(call, "state");
  await until(() => browser.peer()?.remoteDescription);
  browser.peer().connect();
  assert.equal(await call.ready, call);
  browser.peer().audible = true;
  await until(() => call.steps.at(-1).done, "the first audio");

  const [request] = browser.server.of("POST /v1/sessions");
  assert.equal(request.search, "?dcid=0");
  assert.equal(request.headers.Authorization, "Bearer id.secret");
  const body = JSON.parse(request.body);
  assert.match(body.sdp, /a=ice-ufrag:page0/);
  assert.deepEqual([body.agent, body.region, body.metadata], ["parrot", "virginia", { name: "Ada" }]);
  assert.deepEqual(
    states.map(([, { state }]) => state),
    ["connecting", "connected"],
  );
  assert.deepEqual(
    call.steps.map(({ name }) => name),
    ["microphone", "offer", "http", "ice", "dtls", "audio"],
  );
  call.steps.reduce((before, step) => (assert.equal(step.startMs, before.endMs), step));
  assert.deepEqual(call.session, { id: "ses_a", edge: "frankfurt-1" });
  assert.deepEqual(browser.peer().channel.options, { negotiated: true, id: 0 });
});

test("what is sent before the channel is open leaves in its order once it is", async () => {
  const browser = install();
  call = connect({ url: URL_, agent: "parrot" });
  await until(() => browser.peer()?.remoteDescription);
  assert.throws(() => call.send("too early"), { code: "not_connected" });
  browser.peer().secure();
  await call.ready;
  const { channel } = browser.peer();
  call.send(1);
  call.turn("press");
  assert.deepEqual(channel.sent, []);
  channel.opens();
  call.send(2);
  assert.deepEqual(channel.sent, [{ app: { data: 1 } }, { turn: { command: "press" } }, { app: { data: 2 } }]);
  channel.readyState = "connecting";
  for (let waiting = 0; waiting < 64; waiting += 1) call.send(waiting);
  assert.throws(() => call.send("one too many"), { code: "not_connected" });
});

test("messages of the session become events, with zeros filled in", async () => {
  const browser = install();
  await connected(browser);
  const seen = record(call, "sessionstarted", "turn", "utterance", "trace", "recording", "message");
  const { channel } = browser.peer();
  channel.says({ sessionStarted: { session: "ses_a", agent: "parrot", worker: "w", edge: "e" } });
  channel.says({ callerTurn: { turn: 1, state: "started" } });
  channel.says({ agentUtterance: { utterance: 1, state: "ended", heardMs: 900.5, lengthMs: 1000 } });
  channel.says({ turnTrace: { turn: 1, outcome: "silent", endedBy: "silence", stages: [{ stage: "received", atMs: 31, tookMs: 31 }] } });
  channel.says({ recording: { state: "started" } });
  channel.says({ app: { data: { colour: "blue" } } });
  channel.says({ app: {} });
  channel.dispatchEvent(new MessageEvent("message", { data: "no JSON" }));
  assert.deepEqual(seen, [
    ["sessionstarted", { session: "ses_a", agent: "parrot", worker: "w", edge: "e" }],
    ["turn", { turn: 1, state: "started", atMs: 0, audioMs: 0 }],
    ["utterance", { utterance: 1, state: "ended", heardMs: 900.5, lengthMs: 1000 }],
    [
      "trace",
      { turn: 1, outcome: "silent", endedBy: "silence", responseMs: null, playedBy: null, stages: [{ stage: "received", atMs: 31, tookMs: 31 }], marks: {} },
    ],
    ["recording", { state: "started", reason: "" }],
    ["message", { data: { colour: "blue" } }],
    ["message", { data: null }],
  ]);
});

test("a page says by itself when a turn is over", async () => {
  const browser = install();
  await connected(browser);
  call.turn("commit");
  assert.deepEqual(browser.peer().channel.sent.at(-1), { turn: { command: "commit" } });
});

test("an utterance that was stopped is silenced here until the agent speaks again", async () => {
  const browser = install();
  await connected(browser);
  const says = (state) => browser.peer().channel.says({ agentUtterance: { utterance: 1, state } });
  says("held");
  assert.equal(browser.audio().muted, true);
  says("resumed");
  assert.equal(browser.audio().muted, false);
  says("flushed");
  assert.equal(browser.audio().muted, true);
  await until(() => !browser.audio().muted, "the jitter buffer to run dry");
});

/** A peer that has played `rtpTimestamp`, and whose counters grow at each look as they do while the agent speaks. */
function playing(peer, rtpTimestamp, packetsEach = 12) {
  let looks = 0;
  peer.audible = true;
  peer.source = { rtpTimestamp, timestamp: performance.timeOrigin + performance.now() };
  peer.playout = () => {
    looks += 1;
    const inbound = { type: "inbound-rtp", packetsReceived: looks * packetsEach, packetsLost: 3, concealedSamples: 5000 };
    const sums = { silentConcealedSamples: 1000, jitterBufferDelay: looks * 0.8, jitterBufferEmittedCount: looks * 10 };
    const output = { type: "media-playout", totalPlayoutDelay: looks * 0.3, totalSamplesCount: looks * 10 };
    return new Map([["I", { ...inbound, ...sums }], ["O", output]]);
  };
}

test("the edge is told what is played, some times each second", async () => {
  const browser = install();
  await connected(browser);
  playing(browser.peer(), 0xfffffff0);
  const { reports } = browser.peer().channel;
  await until(() => reports.length >= 4, "four reports");
  const [first, second] = [reports[2], reports[3]];
  assert.deepEqual([first.byteLength, first.getUint8(0), first.getUint8(1), first.getUint16(2)], [32, 1, 1, 3]);
  assert.equal(first.getUint32(8), 0xfffffff0);
  assert.deepEqual([first.getUint16(14), first.getUint16(16)], [30, 80], "output and jitter buffer");
  assert.deepEqual([first.getUint32(20), first.getUint32(24), first.getUint32(28)], [36, 3, 4000]);
  const between = second.getUint32(4) - first.getUint32(4);
  assert.ok(between >= 150 && between < 1000, `${between} ms by its own clock`);
  assert.ok(Math.abs(second.getUint16(12) - first.getUint16(12) - between) <= 2, "the same sample, so much longer ago");
});

test("while nothing is played the edge is told seldom", async () => {
  const browser = install();
  await connected(browser);
  playing(browser.peer(), 960, 1);
  const { reports } = browser.peer().channel;
  await new Promise((resolve) => setTimeout(resolve, 1300));
  assert.equal(reports.length, 1);
});

test("a browser that does not say what it plays tells its counters all the same", async () => {
  const browser = install();
  await connected(browser);
  playing(browser.peer(), undefined);
  const { reports } = browser.peer().channel;
  await until(() => reports.length, "a report");
  assert.equal(reports[0].getUint16(2), 1);
});

test("at the edge's word what lies in the jitter buffer is silenced, and what follows is heard", async () => {
  const browser = install();
  await connected(browser);
  const peer = browser.peer();
  peer.audible = true;
  peer.source = { rtpTimestamp: 0xfffffc00 };
  peer.channel.tells(2, 1, 0, 0, 0, 0, 1, 0);
  assert.equal(browser.audio().muted, true, "at once");
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(browser.audio().muted, true, "as long as the old is played");
  peer.channel.says({ agentUtterance: { utterance: 1, state: "flushed" } });
  peer.source = { rtpTimestamp: 256 };
  await until(() => !browser.audio().muted, "the new");
  peer.channel.says({ agentUtterance: { utterance: 1, state: "flushed" } });
  assert.equal(browser.audio().muted, false, "the session's text comes late and cuts nothing");
});

test("a device that never plays what follows is heard again all the same", async () => {
  const browser = install();
  await connected(browser);
  const peer = browser.peer();
  peer.audible = true;
  peer.source = { rtpTimestamp: 0 };
  peer.channel.tells(2, 1, 0, 0, 0, 0, 9, 0);
  await until(() => !browser.audio().muted, "the second to pass");
});

test("what an edge of a later version says is taken as far as it is known", async () => {
  const browser = install();
  await connected(browser);
  const peer = browser.peer();
  for (const octets of [[], [2], [77, 1, 2, 3, 4, 5, 6, 7]]) peer.channel.tells(...octets);
  assert.equal(browser.audio().muted, false);
  peer.channel.tells(2, 9, 0, 0, 0, 0, 0, 0, 1, 2, 3);
  assert.equal(browser.audio().muted, true);
});

test("send reaches the agent's code, and says when there is no call", async () => {
  const browser = install();
  await connected(browser);
  call.send([1, "two"]);
  assert.deepEqual(browser.peer().channel.sent, [{ app: { data: [1, "two"] } }]);
  await call.hangUp();
  assert.throws(() => call.send(1), { code: "not_connected" });
});

test("hanging up says bye, deletes the session and lets the microphone go", async () => {
  const browser = install();
  await connected(browser);
  const ended = record(call, "ended", "error");
  const { tracks } = { tracks: browser.peer().getSenders().map(({ track }) => track) };
  await call.hangUp();
  await call.hangUp();
  assert.deepEqual(browser.peer().channel.sent, [{ bye: {} }]);
  assert.equal(browser.server.of("DELETE /v1/sessions/ses_a").length, 1);
  assert.equal(browser.server.of("DELETE /v1/sessions/ses_a")[0].keepalive, true);
  assert.ok(tracks.every((track) => track.stopped) && browser.peer().closed);
  assert.deepEqual(ended, [["ended", { reason: "bye", error: null }]]);
});

test("a session that ends by the bye is not deleted too", async () => {
  const browser = install();
  await connected(browser);
  const left = call.hangUp();
  assert.deepEqual([call.state, browser.peer().closed], ["ended", false], "over for the page, but the bye is under way");
  browser.peer().channel.dispatchEvent(new Event("close"));
  await left;
  assert.equal(browser.peer().closed, true);
  assert.equal(browser.server.of("DELETE /v1/sessions/ses_a").length, 0);
});

test("a page that goes away hangs up at once", async () => {
  const browser = install();
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  await connected(browser);
  page.dispatchEvent(new Event("pagehide"));
  delete globalThis.addEventListener;
  delete globalThis.removeEventListener;
  assert.equal(call.state, "ended");
  assert.equal(browser.server.of("DELETE /v1/sessions/ses_a").length, 1);
});

test("hanging up while the offer is under way ends the session that comes of it", async () => {
  let answer;
  const browser = install({ replies: { "POST /v1/sessions": () => new Promise((resolve) => (answer = resolve)) } });
  call = connect({ url: URL_ });
  await until(() => answer);
  await call.hangUp();
  answer(Response.json({ id: "ses_a", sdp: "v=0" }, { status: 201 }));
  await until(() => browser.server.of("DELETE /v1/sessions/ses_a").length === 1, "the session's end");
  await assert.rejects(call.ready, { code: "ended" });
});

test("an aborted signal cancels the call and is what ready rejects with", async () => {
  install();
  const controller = new AbortController();
  call = connect({ url: URL_, signal: controller.signal });
  const seen = record(call, "ended", "error");
  controller.abort(new Error("changed my mind"));
  await assert.rejects(call.ready, /changed my mind/);
  assert.deepEqual(seen, [["ended", { reason: "cancelled", error: null }]]);
});

test("a signal that was aborted before cancels at once, without asking for the microphone", async () => {
  const browser = install();
  call = connect({ url: URL_, signal: AbortSignal.abort(new Error("too late")) });
  await assert.rejects(call.ready, /too late/);
  assert.deepEqual(browser.asked, []);
});

test("what the session's last message says is why the call ended", async () => {
  const browser = install();
  await connected(browser);
  const ended = record(call, "ended");
  browser.peer().channel.says({ sessionEnded: { reason: "hangup" } });
  browser.peer().channel.dispatchEvent(new Event("close"));
  await until(() => ended.length, "the end");
  assert.deepEqual(ended[0][1], { reason: "hangup", error: null });
});

test("the session's record tells why, where the edge left without a word", async () => {
  const browser = install({ replies: { "GET /v1/sessions/ses_a": () => Response.json({ id: "ses_a", state: "ended", reason: "api" }) } });
  await connected(browser);
  const ended = record(call, "ended");
  browser.peer().channel.dispatchEvent(new Event("close"));
  await until(() => ended.length, "the end");
  assert.deepEqual(ended[0][1], { reason: "api", error: null });
});

test("an edge that leaves without a word, of whose session nothing is known any more, ends the call", async () => {
  const browser = install({ replies: { "POST /v1/sessions/ses_a:move": problem(404, "unknown_session", "It is over.") } });
  await connected(browser);
  const ended = record(call, "ended");
  browser.peer().dtls.state = "closed";
  browser.peer().dtls.dispatchEvent(new Event("statechange"));
  await until(() => ended.length, "the end");
  assert.equal(ended[0][1].reason, "gone");
});

test("muting disables the track, also the one of the next microphone", async () => {
  const browser = install();
  await connected(browser);
  const [sender] = browser.peer().getSenders();
  const first = sender.track;
  call.mute();
  assert.deepEqual([call.muted, first.enabled], [true, false]);
  await call.setMicrophone("headset");
  assert.deepEqual(browser.asked.at(-1).audio.deviceId, { exact: "headset" });
  assert.notEqual(sender.track, first);
  assert.deepEqual([first.stopped, sender.track.enabled], [true, false]);
  call.unmute();
  assert.equal(sender.track.enabled, true);
});

test("a given stream is sent as it is and stays the page's own", async () => {
  const browser = install();
  const stream = new FakeStream([new FakeTrack()]);
  await connected(browser, { audio: stream });
  await call.hangUp();
  assert.deepEqual([browser.asked.length, stream.tracks[0].stopped], [0, false]);
});

test("a microphone that goes away is told without ending the call", async () => {
  const browser = install();
  await connected(browser);
  const errors = record(call, "error");
  browser.peer().getSenders()[0].track.dispatchEvent(new Event("ended"));
  assert.equal(errors[0][1].code, "microphone_lost");
  assert.equal(call.state, "connected");
});

for (const [name, type, code] of [
  ["NotAllowedError", MicrophoneDenied, "microphone_denied"],
  ["NotFoundError", MicrophoneMissing, "microphone_missing"],
  ["NotReadableError", MicrophoneMissing, "microphone_busy"],
]) {
  test(`getUserMedia's ${name} becomes ${code}, and no session is made`, async () => {
    const browser = install({ microphone: () => Promise.reject(new DOMException("no", name)) });
    call = connect({ url: URL_ });
    const seen = record(call, "error", "ended");
    const error = await call.ready.catch((cause) => cause);
    assert.ok(error instanceof type && error instanceof AntiphonError);
    assert.equal(error.code, code);
    assert.equal(error.name, type.name);
    assert.deepEqual(browser.server.of("POST /v1/sessions"), []);
    assert.deepEqual(
      seen.map(([event]) => event),
      ["error", "ended"],
    );
    assert.deepEqual([call.steps[0].name, call.steps[0].done], ["microphone", false]);
  });
}

test("each refusal of the server has a class, its words and its problem+json", async () => {
  for (const [status, kind, type] of [
    [401, "unauthorized", Unauthorized],
    [403, "forbidden", Unauthorized],
    [404, "unknown_agent", UnknownAgent],
    [503, "no_edge", NoEdge],
    [503, "no_worker", NoWorker],
    [503, "unavailable", Refused],
    [400, "bad_offer", Refused],
  ]) {
    const error = await refused(problem(status, `urn:antiphon:problem:${kind}`, `words for ${kind}`));
    assert.ok(error instanceof type, `${status} ${kind}: ${error.name}`);
    assert.equal(error.code, kind);
    assert.equal(error.message, `words for ${kind}`);
    assert.equal(error.problem.status, status);
    assert.equal(error.status, status);
  }
});

test("a refusal without problem+json still has words", async () => {
  const error = await refused(() => new Response("oops", { status: 500 }));
  assert.equal(error.message, "The server answered with status 500.");
});

test("a server that cannot be reached is NetworkFailed", async () => {
  const error = await refused(() => {
    throw new TypeError("fetch failed");
  });
  assert.ok(error instanceof NetworkFailed);
  assert.equal(error.code, "server_unreachable");
  assert.match(error.message, /antiphon\.test/);
});

test("audio that never flows is told in words, with Firefox's own reason where it is that", async () => {
  for (const [userAgent, words] of [["Chrome", /firewall/], ["Gecko/20100101 Firefox/153.0", /Firefox does not connect to loopback/]]) {
    const browser = install({ userAgent });
    call = connect({ url: URL_ });
    await until(() => browser.peer()?.remoteDescription, "the answer");
    browser.peer().ice("connected");
    browser.peer().dtls.state = "failed";
    browser.peer().dtls.dispatchEvent(new Event("statechange"));
    await assert.rejects(call.ready, (error) => error instanceof NetworkFailed && error.code === "no_media" && words.test(error.message));
  }
});

test("a lost path is repaired by an ICE restart through PATCH", async () => {
  const fragment = "a=ice-ufrag:edge2\r\na=ice-pwd:secret2\r\n";
  const browser = install({ replies: { "PATCH /v1/sessions/ses_a": () => new Response(fragment) } });
  await connected(browser);
  const states = record(call, "state");
  const peer = browser.peer();
  peer.ice("disconnected");
  await until(() => peer.remoteDescription.sdp.includes("edge2"), "the new answer");
  peer.ice("connected");
  await until(() => call.state === "connected");

  const [request] = browser.server.of("PATCH /v1/sessions/ses_a");
  assert.equal(request.headers["Content-Type"], "application/trickle-ice-sdpfrag");
  assert.equal(request.headers["If-Match"], "*");
  assert.match(request.body, /a=ice-ufrag:page1\r\na=ice-pwd:pwd-page1\r\n/);
  assert.match(peer.remoteDescription.sdp, /a=ice-pwd:secret2/);
  assert.doesNotMatch(peer.remoteDescription.sdp, /edge1|secret1/);
  assert.match(peer.remoteDescription.sdp, /a=candidate:1 1 udp 1 127\.0\.0\.1 4000/);
  assert.deepEqual(
    states.map(([, { state }]) => state),
    ["reconnecting", "connected"],
  );
});

test("a network that comes back restarts ICE before the browser misses the path", async () => {
  const browser = install({ replies: { "PATCH /v1/sessions/ses_a": () => new Response("a=ice-ufrag:edge2\r\na=ice-pwd:secret2\r\n") } });
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  await connected(browser);
  const states = record(call, "state");
  page.dispatchEvent(new Event("online"));
  const peer = browser.peer();
  await until(() => peer.remoteDescription.sdp.includes("edge2"), "the new answer");
  peer.ice("connected");
  await until(() => call.state === "connected");
  await call.hangUp();
  delete globalThis.addEventListener;
  delete globalThis.removeEventListener;
  assert.deepEqual(
    states.map(([, { state }]) => state),
    ["reconnecting", "connected", "ended"],
  );
});

test("a failed restart is rolled back and tried again", async () => {
  let tries = 0;
  const reply = () => (++tries === 1 ? new Response("", { status: 502 }) : new Response("a=ice-ufrag:edge2\r\na=ice-pwd:secret2\r\n"));
  const browser = install({ replies: { "PATCH /v1/sessions/ses_a": reply } });
  await connected(browser);
  const peer = browser.peer();
  peer.ice("disconnected");
  await until(() => peer.remoteDescription.sdp.includes("edge2"), "the second try");
  peer.ice("completed");
  await until(() => call.state === "connected");
});

test("a session that is gone ends the call instead of trying on", async () => {
  const browser = install({ replies: { "PATCH /v1/sessions/ses_a": problem(404, "unknown_session", "It is gone.") } });
  await connected(browser);
  const ended = record(call, "ended");
  browser.peer().ice("disconnected");
  await until(() => ended.length, "the end");
  assert.equal(ended[0][1].reason, "gone");
});

test("statistics give round trip, and loss in both directions", async () => {
  const browser = install();
  await connected(browser);
  browser.peer().stats = new Map(
    [
      { id: "T", type: "transport", selectedCandidatePairId: "P" },
      { id: "P", type: "candidate-pair", remoteCandidateId: "R", currentRoundTripTime: 0.03 },
      { id: "R", type: "remote-candidate", address: "127.0.0.1", port: 4000, protocol: "udp" },
      { id: "O", type: "outbound-rtp", kind: "audio", packetsSent: 100, bytesSent: 7000 },
      { id: "I", type: "inbound-rtp", kind: "audio", packetsReceived: 90, packetsLost: 10, jitter: 0.004, bytesReceived: 6000 },
      { id: "F", type: "remote-inbound-rtp", kind: "audio", packetsLost: 2, fractionLost: 0.02, jitter: 0.001, roundTripTime: 0.025 },
    ].map((entry) => [entry.id, entry]),
  );
  const statistics = await call.statistics();
  assert.equal(statistics.roundTripMs, 25);
  assert.equal(statistics.sent.loss, 0.02);
  assert.equal(statistics.received.loss, 0.1);
  assert.equal(statistics.received.jitterMs, 4);
  assert.deepEqual(statistics.edge, { address: "127.0.0.1", port: 4000, protocol: "udp" });
  assert.equal((await call.statistics()).received.loss, 0, "of the last interval only");
});

test("the cluster's lists come as arrays", async () => {
  const { server } = install({
    replies: {
      "GET /v1/agents": () => Response.json({ agents: [{ name: "parrot" }] }),
      "GET /v1/sessions": () => Response.json({ sessions: [{ id: "ses_a" }] }),
    },
  });
  const cluster = new Cluster({ url: `${URL_}/` });
  assert.deepEqual(await cluster.agents(), [{ name: "parrot" }]);
  assert.deepEqual(await cluster.sessions({ live: true }), [{ id: "ses_a" }]);
  assert.equal(server.of("GET /v1/sessions")[0].search, "?live=true&limit=100");
});

// ---- round trips to regions

const REGIONS = [
  { name: "near", probes: [{ http: "http://near.test/probe", stun: "stun:192.0.2.1:1" }] },
  { name: "mute", probes: [{ http: "http://mute.test/gone", stun: "stun:192.0.2.2:1" }] },
  { name: "udp", probes: [{ http: "", stun: "stun:192.0.2.3:1" }] },
  { name: "blind", probes: [] },
];
let nodes = 0;
const fresh = () => `http://node${(nodes += 1)}.test`; // what is remembered is remembered by address

test("a call measures the regions while it is set up, and says what it found", async () => {
  const browser = install({ replies: { "GET /v1/regions": () => Response.json({ regions: REGIONS }), "GET /probe": () => new Response(null, { status: 204 }) } });
  await connected(browser, { url: fresh() });
  const { rtts } = JSON.parse(browser.server.of("POST /v1/sessions")[0].body);
  assert.deepEqual(Object.keys(rtts), ["near"]);
  assert.ok(rtts.near >= 0 && rtts.near < 150);
  assert.equal(browser.server.of("GET /probe").length, 3); // the first opens the connection
  assert.ok(browser.server.of("GET /probe").every(({ credentials, headers }) => credentials === "omit" && !headers));
});

test("a region that is asked for is not measured", async () => {
  const browser = install({ replies: { "GET /v1/regions": () => Response.json({ regions: REGIONS }) } });
  await connected(browser, { url: fresh(), region: "near" });
  assert.equal(browser.server.of("GET /v1/regions").length, 0);
  assert.equal(JSON.parse(browser.server.of("POST /v1/sessions")[0].body).rtts, undefined);
});

test("what was measured is remembered, and nothing where nobody answered", async () => {
  const url = fresh();
  const browser = install();
  const cluster = new Cluster({ url });
  assert.deepEqual(await cluster.measure(), {});
  Object.assign(browser.server.replies, { "GET /v1/regions": () => Response.json({ regions: REGIONS }), "GET /probe": () => new Response(null, { status: 204 }) });
  const found = await cluster.measure();
  assert.deepEqual(Object.keys(found), ["near"]);
  assert.deepEqual(await new Cluster({ url }).measure(), found);
  assert.equal(browser.server.of("GET /v1/regions").length, 2);
});

test("a region that does not answer is not waited for", async () => {
  const hangs = ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const browser = install({ replies: { "GET /v1/regions": () => Response.json({ regions: REGIONS }), "GET /probe": () => new Response(null, { status: 204 }), "GET /gone": hangs } });
  const began = performance.now();
  assert.deepEqual(Object.keys(await new Cluster({ url: fresh() }).measure()), ["near"]);
  assert.ok(performance.now() - began < 2000);
  assert.equal(browser.server.of("GET /gone").length, 1);
});
