// Listeners and timers that end with the call that they serve.

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Lifetime {
  #timers = new Set();
  #cleanups = [];

  on(target, type, handler) {
    if (!target?.addEventListener) return;
    target.addEventListener(type, handler);
    this.#cleanups.push(() => target.removeEventListener(type, handler));
  }

  later(ms, action) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  /** Returns a function that stops it. */
  every(ms, action) {
    const timer = setInterval(action, ms);
    this.#timers.add(timer);
    return () => {
      clearInterval(timer);
      this.#timers.delete(timer);
    };
  }

  end() {
    for (const timer of this.#timers) clearInterval(timer);
    for (const undo of this.#cleanups.splice(0)) undo();
  }
}
