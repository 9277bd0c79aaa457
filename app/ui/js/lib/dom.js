// Functions that create and find elements. Text is always set as text, never parsed as HTML.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * What `h` sets on an element. `data`: data attributes; `css`: custom properties; `on`: event listeners.
 * @template {HTMLElement} Type
 * @typedef {Partial<Type> & {
 *   data?: Record<string, string>,
 *   css?: Record<string, string>,
 *   on?: { [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => unknown },
 * }} Properties
 */

/**
 * Create an element. Children that are null, undefined or false are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties<HTMLElementTagNameMap[Tag]>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const { data, css, on, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(css ?? {})) element.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(on ?? {})) {
    element.addEventListener(name, /** @type {EventListener} */ (listener));
  }
  element.append(...present(children));
  return element;
}

/**
 * Return the children that are there, in one flat list.
 * @param {(Child | Child[])[]} children
 */
export function present(children) {
  return /** @type {(Node | string)[]} */ (
    children.flat().filter((child) => child !== null && child !== undefined && child !== false)
  );
}

/**
 * Return the element of an id, which index.html or docs.html contains.
 * @template {HTMLElement} Type
 * @param {string} id
 * @param {new () => Type} type
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new TypeError(`#${id} is not a ${type.name}`);
  return element;
}

/**
 * Create an element of SVG.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} attributes
 * @param {...Node} children
 */
export function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG_NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Create an icon from the sprite in index.html, hidden from screen readers.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG_NAMESPACE, "svg");
  svg.classList.add("icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG_NAMESPACE, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Create a button. An `iconOnly` button has `label` as its accessible name and tooltip.
 * @param {string} label
 * @param {() => unknown} onClick
 * @param {{ icon?: string, iconOnly?: boolean, kind?: string, disabled?: boolean, hidden?: boolean }} [options]
 */
export function button(label, onClick, options = {}) {
  const { icon: iconName, iconOnly = false, kind = "", disabled = false, hidden = false } = options;
  const element = h(
    "button",
    {
      type: "button",
      className: `button ${kind}`,
      disabled,
      hidden,
      on: { click: () => onClick() },
    },
    iconName ? icon(iconName) : null,
    iconOnly ? null : h("span", { textContent: label }),
  );
  if (iconOnly) setIconButton(element, label);
  return element;
}

/**
 * Change the name of a button that shows only an icon, and the icon if one is given.
 * @param {HTMLElement} element
 * @param {string} label
 * @param {string} [iconName]
 */
export function setIconButton(element, label, iconName) {
  element.ariaLabel = element.title = label;
  if (iconName) element.replaceChildren(icon(iconName));
}

/**
 * Create a checkbox with its label; `hint` follows the name in small type.
 * @param {string} name
 * @param {{ checked?: boolean, value?: string, hint?: string, onChange?: (checked: boolean) => void }} [options]
 */
export function checkbox(name, { checked = false, value = "on", hint = "", onChange } = {}) {
  const control = h("input", { type: "checkbox", value, checked });
  control.addEventListener("change", () => onChange?.(control.checked));
  const text = hint ? h("span", {}, name, h("small", { textContent: ` ${hint}` })) : name;
  return { control, label: h("label", { className: "toggle" }, control, text) };
}

/**
 * Create a drop-down list of `[value, text]` pairs.
 * @param {[value: string, text: string][]} choices
 * @param {Properties<HTMLSelectElement>} [properties] `value` is the one selected.
 */
export function select(choices, { value: selected, ...properties } = {}) {
  const options = choices.map(([value, textContent]) =>
    h("option", { value, textContent, selected: value === selected }),
  );
  return h("select", properties, ...options);
}

/**
 * Create the head of a table: a row of column headings.
 * @param {(string | Node)[]} headings
 * @param {(index: number) => string} [classOf]
 */
export function tableHead(headings, classOf = () => "") {
  const cells = headings.map((heading, index) => h("th", { scope: "col", className: classOf(index) }, heading));
  return h("thead", {}, h("tr", {}, cells));
}

/**
 * Create a disclosure: a heading that shows or hides its content.
 * @param {string} title
 * @param {...(Child | Child[])} content
 */
export const disclosure = (title, ...content) => h("details", {}, h("summary", { textContent: title }), ...content);

/**
 * Let screen readers say a text; nothing visible changes.
 * @param {string} text
 */
export function announce(text) {
  byId("announcer", HTMLElement).textContent = text;
}

/** Return whether the system setting asks for reduced motion. */
export const prefersReducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
