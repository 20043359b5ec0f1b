// An edge can stop sending at once, but not what lies in this browser's jitter buffer: that is silenced here, until what follows is played.

const LONGEST_SILENCE_MS = 1000;
/** Where nothing tells when it is over. */
const BLIND_SILENCE_MS = 300;

export class Silence {
  #lifetime;
  #playing;
  #edgeStops = false;
  #end = null;

  /** `playing` returns the leg that is heard just now, or null. */
  constructor(lifetime, playing) {
    this.#lifetime = lifetime;
    this.#playing = playing;
  }

  /** Another edge may not say where its stops are. */
  restart() {
    this.#end?.();
    this.#edgeStops = false;
  }

  /** The edge says at which timestamp what follows the stop begins: it is heard from there on, however long that takes to come. */
  until(timestamp) {
    this.#edgeStops = true;
    const playing = () => this.#playing()?.receiver?.getSynchronizationSources()[0]?.rtpTimestamp;
    const isOver = () => ((playing() - timestamp) | 0) >= 0;
    if (playing() !== undefined && isOver()) return; // said again, or late
    this.#begin();
    this.#endAfter(playing() === undefined ? BLIND_SILENCE_MS : LONGEST_SILENCE_MS, isOver);
  }

  /** Without the edge's own word, the state of an utterance has to do. It comes later, and may cut what follows. */
  obey(state) {
    if (this.#edgeStops) return;
    const stopped = state === "held" || state === "flushed";
    if (!stopped) return void this.#end?.();
    this.#begin();
    this.#endAfter(BLIND_SILENCE_MS);
  }

  #begin() {
    const element = this.#playing()?.element;
    if (!element) return;
    this.#end?.();
    element.muted = true;
  }

  #endAfter(ms, isOver = () => false) {
    const until = performance.now() + ms;
    const stop = this.#lifetime.every(10, () => (isOver() || performance.now() >= until) && this.#end?.());
    this.#end = () => {
      stop();
      this.#end = null;
      const element = this.#playing()?.element;
      if (element) element.muted = false;
    };
  }
}
