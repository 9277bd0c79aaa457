// Above a timeline: the legend, which picks one emotion, and how the tracks are drawn, shown and zoomed.

import { button, checkbox, h } from "../lib/dom.js";
import { labelOf, listOrder } from "../lib/emotions.js";
import { STRINGS } from "../lib/strings.js";
import { loadSetting, saveSetting } from "../settings.js";
import { swatch } from "./emotion-badge.js";

/** Names of the groups of tracks that can be hidden. */
const GROUP_LABELS = { channel: STRINGS.timeline.channels, person: STRINGS.timeline.people };

export class TimelineToolbar {
  /** @type {{ only: string | null, patterns: boolean, lines: boolean }} `only`: the one emotion that is shown */
  style = {
    only: null,
    patterns: loadSetting("patterns", matchMedia("(prefers-contrast: more)").matches),
    lines: loadSetting("lines", false),
  };

  /**
   * @param {{
   *   labels: string[],
   *   groups: string[],
   *   onStyle: () => void,
   *   onGroup: (group: string, shown: boolean) => void,
   *   onZoom: (direction: "in" | "out" | "all") => void,
   * }} settings `groups`: of the tracks that are there
   */
  constructor({ labels, groups, onStyle, onGroup, onZoom }) {
    this.onStyle = onStyle;
    this.items = listOrder(labels).map((label) => this.#legendItem(label));
    this.showAll = button(STRINGS.timeline.showAll, () => onZoom("all"), { kind: "quiet" });
    const noSignal = h("span", { className: "swatch gap", ariaHidden: "true" });
    const legend = h(
      "div",
      { className: "legend", role: "group", ariaLabel: STRINGS.timeline.showOnlyOneEmotion },
      this.items,
      h("span", { className: "legend-gap" }, noSignal, labelOf(null)),
    );
    const groupToggles = Object.entries(GROUP_LABELS)
      .filter(([group]) => groups.includes(group))
      .map(([group, name]) => checkbox(name, { checked: true, onChange: (shown) => onGroup(group, shown) }).label);
    const tools = h(
      "div",
      { className: "tools" },
      groupToggles,
      this.#styleToggle("lines", STRINGS.timeline.lines),
      this.#styleToggle("patterns", STRINGS.timeline.patterns),
      zoomButton(STRINGS.timeline.zoomIn, "plus", () => onZoom("in")),
      zoomButton(STRINGS.timeline.zoomOut, "minus", () => onZoom("out")),
      this.showAll,
    );
    this.element = h("div", { className: "timeline-tools" }, legend, tools);
    this.element.classList.toggle("with-patterns", this.style.patterns);
  }

  /** @param {string} label */
  #legendItem(label) {
    const onClick = () => {
      this.style.only = this.style.only === label ? null : label;
      for (const item of this.items) item.ariaPressed = String(item.dataset.label === this.style.only);
      this.onStyle();
    };
    return h(
      "button",
      { type: "button", className: "legend-item", ariaPressed: "false", data: { label }, on: { click: onClick } },
      swatch(label),
      labelOf(label),
    );
  }

  /**
   * @param {"lines" | "patterns"} setting
   * @param {string} name
   */
  #styleToggle(setting, name) {
    const onChange = (/** @type {boolean} */ shown) => {
      this.style[setting] = shown;
      saveSetting(setting, shown);
      this.element.classList.toggle("with-patterns", this.style.patterns);
      this.onStyle();
    };
    return checkbox(name, { checked: this.style[setting], onChange }).label;
  }
}

/**
 * @param {string} name
 * @param {string} icon
 * @param {() => void} onClick
 */
const zoomButton = (name, icon, onClick) => button(name, onClick, { icon, iconOnly: true, kind: "quiet" });
