// Calls to the API of this service, with the API key, and their errors.

import { Problem, isAbort } from "./lib/problem.js";
import { STRINGS } from "./lib/strings.js";
import { ticketScope } from "./lib/tickets.js";
import { apiKey } from "./settings.js";

/**
 * @typedef {{ method?: string, signal?: AbortSignal, headers?: Record<string, string>, body?: BodyInit }} CallOptions
 */

/**
 * @param {string} text
 * @param {number} status
 */
function problemFrom(text, status) {
  try {
    return Problem.fromApi(JSON.parse(text), { sentKey: apiKey() !== "" });
  } catch {
    return new Problem({ title: STRINGS.api.answered(status) });
  }
}

/** Token of the share link with which the page was opened; empty without one. */
let shareToken = "";

/** @param {string} token */
export function setShareToken(token) {
  shareToken = token;
  document.body.classList.toggle("shared", token !== "");
}

/**
 * Return a path with the token of the share link, if the page was opened with one.
 * @param {string} path
 */
function shared(path) {
  if (!shareToken || !path.startsWith("/v1/jobs/")) return path;
  return `${path}${path.includes("?") ? "&" : "?"}share=${encodeURIComponent(shareToken)}`;
}

/** @returns {Record<string, string>} */
const authorization = () => (apiKey() ? { Authorization: `Bearer ${apiKey()}` } : {});

/**
 * Send a request and return the response if it is a success.
 * Throws Problem; an abort is thrown as the AbortError that it is.
 * @param {string} path
 * @param {CallOptions} [options]
 */
export async function call(path, { method = "GET", signal, headers, body } = {}) {
  let response;
  try {
    response = await fetch(shared(path), {
      method,
      signal,
      body,
      headers: { ...authorization(), ...headers },
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw Problem.unreachable();
  }
  if (!response.ok) throw problemFrom(await response.text(), response.status);
  return response;
}

/**
 * Return the JSON of a response.
 * @param {string} path
 * @param {CallOptions} [options]
 */
export const getJson = async (path, options) => (await call(path, options)).json();

/** @param {string} id */
export const jobPath = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<Api.Job>}
 */
export const getJob = (id, signal) => getJson(jobPath(id), { signal });

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<Api.Result>}
 */
export const getResult = (id, signal) => getJson(`${jobPath(id)}/result?format=json`, { signal });

/**
 * @typedef {{ people?: Record<string, { name: string | null }> | null, merge?: number[][], split?: number[] }} JobChange
 */

/**
 * Name, merge or separate people of a result; `people: null` undoes all changes.
 * @param {string} id
 * @param {JobChange} change
 * @param {AbortSignal} signal
 */
export const changeJob = (id, change, signal) =>
  call(jobPath(id), {
    method: "PATCH",
    signal,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(change),
  });

/**
 * Submit a job and report the progress of the upload (0 to 1). Sending it again with the same request id is safe.
 * Throws Problem or AbortError.
 * @param {FormData} form
 * @param {{ requestId: string, signal?: AbortSignal, onProgress?: (share: number) => void }} options
 * @returns {Promise<Api.Job>}
 */
export function submitJob(form, { requestId, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not report the progress of an upload
    request.open("POST", "/v1/jobs");
    request.setRequestHeader("Idempotency-Key", requestId);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ lengthComputable, loaded, total }) => {
      if (lengthComputable) onProgress?.(loaded / total);
    };
    request.onload = () => {
      if (request.status === 202) resolve(JSON.parse(request.responseText));
      else reject(problemFrom(request.responseText, request.status));
    };
    request.onerror = () => reject(Problem.unreachable());
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Return a new random id of a request: 32 hexadecimal digits. */
export const newRequestId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Return a path for elements that cannot send a header (images, players, event streams): with a ticket if a key is set.
 * @param {string} path
 */
export async function ticketPath(path) {
  if (shareToken) return shared(path);
  if (!apiKey()) return path;
  const { ticket } = await getJson("/v1/tickets", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(ticketScope(path)),
  });
  return `${path}${path.includes("?") ? "&" : "?"}ticket=${encodeURIComponent(ticket)}`;
}
