// The plane of valence and arousal: the path over time, and the place at the current time.

import { pathOf, placeOf, signed } from "../lib/dimensions.js";
import { h, s } from "../lib/dom.js";
import { windowFinder } from "../lib/intervals.js";
import { STRINGS } from "../lib/strings.js";

/** Side of the drawing, in its own units. */
const SIDE = 100;

export class AffectPlane {
  /** @param {{ result: Api.Result, playback: import("../lib/playback.js").Playback }} settings */
  constructor({ result, playback }) {
    this.result = result;
    this.playback = playback;
    this.windowAt = windowFinder(result.windows);
    this.dot = s("circle", { class: "place", r: "3" });
    this.path = s("polyline", {});
    this.drawing = s(
      "svg",
      { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", class: "plane" },
      s("line", { x1: "0", y1: `${SIDE / 2}`, x2: `${SIDE}`, y2: `${SIDE / 2}` }),
      s("line", { x1: `${SIDE / 2}`, y1: "0", x2: `${SIDE / 2}`, y2: `${SIDE}` }),
      this.path,
      this.dot,
    );
    this.values = h("p", { className: "muted explanation" });
    this.element = h(
      "section",
      { className: "card affect-plane", ariaLabel: STRINGS.affectPlane.title },
      h("h2", { textContent: STRINGS.affectPlane.title }),
      h(
        "div",
        { className: "plane-frame" },
        h("span", { className: "top", textContent: STRINGS.affectPlane.excited }),
        h("span", { className: "left", textContent: STRINGS.affectPlane.unpleasant }),
        this.drawing,
        h("span", { className: "right", textContent: STRINGS.affectPlane.pleasant }),
        h("span", { className: "bottom", textContent: STRINGS.affectPlane.calm }),
      ),
      this.values,
    );
    this.element.hidden = !result.overall.dimensions;
    playback.addEventListener("time", () => this.#update());
    this.setWindows(result.windows);
  }

  /**
   * Show the path of these windows: of one person, or of the whole media.
   * @param {Api.Window[]} windows
   */
  setWindows(windows) {
    this.windowAt = windowFinder(windows);
    const points = pathOf(windows).map(({ x, y }) => `${x * SIDE},${y * SIDE}`);
    this.path.setAttribute("points", points.join(" "));
    this.#update();
  }

  #update() {
    const reading = this.windowAt(this.playback.time) ?? this.result.overall;
    const dimensions = reading.dimensions ?? null;
    this.dot.classList.toggle("absent", !dimensions);
    const text = dimensions ? textOf(dimensions) : STRINGS.affectPlane.unknown;
    if (dimensions) {
      const { x, y } = placeOf(dimensions);
      this.dot.setAttribute("cx", `${x * SIDE}`);
      this.dot.setAttribute("cy", `${y * SIDE}`);
    }
    this.values.textContent = text;
    this.drawing.setAttribute("aria-label", text);
  }
}

/** @param {Api.Dimensions} dimensions */
function textOf({ valence, arousal, source }) {
  return `${STRINGS.affectPlane.values(signed(valence), signed(arousal))}, ${STRINGS.affectPlane.sources[source]}`;
}
