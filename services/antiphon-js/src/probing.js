// Round trips to regions, as this browser measures them by requests to their probes, and for how long they are believed.

export const PROBE_MS = 150;
const PROBE_SLACK_MS = 20;
const REMEMBER_MS = 600_000;
const remembered = new Map();
let probes = 0;

/**
 * Round trips by region to the probes of a cluster, once for all who ask; `list` resolves to its regions. Of a measurement
 * that found nothing nothing is remembered, and it never rejects.
 */
export async function measureOnce(cluster, withinMs, list) {
  const known = remembered.get(cluster);
  if (known && performance.now() < known.until) return known.found;
  const found = list()
    .then((regions) => probeAll(regions, withinMs))
    .catch(() => ({}));
  remembered.set(cluster, { until: performance.now() + REMEMBER_MS, found });
  const measured = Object.keys(await found).length > 0;
  if (!measured && remembered.get(cluster)?.found === found) remembered.delete(cluster);
  return found;
}

/** The network changed: what was measured in the former one says nothing of this. */
export function forgetRoundTrips() {
  remembered.clear();
}

/** Milliseconds of the quicker of two requests on a connection that another one has opened; rejects where that cannot be. */
async function probe(url, signal) {
  const ask = async () => {
    const target = `${url}?${(probes += 1)}`;
    const began = performance.now();
    await fetch(target, { method: "GET", cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", signal });
    const took = performance.now() - began;
    const timing = performance.getEntriesByName?.(target).at(-1);
    return timing?.requestStart > 0 ? timing.responseStart - timing.requestStart : took;
  };
  await ask();
  return Math.min(await ask(), await ask());
}

/** A page on https may not ask by http, but for this computer. */
function mayAsk(url) {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || globalThis.location?.protocol !== "https:" || ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
}

/** Asks all regions at once. Once one has answered, who takes more than twice as long is not waited for. */
async function probeAll(regions, withinMs) {
  const found = {};
  const abort = new AbortController();
  const began = performance.now();
  let timer = setTimeout(() => abort.abort(), withinMs);
  const hurry = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(), Math.min(withinMs - (performance.now() - began), performance.now() - began + PROBE_SLACK_MS));
  };
  const asked = regions.flatMap(({ name, probes: [first] = [] }) => (first?.http && mayAsk(first.http) ? [{ name, url: first.http }] : []));
  await Promise.all(
    asked.map(async ({ name, url }) => {
      const rtt = await probe(url, abort.signal).catch(() => null);
      if (rtt === null) return;
      if (!Object.keys(found).length) hurry();
      found[name] = Math.round(100 * rtt) / 100;
    }),
  );
  clearTimeout(timer);
  return found;
}
