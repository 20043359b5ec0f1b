// The stream that a call sends, its own or the page's, and whether it is muted.

import { stopTracks } from "./devices.js";

export class Microphone {
  stream = null;
  muted = false;
  #owned = false;

  /** From now on this stream is sent; one that is `owned` is stopped when another comes, or the call ends. */
  use(stream, owned) {
    this.stop();
    this.stream = stream;
    this.#owned = owned;
    this.track.enabled = !this.muted;
  }

  get track() {
    return this.stream.getAudioTracks()[0];
  }

  mute(muted) {
    this.muted = muted;
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  stop() {
    if (this.#owned) stopTracks(this.stream);
  }
}
