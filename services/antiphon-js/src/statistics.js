// What a peer's getStats tells, in the words of the SDK. Nothing here asks for it.

/**
 * The figures of `Statistics` (antiphon.d.ts) from a report of the peer's. Shares are of what came since `before`, the sums of the last call,
 * null at first.
 */
export function readStatistics(report, before, levels) {
  const byType = (type) => [...report.values()].filter((entry) => entry.type === type && (entry.kind ?? "audio") === "audio");
  const [outbound] = byType("outbound-rtp");
  // In a room there is one for each voice: the agent's is the first m-line's, where it speaks.
  const inbounds = byType("inbound-rtp");
  const inbound = inbounds.find((entry) => entry.mid === "0" && entry.packetsReceived > 0) ?? inbounds[0];
  const [remote] = byType("remote-inbound-rtp");
  const transport = byType("transport")[0];
  const pair = report.get(transport?.selectedCandidatePairId) ?? byType("candidate-pair").find((p) => p.nominated && p.state === "succeeded");
  const far = report.get(pair?.remoteCandidateId);
  const received = inbound?.packetsReceived ?? 0;
  const lost = Math.max(0, inbound?.packetsLost ?? 0);
  const samples = inbound?.totalSamplesReceived ?? 0;
  const concealed = (inbound?.concealedSamples ?? 0) - (inbound?.silentConcealedSamples ?? 0);
  const emitted = inbound?.jitterBufferEmittedCount ?? 0;
  const delay = inbound?.jitterBufferDelay ?? 0;
  const sums = { received, lost, samples, concealed, emitted, delay };
  const since = Object.fromEntries(Object.entries(sums).map(([name, value]) => [name, value - (before?.[name] ?? 0)]));
  const ratio = (part, whole) => (whole > 0 ? Math.max(0, part) / whole : 0);
  const ms = (seconds) => (seconds === undefined ? null : seconds * 1000);
  const statistics = {
    roundTripMs: ms(remote?.roundTripTime ?? pair?.currentRoundTripTime),
    sent: {
      packets: outbound?.packetsSent ?? 0,
      bytes: outbound?.bytesSent ?? 0,
      lost: Math.max(0, remote?.packetsLost ?? 0),
      loss: remote?.fractionLost ?? 0,
      jitterMs: ms(remote?.jitter),
      retransmitted: outbound?.retransmittedPacketsSent ?? 0,
      level: levels.microphone,
    },
    received: {
      packets: received,
      bytes: inbound?.bytesReceived ?? 0,
      lost,
      loss: ratio(since.lost, since.lost + since.received),
      jitterMs: ms(inbound?.jitter),
      concealed: ratio(since.concealed, since.samples),
      bufferMs: since.emitted > 0 ? (since.delay / since.emitted) * 1000 : null,
      level: levels.agent,
    },
    edge: far ? { address: far.address ?? far.ip ?? null, port: far.port ?? null, protocol: far.protocol ?? null } : null,
  };
  return { statistics, sums };
}

/** Packets (or octets) that came over a connection, whatever is in them; null where the browser does not tell. */
export function countReceived(report) {
  const entries = [...report.values()];
  const first = (type, name) => entries.find((entry) => entry.type === type && entry[name] > 0)?.[name];
  return first("transport", "packetsReceived") ?? first("transport", "bytesReceived") ?? first("candidate-pair", "bytesReceived") ?? null;
}
