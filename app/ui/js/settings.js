// Settings that the browser keeps: the API key for this tab only, the others permanently.

const KEY_ITEM = "affect.key";

/** Return the API key; empty if none is set. */
export const apiKey = () => sessionStorage.getItem(KEY_ITEM) ?? "";

/** @param {string} key empty removes it */
export function setApiKey(key) {
  if (key) sessionStorage.setItem(KEY_ITEM, key);
  else sessionStorage.removeItem(KEY_ITEM);
  dispatchEvent(new Event("keychange"));
}

/**
 * Return a stored setting.
 * @template Value
 * @param {string} name
 * @param {Value} fallback returned if nothing is stored
 * @returns {Value}
 */
export function loadSetting(name, fallback) {
  const text = localStorage.getItem(`affect.${name}`);
  return text === null ? fallback : JSON.parse(text);
}

/**
 * @param {string} name
 * @param {unknown} value
 */
export const saveSetting = (name, value) => localStorage.setItem(`affect.${name}`, JSON.stringify(value));
