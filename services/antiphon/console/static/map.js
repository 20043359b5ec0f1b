// A small map of a placement: the regions that could have the call, what each would cost, and the way that it took.

import { LAND, NORTH, SOUTH, UNITS } from "/land.js";
import { ms } from "/words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 360 * UNITS;
const HEIGHT = (NORTH - SOUTH) * UNITS;
/** More labels than that would lie over one another: then the chosen region and the runner-up have one. */
const MOST_LABELS = 6;

const x = (longitude) => (longitude + 180) * UNITS;
const y = (latitude) => (NORTH - Math.min(NORTH, Math.max(SOUTH, latitude))) * UNITS;

function shape(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** One entry for each region: its best edge, and whether it has the call. */
function regionsOf(placement) {
  const regions = new Map();
  for (const edge of placement.edges ?? []) {
    if (edge.latitude === undefined || edge.longitude === undefined) continue;
    const known = regions.get(edge.region);
    if (!known || edge.chosen || (!known.chosen && edge.possible && !known.possible)) regions.set(edge.region, edge);
  }
  return [...regions.values()].sort((a, b) => a.rank - b.rank);
}

/** Bows to the north, as the shortest way does on such a map; none across the date line, where it would lead around the world. */
function way(from, to) {
  const [left, top, right, bottom] = [x(from.longitude), y(from.latitude), x(to.longitude), y(to.latitude)];
  const bow = Math.min(60, Math.hypot(right - left, bottom - top) / 5);
  return `M${left} ${top}Q${(left + right) / 2} ${Math.max(2, (top + bottom) / 2 - bow)} ${right} ${bottom}`;
}

function marker(edge, labelled) {
  const [left, top] = [x(edge.longitude), y(edge.latitude)];
  const kind = edge.chosen ? "region chosen" : edge.possible ? "region" : "region away";
  const group = shape("g", { class: kind }, shape("title", {}, `${edge.region}: ${edge.why}`));
  group.append(shape("circle", { cx: left, cy: top, r: edge.chosen ? 10 : 7 }));
  if (labelled) {
    const flip = left > WIDTH - 200;
    const cost = edge.possible ? ` ${ms(edge.cost_ms)} ms` : "";
    group.append(shape("text", { x: left + (flip ? -15 : 15), y: top + 8, "text-anchor": flip ? "end" : "start" }, `${edge.region}${cost}`));
  }
  return group;
}

function inWords(regions, place) {
  const you = place ? `You are near ${Math.round(place.latitude)}, ${Math.round(place.longitude)} degrees. ` : "";
  const told = regions.map(({ region, chosen, possible, cost_ms: cost }) => `${region} ${possible ? `${ms(cost)} milliseconds` : "has no room"}${chosen ? ", chosen" : ""}`);
  return `Map of the regions. ${you}${told.join("; ")}.`;
}

/** Draws a session's placement into `figure`; hides it where there is nothing to draw. */
export function showMap(figure, placement) {
  const regions = regionsOf(placement ?? {});
  figure.hidden = regions.length === 0;
  if (figure.hidden) return figure.replaceChildren();
  const place = placement.evidence?.place ?? null;
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": inWords(regions, place) });
  svg.append(shape("path", { class: "land", d: LAND }));
  const chosen = regions.find((one) => one.chosen);
  if (place && chosen && Math.abs(place.longitude - chosen.longitude) <= 180) svg.append(shape("path", { class: "way", d: way(place, chosen) }));
  const labelled = new Set(regions.length <= MOST_LABELS ? regions : regions.filter((one, at) => one.chosen || at < 2));
  svg.append(...[...regions].reverse().map((one) => marker(one, labelled.has(one))));
  if (place) svg.append(shape("circle", { class: "caller", cx: x(place.longitude), cy: y(place.latitude), r: 7 }, shape("title", {}, "You, as far as the cluster knows")));
  return figure.replaceChildren(svg);
}
