// Compiled, never run: what a typed page writes must be accepted, and what it must not write refused.
import { AntiphonError, type Call, Cluster, connect, devices, MicrophoneDenied, type Statistics, UnknownAgent } from "antiphon-js";

export async function page(button: HTMLButtonElement): Promise<void> {
  const controller = new AbortController();
  const call: Call = connect({
    url: "https://voice.example",
    token: "id.secret",
    agent: "parrot",
    region: "frankfurt",
    room: "kitchen",
    slots: 4,
    metadata: { name: "Ada" },
    audio: { echoCancellation: false },
    signal: controller.signal,
  });
  call.addEventListener("turn", ({ detail }) => detail.state === "withdrawn" && detail.audioMs.toFixed());
  call.addEventListener("utterance", ({ detail }) => detail.heardMs / detail.lengthMs);
  call.addEventListener("speakers", ({ detail }) => detail.voices[0]?.stream?.getTracks());
  call.subscribe(call.members.filter((member) => !member.you).map((member) => member.session));
  call.addEventListener("stats", ({ detail }: CustomEvent<Statistics>) => detail.received.loss * 100);
  call.addEventListener("ended", ({ detail }) => detail.error?.problem?.title ?? detail.reason);
  call.addEventListener("playbackblocked", () => button.addEventListener("click", () => call.resumePlayback(), { once: true }));
  try {
    await call.ready;
  } catch (error) {
    if (error instanceof MicrophoneDenied || error instanceof UnknownAgent) button.title = error.message;
    else if (error instanceof AntiphonError) button.title = `${error.code} ${error.status}`;
  }
  const recorder: MediaRecorder | null = call.remoteStream && new MediaRecorder(call.remoteStream);
  recorder?.start();
  call.send({ any: ["JSON"] });
  const { microphones } = await devices.list();
  if (microphones[0] && devices.canChooseOutput) await call.setMicrophone(microphones[0].id);
  const sessions = await new Cluster({ token: "id.secret" }).sessions({ live: true });
  sessions.map((session) => session.id.length);
  await call.hangUp();

  // @ts-expect-error: a state is read only
  call.state = "ended";
  // @ts-expect-error: there is no such option
  connect({ agnet: "parrot" });
  // @ts-expect-error: events have details of their own
  call.addEventListener("turn", ({ detail }) => detail.heardMs);
}
