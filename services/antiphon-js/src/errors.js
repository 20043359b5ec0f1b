// Errors: one class for each thing that a page tells its user, and what makes them of what a browser or the server said.

import { onlyLoopback } from "./sdp.js";

/** What happened, in words for a person (`message`), as a stable `code`, and the server's problem+json where there is one. */
export class AntiphonError extends Error {
  constructor(code, message, { problem = null, status = 0, cause } = {}) {
    super(message, { cause });
    this.name = new.target.name;
    this.code = code;
    this.problem = problem;
    this.status = status;
  }
}

/** The person or the browser refused the microphone. */
export class MicrophoneDenied extends AntiphonError {}
/** There is no microphone, or another program holds it. */
export class MicrophoneMissing extends AntiphonError {}
/** No edge has room for the call. */
export class NoEdge extends AntiphonError {}
/** No worker has room for the call. */
export class NoWorker extends AntiphonError {}
/** No live worker has this agent. */
export class UnknownAgent extends AntiphonError {}
/** The token is missing, wrong, or not allowed to do this. */
export class Unauthorized extends AntiphonError {}
/** The server cannot be reached, or media cannot pass. */
export class NetworkFailed extends AntiphonError {}
/** The server refused the request for another reason; `problem` tells it. */
export class Refused extends AntiphonError {}

/** Why `getUserMedia` failed, as its user should know it. */
export function microphoneError(cause) {
  switch (cause?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new MicrophoneDenied(
        "microphone_denied",
        "The microphone is blocked for this page. Allow it in the browser's address bar, then call again.",
        { cause },
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return new MicrophoneMissing("microphone_missing", "No such microphone was found. Plug one in or choose another, then call again.", {
        cause,
      });
    default:
      return new MicrophoneMissing(
        "microphone_busy",
        "The microphone could not be opened: another program may hold it. Close that program, then call again.",
        { cause },
      );
  }
}

/** An answer of the server that is not 2xx. */
export function problemError(status, problem) {
  const said = problem?.detail || problem?.title || `The server answered with status ${status}.`;
  const code = problem?.code;
  const details = { problem, status };
  if (status === 401 || status === 403) return new Unauthorized(status === 401 ? "unauthorized" : "forbidden", said, details);
  if (code === "unknown_agent") return new UnknownAgent(code, said, details);
  if (code === "no_worker") return new NoWorker(code, said, details);
  if (code === "no_edge") return new NoEdge(code, said, details);
  if (status === 502 || status === 504) return new NetworkFailed("server_unreachable", said, details);
  return new Refused(code ?? "refused", said, details);
}

/** Media does not pass between this browser and the edge whose answer this is. */
export function noMedia(answer) {
  if (/firefox/i.test(globalThis.navigator?.userAgent ?? "") && onlyLoopback(answer)) {
    return new NetworkFailed(
      "no_media",
      "Firefox does not connect to loopback addresses, and the edge has no other. Use another browser, or let the edge listen on this machine's address.",
    );
  }
  return new NetworkFailed(
    "no_media",
    "The server answered, but audio cannot reach the edge: a firewall or VPN may block UDP. Try another network.",
  );
}

export function callEnded() {
  return new AntiphonError("ended", "The call has ended.");
}

export function notConnected() {
  return new AntiphonError("not_connected", "The call is not connected, so nothing can be sent.");
}

export function asAntiphonError(cause) {
  if (cause instanceof AntiphonError) return cause;
  if (cause?.name === "TimeoutError") {
    return new NetworkFailed("server_unreachable", "The Antiphon server did not answer in time. Try again.", { cause });
  }
  return new AntiphonError("unexpected", `The browser could not set up the call: ${cause?.message ?? cause}.`, { cause });
}

export function outputMissing() {
  return new AntiphonError("output_missing", "The chosen output is not there any more; the default one is used.");
}
