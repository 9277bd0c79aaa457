// The places worth a look, best first, with what moved.

import { make } from "./dom.js";
import { MODALITIES, swatch } from "./emotions.js";
import { capital, clock, percent } from "./format.js";
import { momentTold } from "./timeline.js";

const FIRST = 8;

/** A card; `illustrate` puts pictures (`[{time, picture}]`) beside their moments. */
export function momentList(moments, playback) {
  const ranked = [...moments].sort((one, other) => other.score - one.score);
  const list = make("ol", { className: "moments" }, ranked.map((moment, index) => row(moment, index, playback)));
  const more = make("button", { type: "button", className: "button quiet", hidden: ranked.length <= FIRST, textContent: `All ${ranked.length}` });
  more.addEventListener("click", () => {
    for (const each of list.children) each.hidden = false;
    more.hidden = true;
  });
  const none = make("p", { className: "soft", textContent: "No peak and no shift stands out." });
  const element = make("section", { className: "card" }, make("h2", { textContent: "Moments" }), ranked.length ? list : none, more);
  const illustrate = (pictures) => pictures.forEach(({ time, picture }) => {
    const index = ranked.findIndex((moment) => Math.abs(moment.time - time) < 0.01);
    list.children[index]?.querySelector(".moment-what").before(picture);
  });
  return { element, illustrate };
}

function row(moment, index, playback) {
  const why = moment.why.map((modality) => MODALITIES[modality].toLowerCase()).join(", ");
  const told = make("span", { className: "moment-what" }, capital(momentTold(moment)), make("small", { textContent: why ? `by ${why}` : "by all together" }));
  const parts = [make("span", { className: "moment-time", textContent: clock(moment.time) }), swatch(moment.to), told, make("span", { className: "moment-score", textContent: percent(moment.score), title: "How sure" })];
  return make("li", { hidden: index >= FIRST }, make("button", { type: "button", className: "moment", on: { click: () => playback.seek(moment.time) } }, parts));
}
