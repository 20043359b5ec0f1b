// What the page says: errors with what to do about them, reasons, and figures as people read them.

const ADVICE = {
  microphone_denied: ["Microphone blocked", "Allow the microphone for this page in the address bar, then press Talk again."],
  insecure_page: ["This page is not secure", "Open it over https://, or on this computer as http://127.0.0.1."],
  microphone_missing: ["No microphone", "Plug one in, or choose another under “Microphone and speaker”, then press Talk again."],
  microphone_busy: ["Microphone in use", "Another program holds it. Close that program, then press Talk again."],
  microphone_lost: ["Microphone gone", "It was unplugged. Choose another under “Microphone and speaker”; the call goes on."],
  output_missing: ["Speaker gone", "The chosen speaker is not there any more, so the default one plays."],
  no_edge: ["No edge has room", "Every edge is full, draining or away. Try again in a moment, or start one with “antiphon edge”."],
  no_worker: ["No worker has room", "Every worker with this agent is full or away. Try again in a moment, or start one with “antiphon worker”."],
  unknown_agent: ["No such agent", "No live worker has it. Choose another agent, or start a worker that does."],
  unavailable: ["Not ready", "The cluster's memory (Redis) does not answer just now. Calls that live go on; try again in a moment."],
  room_conflict: ["Another agent is in the room", "Its first member asked for another agent. Take that one, or join without the agent."],
  unauthorized: ["Not allowed", "This cluster asks for an API key or a session token. Enter one to go on."],
  server_unreachable: ["No cluster at this address", "Start one with “antiphon up”. This page looks again by itself."],
  no_media: ["Audio cannot get through", "The server answered, but UDP to the edge is blocked. Try without VPN, or from another network."],
};

/** [title, words] for an error of the SDK. */
export function advice(error) {
  return ADVICE[error.code] ?? ["That did not work", error.message];
}

const REASONS = {
  bye: "You hung up",
  cancelled: "You hung up",
  hangup: "The agent hung up",
  api: "Ended through the API",
  consent: "The connection was lost",
  network: "The connection was lost",
  dtls: "The connection was lost",
  error: "The agent failed; its log says why",
  worker: "The worker went away",
  drain: "The edge was stopped",
  moved: "The session went to another edge",
  timeout: "No audio got through",
  edge_restarted: "The edge failed and began anew",
  remote: "The edge ended the call",
  gone: "The session was over already",
};

export const reason = (word) => REASONS[word] ?? `Ended: ${word}`;

export const STEP_NAMES = {
  microphone: "Microphone",
  offer: "Offer",
  http: "Placement, answer",
  ice: "Path (ICE)",
  dtls: "Encryption (DTLS)",
  audio: "First audio",
};

export const STAGE_NAMES = {
  received: "Your last sound travels",
  detected: "Silence noticed",
  committed: "Turn decided",
  transcript: "Words recognised",
  token: "First word of the answer",
  frame: "First sound made",
  sent: "To the edge, and out",
  arrived: "To your device",
  played: "Buffered and played",
  sounded: "Silence before the voice",
};

export const OUTCOMES = {
  silent: "the agent had nothing to say",
  unheard: "cut off before you heard it",
  withdrawn: "you went on, so it was dropped",
  closed: "the call ended first",
};

export const STATES = {
  preparing: "Asking for your microphone",
  connecting: "Connecting",
  reconnecting: "The path was lost. Reconnecting",
};

/** 71 s as 1:11, an hour and more as 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** Milliseconds with as many digits as mean something; empty where unknown. */
export function ms(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

export function percent(ratio) {
  if (ratio === null || ratio === undefined || Number.isNaN(ratio)) return "";
  const value = ratio * 100;
  return value === 0 || value >= 10 ? String(Math.round(value)) : value.toFixed(1);
}

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
