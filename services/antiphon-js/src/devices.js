// Microphones and outputs of this computer: which there are, and how one is opened.

import { MicrophoneDenied, microphoneError } from "./errors.js";

/** Microphones and outputs of this computer. Their labels are empty until a microphone was allowed once. */
export const devices = {
  async list() {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    const pick = (kind) => all.filter((d) => d.kind === kind && d.deviceId).map(({ deviceId, label }) => ({ id: deviceId, label }));
    return { microphones: pick("audioinput"), outputs: pick("audiooutput") };
  },

  /** Whether this browser lets a page choose where sound comes out. */
  get canChooseOutput() {
    return typeof HTMLMediaElement !== "undefined" && "setSinkId" in HTMLMediaElement.prototype;
  },

  /** Calls back when a device comes or goes; returns a function that stops it. */
  watch(callback) {
    const target = navigator.mediaDevices;
    target?.addEventListener("devicechange", callback);
    return () => target?.removeEventListener("devicechange", callback);
  },
};

/** A stream of the microphone that `audio` asks for; rejects with what a person can do about it. */
export async function openMicrophone(audio) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MicrophoneDenied("insecure_page", "Browsers give a microphone only to pages on https:// or on this computer (localhost).");
  }
  const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  if (audio && typeof audio === "object") Object.assign(wanted, audio);
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: wanted });
  } catch (cause) {
    throw microphoneError(cause);
  }
}

export const isStream = (audio) => typeof audio?.getAudioTracks === "function";

export function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}
