// Where the player takes its media from: the file of this tab, what the service kept, or one chosen again.

import { ticketed } from "./api.js";
import { button, make } from "./dom.js";
import { addressOf, fileOf, keepFile } from "./files.js";

/** Loads the media of a job into a player, or offers to choose the file. */
export function findSource(job, player, signal) {
  const file = fileOf(job.id);
  if (file) {
    const url = addressOf(file, signal);
    return player.load(() => url);
  }
  if (job.links.media) return player.load(() => ticketed(job.links.media));
  ask(job, player, signal);
}

function ask(job, player, signal) {
  const chooser = make("input", { type: "file", className: "hidden", tabIndex: -1, ariaLabel: "The file of this result" });
  chooser.addEventListener("change", () => {
    const [file] = chooser.files;
    if (!file) return;
    keepFile(job.id, file);
    const url = addressOf(file, signal);
    player.load(() => url);
    if (job.media && file.size !== job.media.size) player.say("This file has another size than the one that was read.");
  });
  player.say("The media is not kept by the service.", button("Choose the file to see it here", () => chooser.click(), { icon: "upload" }), chooser);
}
