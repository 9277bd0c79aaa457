// Where the player gets its media from: a file of this tab, the copy on the server, or a file that is opened again.

import { ticketPath } from "../api.js";
import { button, h } from "../lib/dom.js";
import { localFile, objectUrl, rememberFile } from "../lib/local-files.js";
import { STRINGS } from "../lib/strings.js";

/** @type {Record<Api.Media["kind"], string>} */
const OPEN_LABELS = {
  image: STRINGS.mediaSource.openTheFileToView,
  audio: STRINGS.mediaSource.openTheFileToPlay,
  video: STRINGS.mediaSource.openTheFileToWatch,
};

/**
 * Load the media of a job into a player, or offer to open the file.
 * @param {Api.Job} job
 * @param {import("./player.js").Player} player
 * @param {AbortSignal} signal
 */
export function loadMedia(job, player, signal) {
  const file = localFile(job.id);
  const { media } = job.links;
  if (file) loadFile(file, player, signal);
  else if (media) player.load(() => ticketPath(media));
  else offerToOpen(job, player, signal);
}

/**
 * @param {File} file
 * @param {import("./player.js").Player} player
 * @param {AbortSignal} signal
 */
function loadFile(file, player, signal) {
  const url = objectUrl(file, signal);
  player.load(() => url);
}

/**
 * @param {Api.Job} job
 * @param {import("./player.js").Player} player
 * @param {AbortSignal} signal
 */
function offerToOpen(job, player, signal) {
  const input = h("input", {
    type: "file",
    className: "visually-hidden",
    tabIndex: -1,
    ariaLabel: STRINGS.mediaSource.theFileOfThisResult,
  });
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (!file) return;
    rememberFile(job.id, file);
    loadFile(file, player, signal);
    if (job.media && file.size !== job.media.size) {
      player.showMessage(STRINGS.mediaSource.thisFileIsADifferent);
    }
  });
  const open = button(OPEN_LABELS[player.kind], () => input.click(), { icon: "upload" });
  player.showMessage(STRINGS.mediaSource.theFileIsntStoredOn, open, input);
}
