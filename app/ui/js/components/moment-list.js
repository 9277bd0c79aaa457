// The moments of a result, most certain first.

import { h } from "../lib/dom.js";
import { formatPercent, formatTime } from "../lib/format.js";
import { momentIndexAt, momentLabel, rankMoments, supportText } from "../lib/moments.js";
import { STRINGS } from "../lib/strings.js";
import { swatch } from "./emotion-badge.js";

/** Moments that are shown at first. */
const FIRST_COUNT = 8;

/**
 * Create a card of moments; `addImages` puts an image into the row of the moment at its time.
 * @param {Api.Moment[]} moments
 * @param {import("../lib/playback.js").Playback} playback
 */
export function momentList(moments, playback) {
  const ranked = rankMoments(moments);
  const rows = ranked.map((moment, index) => momentRow(moment, playback, index >= FIRST_COUNT));
  const list = h("ol", { className: "moments" }, ...rows.map(({ item }) => item));
  const showAll = h("button", {
    type: "button",
    className: "button quiet",
    hidden: rows.length <= FIRST_COUNT,
    textContent: STRINGS.momentList.showAll(rows.length),
  });
  showAll.addEventListener("click", () => {
    for (const { item } of rows) item.hidden = false;
    showAll.hidden = true;
  });
  const empty = h("p", { className: "muted", textContent: STRINGS.momentList.noMomentStandsOut });
  const element = h(
    "section",
    { className: "card" },
    h("h2", { textContent: STRINGS.momentList.moments }),
    rows.length ? list : empty,
    showAll,
  );
  /** @param {import("./heatmap-inset.js").TimedImage[]} images */
  const addImages = (images) => {
    for (const { time, image } of images) rows[momentIndexAt(ranked, time)]?.text.before(image);
  };
  return { element, addImages };
}

/**
 * @param {Api.Moment} moment
 * @param {import("../lib/playback.js").Playback} playback
 * @param {boolean} hidden
 */
function momentRow(moment, playback, hidden) {
  const text = h(
    "span",
    { className: "moment-text" },
    momentLabel(moment),
    h("small", { textContent: supportText(moment) }),
  );
  const button = h(
    "button",
    { type: "button", className: "moment", on: { click: () => playback.seek(moment.time) } },
    h("span", { className: "moment-time", textContent: formatTime(moment.time) }),
    swatch(moment.to),
    text,
    h("span", {
      className: "moment-confidence",
      textContent: formatPercent(moment.score),
      title: STRINGS.momentList.confidence,
    }),
  );
  return { item: h("li", { hidden }, button), text };
}
