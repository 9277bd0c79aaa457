// Elements made and found; text is only ever text.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with properties (`data`: data attributes, `css`: custom properties, `on`: listeners) and children. */
export function make(name, { data, css, on, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  Object.assign(element.dataset, data);
  for (const [property, value] of Object.entries(css ?? {})) element.style.setProperty(property, value);
  for (const [event, listener] of Object.entries(on ?? {})) element.addEventListener(event, listener);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A picture of the sprite in index.html; what it stands for is said beside it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.classList.add("icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button; with an `icon` and no text, `label` is what it is called. */
export function button(label, listener, { icon: picture, bare = false, kind = "", ...properties } = {}) {
  const content = [picture ? icon(picture) : null, bare ? null : make("span", { textContent: label })];
  const named = bare ? { ariaLabel: label, title: label } : {};
  return make("button", { type: "button", className: `button ${kind}`, ...named, ...properties, on: { click: listener } }, ...content);
}

/** Says something to screen readers, without moving what is seen. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Whether the person wants little motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
