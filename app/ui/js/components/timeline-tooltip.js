// The tooltip of a timeline: time, track and the most probable emotions.

import { h } from "../lib/dom.js";
import { labelOf } from "../lib/emotions.js";
import { formatPercent, formatTime } from "../lib/format.js";
import { swatch } from "./emotion-badge.js";

const READINGS = 3;
const OFFSET = { x: 14, y: 16, margin: 4 };

export class TimelineTooltip {
  constructor() {
    this.element = h("div", { className: "tooltip", hidden: true });
  }

  hide() {
    this.element.hidden = true;
  }

  /**
   * Show a reading next to the pointer.
   * @param {{ name: string, time: number, probabilities: Record<string, number> | null }} reading
   * @param {PointerEvent} event
   * @param {DOMRect} box of the plot
   */
  show({ name, time, probabilities }, event, box) {
    const { element } = this;
    element.hidden = false;
    element.replaceChildren(
      h("span", { className: "tooltip-time", textContent: `${formatTime(time)} · ${name}` }),
      ...lines(probabilities),
    );
    const maxLeft = box.width - element.offsetWidth - OFFSET.margin;
    element.style.left = `${Math.min(event.clientX - box.left + OFFSET.x, maxLeft)}px`;
    element.style.top = `${event.clientY - box.top + OFFSET.y}px`;
  }
}

/**
 * Return a line for each of the most probable emotions.
 * @param {Record<string, number> | null} probabilities
 * @returns {(Node | string)[]}
 */
function lines(probabilities) {
  if (!probabilities) return [labelOf(null)];
  const ranked = Object.entries(probabilities).sort(([, a], [, b]) => b - a);
  return ranked
    .slice(0, READINGS)
    .map(([label, value]) =>
      h(
        "span",
        { className: "tooltip-line" },
        swatch(label),
        labelOf(label),
        h("b", { textContent: formatPercent(value) }),
      ),
    );
}
