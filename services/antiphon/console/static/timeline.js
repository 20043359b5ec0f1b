// Who speaks when: two lanes on a canvas that follow the call, or are dragged back. Levels are drawn as they are measured here;
// turns and utterances as the session tells them. The agent's lane shows what was heard solid and what was cut off hatched.

import { clock, plural } from "/words.js";

const PIXELS_PER_SECOND = 44;
const BAR_PX = 4;
const AXIS_PX = 22;
const FLOOR_DBFS = -55;
const KEEP_S = 3600;

export class Timeline {
  #canvas;
  #context;
  #colours = {};
  #started = 0;
  #stopped = null;
  #bars = { you: [], agent: [] };
  #turns = new Map();
  #utterances = new Map();
  #offsetMs = Infinity;
  #back = 0;
  #frame = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restyle());
    this.#listen();
    document.fonts?.ready.then(() => this.restyle());
    this.restyle();
  }

  start() {
    this.#started = performance.now();
    this.#stopped = null;
    this.#bars = { you: [], agent: [] };
    this.#turns.clear();
    this.#utterances.clear();
    this.#offsetMs = Infinity;
    this.#back = 0;
    this.#describe();
    this.#run();
  }

  stop() {
    this.#stopped ??= this.#now();
    cancelAnimationFrame(this.#frame);
    this.#draw();
  }

  /** Levels in dBFS; keeps the loudest of each bar. */
  level(you, agent) {
    const index = Math.floor(this.#now() * (PIXELS_PER_SECOND / BAR_PX));
    if (index > KEEP_S * (PIXELS_PER_SECOND / BAR_PX)) return;
    for (const [lane, value] of [["you", you], ["agent", agent]]) {
      const height = Math.max(0, 1 - value / FLOOR_DBFS);
      this.#bars[lane][index] = Math.max(this.#bars[lane][index] ?? 0, height);
    }
  }

  /** A caller's turn, in session time; the first message that is quickest here ties the two clocks. */
  turn({ turn, state, atMs, audioMs }) {
    const now = this.#now();
    this.#offsetMs = Math.min(this.#offsetMs, now * 1000 - atMs);
    const block = this.#turns.get(turn) ?? { start: (this.#offsetMs + atMs) / 1000, end: null };
    if (state !== "started") block.end = audioMs ? block.start + audioMs / 1000 : now;
    block.withdrawn = state === "withdrawn";
    this.#turns.set(turn, block);
    this.#describe();
    return block;
  }

  utterance({ utterance, state, heardMs, lengthMs }) {
    const block = this.#utterances.get(utterance) ?? { start: this.#now(), end: null };
    block.holds ??= [];
    if (block.state === "held" && state !== "held") block.holds.at(-1).end = this.#now();
    if (state === "held" && block.state !== "held") block.holds.push({ start: this.#now(), end: null });
    Object.assign(block, { state, heard: heardMs / 1000, length: lengthMs / 1000 });
    if (state === "ended" || state === "flushed") block.end = block.start + Math.max(block.heard, block.length);
    this.#utterances.set(utterance, block);
    this.#describe();
    return block;
  }

  /** Reads the colours of the theme again. */
  restyle() {
    const style = getComputedStyle(this.#canvas);
    for (const name of ["you", "agent", "ink", "muted", "line"]) this.#colours[name] = style.getPropertyValue(`--${name}`).trim();
    this.#draw();
  }

  #now() {
    return this.#stopped ?? (performance.now() - this.#started) / 1000;
  }

  #describe() {
    const [turns, utterances] = [this.#turns.size, this.#utterances.size];
    const said = turns || utterances ? `${plural(turns, "turn")} of you, ${plural(utterances, "utterance")} of the agent` : "nobody has spoken yet";
    this.#canvas.setAttribute("aria-label", `Timeline of the call: ${said}`);
  }

  #run() {
    this.#draw();
    if (this.#stopped === null) this.#frame = requestAnimationFrame(() => this.#run());
  }

  #resize() {
    const scale = devicePixelRatio || 1;
    const { width, height } = this.#canvas.getBoundingClientRect();
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    this.#context.setTransform(scale, 0, 0, scale, 0, 0);
    this.#draw();
  }

  #listen() {
    const canvas = this.#canvas;
    const pan = (bySeconds) => {
      this.#back = Math.min(Math.max(0, this.#back + bySeconds), Math.max(0, this.#now() - 2));
      this.#draw();
    };
    canvas.addEventListener("keydown", ({ key }) => {
      if (key === "ArrowLeft") pan(2);
      else if (key === "ArrowRight") pan(-2);
      else if (key === "End") pan(-Infinity);
      else if (key === "Home") pan(Infinity);
    });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => event.buttons === 1 && pan(event.movementX / PIXELS_PER_SECOND));
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
        event.preventDefault();
        pan(-event.deltaX / PIXELS_PER_SECOND);
      },
      { passive: false },
    );
  }

  #draw() {
    const context = this.#context;
    const { width, height } = this.#canvas.getBoundingClientRect();
    if (!width) return;
    context.clearRect(0, 0, width, height);
    const lane = (height - AXIS_PX) / 2;
    const live = this.#started ? this.#now() : 0;
    // While the call fits, it grows from the left; then the present stays near the right edge.
    const right = Math.max(live - this.#back + 0.6, width / PIXELS_PER_SECOND);
    const x = (seconds) => width - (right - seconds) * PIXELS_PER_SECOND;
    this.#drawAxis(x, right, width, height);
    for (const [index, name] of ["you", "agent"].entries()) {
      const middle = lane * (index + 0.5);
      this.#drawBlocks(name, x, middle, lane, live);
      this.#drawBars(name, x, middle, lane, width);
    }
    if (!this.#started) this.#invite(width, lane);
    if (this.#started && this.#stopped === null) {
      context.fillStyle = this.#colours.ink;
      context.globalAlpha = 0.5;
      context.fillRect(Math.round(x(live)), 0, 1, height - AXIS_PX);
      context.globalAlpha = 1;
    }
  }

  #invite(width, lane) {
    const context = this.#context;
    context.font = `400 14px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.fillStyle = this.#colours.muted;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText("Your turns appear here", width / 2, lane * 0.5);
    context.fillText("and the agent's answers here", width / 2, lane * 1.5);
    context.textAlign = "start";
  }

  #drawAxis(x, right, width, height) {
    const context = this.#context;
    const base = height - AXIS_PX;
    context.fillStyle = this.#colours.line;
    context.fillRect(0, Math.round(base / 2), width, 1);
    context.fillRect(0, base, width, 1);
    context.font = `500 11px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textBaseline = "bottom";
    const first = Math.max(0, Math.floor((right - width / PIXELS_PER_SECOND) / 5) * 5);
    for (let second = first; second < right; second += 5) {
      context.fillStyle = this.#colours.line;
      context.fillRect(Math.round(x(second)), base, 1, 5);
      context.fillStyle = this.#colours.muted;
      context.fillText(clock(second), Math.round(x(second)) + 5, height - 2);
    }
  }

  #drawBars(name, x, middle, lane, width) {
    const context = this.#context;
    const bars = this.#bars[name];
    const perBar = BAR_PX / PIXELS_PER_SECOND;
    context.fillStyle = this.#colours[name];
    const offset = x(0);
    const first = Math.max(0, Math.floor(-offset / BAR_PX));
    const last = Math.min(bars.length, Math.ceil((width - offset) / BAR_PX));
    context.beginPath();
    for (let index = first; index < last; index += 1) {
      const size = Math.max(1.5, (bars[index] ?? 0) * lane * 0.62);
      context.roundRect(x(index * perBar) + 0.75, middle - size / 2, BAR_PX - 1.5, size, 1.25);
    }
    context.fill();
  }

  #drawBlocks(name, x, middle, lane, live) {
    const top = middle - lane * 0.41;
    const height = lane * 0.82;
    if (name === "you") {
      for (const turn of this.#turns.values()) this.#block(name, x(turn.start), x(turn.end ?? live), top, height, turn.withdrawn ? 0.06 : 0.16);
      return;
    }
    const utterances = [...this.#utterances.values()];
    for (const [index, { start, end, heard, length, state, holds }] of utterances.entries()) {
      const over = end !== null;
      const solid = over ? start + heard : Math.min(live, start + (length || Infinity));
      this.#block(name, x(start), x(solid), top, height, 0.16);
      for (const hold of holds) this.#hatch(name, x(hold.start), x(hold.end ?? live), top, height);
      const cut = Math.min(end, utterances[index + 1]?.start ?? Infinity);
      if (over && state === "flushed" && cut > solid) this.#hatch(name, x(solid), x(cut), top, height);
    }
  }

  #block(name, left, right, top, height, alpha) {
    const context = this.#context;
    context.globalAlpha = alpha;
    context.fillStyle = this.#colours[name];
    context.beginPath();
    context.roundRect(left, top, Math.max(3, right - left), height, 7);
    context.fill();
    context.globalAlpha = 1;
  }

  #hatch(name, left, right, top, height) {
    const context = this.#context;
    context.save();
    context.beginPath();
    context.roundRect(left, top, Math.max(3, right - left), height, 7);
    context.clip();
    context.strokeStyle = this.#colours[name];
    context.globalAlpha = 0.4;
    context.lineWidth = 1;
    context.beginPath();
    for (let line = left - height; line < right; line += 6) {
      context.moveTo(line, top + height);
      context.lineTo(line + height, top);
    }
    context.stroke();
    context.restore();
  }
}
