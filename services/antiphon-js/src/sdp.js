// SDP as far as the SDK reads and writes it: fragments (RFC 8840) for the ICE restart, and an answer's addresses.

const attribute = (sdp, name) => new RegExp(`^a=${name}:(.*?)\\r?$`, "m").exec(sdp)?.[1];

/** The offer's new ICE credentials as application/trickle-ice-sdpfrag. */
export function restartFragment(offer) {
  const mid = attribute(offer, "mid") ?? "0";
  const media = /^m=.*?(?=\r?$)/m.exec(offer)?.[0] ?? "m=audio 9 UDP/TLS/RTP/SAVPF 0";
  const lines = [`a=ice-ufrag:${attribute(offer, "ice-ufrag")}`, `a=ice-pwd:${attribute(offer, "ice-pwd")}`, media, `a=mid:${mid}`];
  return `${lines.join("\r\n")}\r\n`;
}

/** The former answer with the credentials, and candidates where there are some, of the edge's fragment. */
export function restartedAnswer(answer, fragment) {
  const ufrag = attribute(fragment, "ice-ufrag");
  const password = attribute(fragment, "ice-pwd");
  const candidates = fragment.match(/^a=candidate:.*?(?=\r?$)/gm) ?? [];
  const lines = [];
  for (const line of answer.split(/\r?\n/)) {
    if (line.startsWith("a=ice-ufrag:")) lines.push(`a=ice-ufrag:${ufrag}`);
    else if (line.startsWith("a=ice-pwd:")) lines.push(`a=ice-pwd:${password}`, ...candidates);
    else if (!(candidates.length && line.startsWith("a=candidate:"))) lines.push(line);
  }
  return lines.join("\r\n");
}

/** Whether every candidate of an answer is of this machine alone: Firefox pairs none of them. */
export function onlyLoopback(sdp) {
  const addresses = [...sdp.matchAll(/^a=candidate:\S+ \d+ \w+ \d+ (\S+)/gm)].map(([, address]) => address);
  return addresses.length > 0 && addresses.every((address) => address === "::1" || address.startsWith("127."));
}
