// Addresses within the page: `#/job/ID?t=48.5&person=2`.

/** Digits of seconds in a link: enough for a frame. */
const TIME_DIGITS = 2;

/**
 * The view that an address names, the parts of the path after it, and its query.
 * @typedef {{ name: string, parameters: string[], query: URLSearchParams }} Route
 */

/**
 * Return what the fragment of an address names. Escapes that are not valid stay as they are.
 * @param {string} fragment
 * @returns {Route}
 */
export function parseRoute(fragment) {
  const [path, query = ""] = fragment.replace(/^#\/?/, "").split("?");
  const [name, ...parameters] = path.split("/").map(decoded);
  return { name, parameters, query: new URLSearchParams(query) };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Return the fragment of a job, at a time if one is given.
 * @param {string} id
 * @param {{ time?: number | null, person?: number | null }} [place]
 */
export function jobFragment(id, { time = null, person = null } = {}) {
  const query = new URLSearchParams();
  if (time !== null) query.set("t", String(Number(time.toFixed(TIME_DIGITS))));
  if (person !== null) query.set("person", String(person));
  const text = query.toString();
  return `#/job/${encodeURIComponent(id)}${text && "?"}${text}`;
}

/**
 * Return the seconds that a query asks for; null without a valid time.
 * @param {URLSearchParams} query
 */
export function timeOf(query) {
  const time = Number.parseFloat(query.get("t") ?? "");
  return Number.isFinite(time) && time >= 0 ? time : null;
}

/**
 * Return the number of the person that a query asks for; null without one.
 * @param {URLSearchParams} query
 */
export function personOf(query) {
  const person = Number(query.get("person"));
  return Number.isInteger(person) && person > 0 ? person : null;
}
