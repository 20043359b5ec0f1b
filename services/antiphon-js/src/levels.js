// How loud the microphone and the agent are just now. Figures of a while are in statistics.js.

export const SILENCE_DBFS = -100;

class Meter {
  #analyser;
  #source = null;
  #samples;

  constructor(context) {
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024; // 21 ms at 48 kHz: one Opus frame
    this.#samples = new Float32Array(this.#analyser.fftSize);
  }

  listen(stream) {
    this.#source?.disconnect();
    this.#source = this.#analyser.context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  /** Root mean square in dBFS. */
  get level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    return power > 0 ? Math.max(SILENCE_DBFS, 10 * Math.log10(power)) : SILENCE_DBFS;
  }
}

/** A meter for each stream that it was given by name, on one AudioContext; silence where the browser has none. */
export class Levels {
  #context = null;
  #meters = {};

  listen(name, stream) {
    if (typeof AudioContext === "undefined") return;
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    if (this.#context.state === "suspended") this.#context.resume().catch(() => {});
    this.#meters[name] ??= new Meter(this.#context);
    this.#meters[name].listen(stream);
  }

  /** In dBFS. */
  of(name) {
    return this.#meters[name]?.level ?? SILENCE_DBFS;
  }

  /** What the browser says of the way to the speaker. */
  get outputLatencyMs() {
    return 1000 * (this.#context?.outputLatency ?? 0);
  }

  async resume() {
    if (this.#context?.state === "suspended") await this.#context.resume();
  }

  close() {
    this.#context?.close().catch(() => {});
    this.#meters = {};
  }
}
