// A time in a text, a list or a table that seeks to it.

import { h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { STRINGS } from "../lib/strings.js";

/**
 * Create a button that seeks to a time.
 * @param {import("../lib/playback.js").Playback} playback
 * @param {number} time seconds
 * @param {string} [text] in place of the time
 */
export const timeButton = (playback, time, text) =>
  h("button", {
    type: "button",
    className: "time-button",
    textContent: text ?? formatTime(time),
    ariaLabel: text ?? STRINGS.timeButton.goTo(formatTime(time)),
    on: { click: () => playback.seek(time) },
  });
