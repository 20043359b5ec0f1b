// A call in a room from the page's side, with the browser and the server played by hand.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Cluster, connect } from "../antiphon.js";
import { install, until } from "./browser.js";

const URL_ = "http://antiphon.test";
let call = null;

afterEach(async () => {
  await call?.hangUp();
  call = null;
});

async function joined(browser, options = {}) {
  call = connect({ url: URL_, room: "kitchen", ...options });
  await until(() => browser.peer()?.remoteDescription, "the answer");
  browser.peer().connect();
  return call.ready;
}

const MEMBERS = { room: "kitchen", you: "ses_a", members: [{ session: "ses_a" }, { session: "ses_b", muted: true }] };

test("a call in a room asks for it, and offers a slot for each voice", async () => {
  const browser = install();
  await joined(browser, { slots: 2 });
  const body = JSON.parse(browser.server.of("POST /v1/sessions")[0].body);
  assert.equal(body.room, "kitchen");
  assert.equal("agent" in body, false);
  assert.equal(browser.peer().receivers.length, 2);
  assert.deepEqual(
    call.voices.map(({ mid, session }) => [mid, session]),
    [
      ["1", null],
      ["2", null],
    ],
  );
  assert.ok(call.voices.every(({ stream }) => stream));
});

test("a call in no room has no slots and refuses what is for rooms", async () => {
  const browser = install();
  await joined(browser, { room: undefined });
  assert.equal(browser.peer().receivers.length, 0);
  assert.deepEqual([call.members, call.voices], [[], []]);
  assert.throws(() => call.subscribe(), { code: "no_room" });
  call.mute();
  assert.deepEqual(browser.peer().channel.sent, []);
});

test("members, speakers and voices are told", async () => {
  const browser = install();
  await joined(browser);
  const seen = [];
  for (const type of ["members", "speakers"]) call.addEventListener(type, ({ detail }) => seen.push([type, detail]));
  const { channel } = browser.peer();
  channel.says({ roomMembers: MEMBERS });
  channel.says({ roomSpeakers: { speaking: ["ses_b"], voices: [{ mid: "2", session: "ses_b" }] } });
  assert.deepEqual(
    seen.map(([type, { room, you }]) => [type, room, you]),
    [
      ["members", "kitchen", "ses_a"],
      ["speakers", "kitchen", "ses_a"],
    ],
  );
  assert.deepEqual(call.members, [
    { session: "ses_a", muted: false, speaking: false, you: true },
    { session: "ses_b", muted: true, speaking: true, you: false },
  ]);
  assert.deepEqual(call.speakers, ["ses_b"]);
  assert.deepEqual(
    call.voices.map(({ session }) => session),
    [null, "ses_b", null],
  );
});

test("muting and choosing whom to hear reach the edge", async () => {
  const browser = install();
  await joined(browser);
  call.mute();
  call.unmute();
  call.subscribe(["ab"]);
  call.subscribe();
  assert.deepEqual(browser.peer().channel.sent, [
    [16, 1],
    [16, 0],
    [17, 1, 1, 2, 97, 98],
    [17, 0],
  ]);
});

test("a page can look at rooms and change members", async () => {
  const member = { session: "ses b", muted: true };
  const browser = install({
    replies: {
      "GET /v1/rooms": () => Response.json({ rooms: [{ name: "kitchen" }] }),
      "GET /v1/rooms/kitchen": () => Response.json({ name: "kitchen" }),
      "PATCH /v1/rooms/kitchen/members/ses%20b": () => Response.json(member),
    },
  });
  const cluster = new Cluster({ url: URL_ });
  assert.deepEqual(await cluster.rooms(), [{ name: "kitchen" }]);
  assert.deepEqual(await cluster.room("kitchen"), { name: "kitchen" });
  assert.deepEqual(await cluster.changeMember("kitchen", "ses b", { muted: true }), member);
  assert.equal(browser.server.of("PATCH /v1/rooms/kitchen/members/ses%20b")[0].body, '{"muted":true}');
});
