// Antiphon in the browser: one call with an agent over WebRTC, and the cluster's REST API for pages that show it. These are its public
// names, src/ is how. It touches no page but for <audio> elements, which it never attaches; drawing is the page's business.

export { Call, connect } from "./src/call.js";
export { Cluster } from "./src/cluster.js";
export { devices } from "./src/devices.js";
export {
  AntiphonError,
  MicrophoneDenied,
  MicrophoneMissing,
  NetworkFailed,
  NoEdge,
  NoWorker,
  Refused,
  Unauthorized,
  UnknownAgent,
} from "./src/errors.js";
export { restartedAnswer, restartFragment } from "./src/sdp.js";
