// Level meters: two bars, and two rings about the button, at each animation frame while a call lives.

const FLOOR_DBFS = -60;
const FALL = 0.86; // of the height, each frame: a meter that rises at once and falls slowly is easier to read

export class Meters {
  #shown = { you: 0, agent: 0 };
  #frame = 0;
  #spoken = 0;
  #stage = document.getElementById("stage");
  #bars = { you: document.getElementById("meter-you"), agent: document.getElementById("meter-agent") };

  /** Reads levels() = {microphone, agent} in dBFS at each frame, and passes them on. */
  start(levels, pass) {
    this.stop();
    const step = () => {
      const { microphone, agent } = levels();
      pass(microphone, agent);
      this.#show("you", microphone);
      this.#show("agent", agent);
      this.#speak(microphone, agent);
      this.#frame = requestAnimationFrame(step);
    };
    step();
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#shown = { you: 0, agent: 0 };
    this.#show("you", FLOOR_DBFS);
    this.#show("agent", FLOOR_DBFS);
  }

  #show(name, dbfs) {
    const height = Math.min(1, Math.max(0, 1 - dbfs / FLOOR_DBFS));
    this.#shown[name] = Math.max(height, this.#shown[name] * FALL);
    const value = this.#shown[name].toFixed(3);
    this.#bars[name].style.setProperty("--level", value);
    this.#stage.style.setProperty(`--level-${name}`, value);
  }

  /** Assistive technology hears of levels once a second at most. */
  #speak(microphone, agent) {
    const now = performance.now();
    if (now - this.#spoken < 1000) return;
    this.#spoken = now;
    for (const [name, dbfs] of [["you", microphone], ["agent", agent]]) {
      const value = Math.round(Math.min(0, Math.max(FLOOR_DBFS, dbfs)));
      this.#bars[name].setAttribute("aria-valuenow", String(value));
      this.#bars[name].setAttribute("aria-valuetext", value <= FLOOR_DBFS + 10 ? "silent" : `${value} decibels`);
    }
  }
}
