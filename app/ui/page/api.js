// The API of this service, and nothing else: paths, the key, errors.

import { key } from "./settings.js";

const HINTS = {
  unauthorized: "Set your API key (the key at the top right).",
  media_too_long: "Send a shorter piece.",
  file_too_large: "Send a shorter or smaller file.",
  unsupported_media: "Photos: JPEG, PNG, WebP. Sound: WAV, MP3, FLAC, OGG, M4A. Video: MP4, MOV, WebM, MKV, AVI.",
  no_streams: "Does the file hold sound or a picture?",
  queue_unavailable: "Try again in a moment.",
  too_many_jobs: "Wait until some of them are done.",
  rate_limited: "Wait a moment.",
  worker_lost: "Try once more; the log of the service says what happened.",
};

/** What went wrong, in plain words; `code` for decisions. */
export class Problem extends Error {
  constructor({ title = "Something went wrong", detail = "", code = "internal_error", errors = null } = {}) {
    super(title);
    Object.assign(this, { title, detail, code, errors, hint: HINTS[code] ?? "" });
  }

  /** The sentences to show. */
  get sentences() {
    const faults = (this.errors ?? []).map((fault) => `${fault.location}: ${fault.message}`).join("; ");
    return [this.title, this.detail || faults, this.hint].filter(Boolean).map((text) => (/[.?!]$/.test(text) ? text : `${text}.`));
  }

  static unreachable() {
    return new Problem({ code: "unreachable", title: "The service does not answer", detail: "Is it running, and is this page's address right?" });
  }

  static of(error) {
    return error instanceof Problem ? error : new Problem({ detail: error.message });
  }
}

function problemIn(text, status) {
  try {
    return new Problem(JSON.parse(text));
  } catch {
    return new Problem({ title: `The service answered ${status}` });
  }
}

const authorization = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

/** The answer of a call that went well. Throws Problem; an abort stays an AbortError. */
export async function call(path, { method = "GET", signal, headers, body } = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, signal, body, headers: { ...authorization(), ...headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Problem.unreachable();
  }
  if (!answer.ok) throw problemIn(await answer.text(), answer.status);
  return answer;
}

export const read = async (path, options) => (await call(path, options)).json();

export const jobPath = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

/** Posts a form and tells how much has gone (0 … 1). The id makes sending the same again safe. Throws Problem. */
export function post(form, { requestId, signal, onProgress = () => {} }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/jobs");
    request.setRequestHeader("Idempotency-Key", requestId);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () =>
      request.status === 202 ? resolve(JSON.parse(request.responseText)) : reject(problemIn(request.responseText, request.status));
    request.onerror = () => reject(Problem.unreachable());
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** An id that nobody else has. */
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The path for what cannot send a header (pictures, players, streams): with a ticket where a key is set. */
export async function ticketed(path) {
  if (!key()) return path;
  const { ticket } = await read("/v1/tickets", { method: "POST" });
  return `${path}${path.includes("?") ? "&" : "?"}ticket=${encodeURIComponent(ticket)}`;
}
