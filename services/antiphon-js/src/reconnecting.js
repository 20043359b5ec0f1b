// A lost path is repaired by an ICE restart on the leg that there is. Where its edge is lost, moving.js takes over.

import { sleep } from "./lifetime.js";
import { restartedAnswer, restartFragment } from "./sdp.js";

export const RECONNECT_TIMEOUT_MS = 30_000;

/** Tries again and again, until the path is there, the call moves or ended, or half a minute is over. */
export async function reconnect(session) {
  if (session.state !== "connected") return;
  const { moves } = session;
  session.setState("reconnecting");
  const deadline = performance.now() + RECONNECT_TIMEOUT_MS;
  for (let pause = 250; session.state === "reconnecting" && !moves.isMoving; pause = Math.min(2 * pause, 4000)) {
    const error = await restartIce(session).catch((cause) => cause);
    if (moves.isMoving) return;
    if (error?.status === 404 || error?.status === 410) return void session.end(session.saidWhy ?? "gone");
    if (error?.status === 503 && moves.mayReturn) return void moves.move([session.record.edge]);
    if (!error && (await isBack(session, 4000)) && session.state === "reconnecting") return session.setState("connected");
    if (performance.now() > deadline) return void session.leave("network", session.noMedia());
    await sleep(pause);
  }
}

async function restartIce(session) {
  const { peer } = session.leg;
  if (peer.signalingState === "have-local-offer") await peer.setLocalDescription({ type: "rollback" });
  const answer = peer.remoteDescription.sdp;
  const offer = await peer.createOffer({ iceRestart: true });
  await peer.setLocalDescription(offer);
  const response = await session.cluster.request("PATCH", `/v1/sessions/${session.record.id}`, {
    headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" },
    body: restartFragment(offer.sdp),
    signal: AbortSignal.timeout(5000),
  });
  await peer.setRemoteDescription({ type: "answer", sdp: restartedAnswer(answer, await response.text()) });
}

async function isBack(session, withinMs) {
  const deadline = performance.now() + withinMs;
  while (session.state === "reconnecting" && !session.moves.isMoving && performance.now() < deadline) {
    if (["connected", "completed"].includes(session.leg.peer.iceConnectionState)) return true;
    await sleep(50);
  }
  return false;
}
