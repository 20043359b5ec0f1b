// The steps of a set-up, for a page that shows how long each took.

export class Steps {
  #started = performance.now();
  #steps = [];
  #tell;

  /** `tell` is called with a step that begins, and again when it ends. */
  constructor(tell) {
    this.#tell = tell;
  }

  get all() {
    return this.#steps.map((step) => ({ ...step }));
  }

  /** Name of the step that runs, or null. */
  get current() {
    const last = this.#steps.at(-1);
    return last && last.endMs === null ? last.name : null;
  }

  /** Ends the step that runs, done or cut short, and begins the next, if there is one. */
  begin(name, done = true) {
    const now = performance.now() - this.#started;
    const last = this.#steps.at(-1);
    if (last && last.endMs === null) {
      last.endMs = now;
      last.done = done;
      this.#tell({ ...last });
    }
    if (name === null) return;
    this.#steps.push({ name, startMs: now, endMs: null, done: false });
    this.#tell({ ...this.#steps.at(-1) });
  }
}
