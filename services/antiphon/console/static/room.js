// The room of the call: who is in it, who speaks, who is muted, whose voice is heard here; and muting somebody.

import { element } from "/panels.js";
import { plural } from "/words.js";

const byId = (id) => document.getElementById(id);

/** What the page asks of the call: a room's name, and whether its agent is to be there. */
export function wishedRoom() {
  const name = byId("room").value.trim();
  return { room: name || undefined, alone: Boolean(name) && !byId("room-agent").checked };
}

export class RoomPanel {
  #card = byId("room-card");
  #list = byId("members");
  #count = byId("room-count");
  #cluster;
  #failed;
  #room = null;

  constructor(cluster, failed) {
    this.#cluster = cluster;
    this.#failed = failed;
  }

  show({ room, members, voices }) {
    this.#room = room;
    this.#card.hidden = false;
    byId("room-title").textContent = `Room ${room}`;
    this.#count.textContent = plural(members.length, "member");
    const heard = new Set(voices.map(({ session }) => session));
    this.#list.replaceChildren(...members.map((member) => this.#row(member, heard.has(member.session))));
  }

  clear() {
    this.#room = null;
    this.#card.hidden = true;
    this.#list.replaceChildren();
  }

  #row({ session, muted, speaking, you }, heard) {
    const name = element("b", { textContent: you ? "You" : session.slice(-6), title: session });
    const said = muted ? "muted" : speaking ? "speaks" : heard ? "heard here" : "";
    const mute = element("button", { type: "button", className: "quiet small", textContent: muted ? "Unmute" : "Mute" });
    mute.addEventListener("click", () => this.#mute(session, !muted));
    const row = element("li", {}, element("span", { className: "dot" }), name, element("i", { textContent: said }), mute);
    row.dataset.member = session;
    row.classList.toggle("speaking", speaking);
    return row;
  }

  async #mute(session, muted) {
    try {
      await this.#cluster().changeMember(this.#room, session, { muted });
    } catch (error) {
      this.#failed(error);
    }
  }
}
