// Text messages of the data channel (proto/antiphon/data/v1, proto3 JSON: fields that are zero are absent), as the events of a call.

const UNTRACED = { turn: 0, outcome: "", endedBy: "", responseMs: null, playedBy: null, stages: [], marks: {} };

/** A message as `{ type, detail }`: an event's name and what it tells, or "move", "ended"; null where it is none that is known. */
export function readMessage(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  const { sessionStarted, callerTurn, agentUtterance, app, sessionEnded, sessionMove, roomMembers, roomSpeakers, turnTrace, recording } = message ?? {};
  if (sessionMove) return { type: "move" };
  if (sessionStarted) return { type: "sessionstarted", detail: { session: "", agent: "", worker: "", edge: "", ...sessionStarted } };
  if (turnTrace) return { type: "trace", detail: { ...UNTRACED, ...turnTrace } };
  if (recording) return { type: "recording", detail: { state: "", reason: "", ...recording } };
  if (roomMembers) return { type: "members", detail: roomMembers };
  if (roomSpeakers) return { type: "speakers", detail: roomSpeakers };
  if (callerTurn) return { type: "turn", detail: { turn: 0, state: "", atMs: 0, audioMs: 0, ...callerTurn } };
  if (agentUtterance) return { type: "utterance", detail: { utterance: 0, state: "", heardMs: 0, lengthMs: 0, ...agentUtterance } };
  if (app) return { type: "message", detail: { data: app.data ?? null } };
  if (sessionEnded) return { type: "ended", detail: { reason: sessionEnded.reason || "remote" } };
  return null;
}
