// Errors with a text for people: the API's problems (RFC 9457) and those of the page itself.

/**
 * Text for an error code in place of the API's, which is written for programmers. `title` and `detail` replace those of
 * the API, an empty `detail` leaves it out; `hint` says what to do.
 * @typedef {{ title?: string, detail?: string, hint?: string }} Message
 */

/** @type {Partial<Record<Api.Problem["code"], Message>>} */
const MESSAGES = {
  unauthorized: { title: "Enter your API key", detail: "", hint: "Use the key button, top right." },
  forbidden_url: { title: "This address isn’t allowed" },
  fetch_failed: { title: "The file couldn’t be downloaded" },
  job_not_found: { title: "Not found", detail: "It may have been deleted or has expired." },
  job_expired: { title: "This result has expired", detail: "" },
  unsupported_media: {
    title: "This file type isn’t supported",
    detail: "",
    hint:
      "Photos: JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF, BMP. Audio: WAV, AIFF, MP3, AAC, FLAC, OGG, M4A, WMA, CAF, AMR. " +
      "Video: MP4, MOV, WebM, MKV, AVI, TS, MTS, MPG, WMV, FLV.",
  },
  media_invalid: { title: "This file can’t be opened", detail: "It seems damaged or incomplete." },
  media_too_long: { title: "This file is too long", hint: "Use a shorter file." },
  media_too_large_frame: { title: "This picture is too large", hint: "Use a smaller picture." },
  file_too_large: { title: "This file is too large", hint: "Use a shorter or smaller file." },
  no_streams: { title: "The file has no audio or video", detail: "" },
  processing_timeout: { title: "The analysis took too long", hint: "Use a shorter file." },
  worker_lost: {
    title: "The analysis stopped unexpectedly",
    detail: "",
    hint: "Try again; if it happens again, see the server log.",
  },
  too_many_jobs: {
    title: "Too many analyses are waiting",
    hint: "Wait until some of them are done.",
  },
  rate_limited: { title: "Too many requests", detail: "", hint: "Wait a moment, then try again." },
  queue_unavailable: {
    title: "The job queue can’t be reached",
    detail: "",
    hint: "Try again in a moment.",
  },
  storage_unavailable: {
    title: "The storage can’t be reached",
    detail: "",
    hint: "Try again in a moment.",
  },
  storage_full: { title: "The server has no space left for this file" },
  internal_error: {
    title: "Something went wrong on the server",
    hint: "Try again; if it happens again, see the server log.",
  },
};

const INVALID_KEY_TITLE = "This API key isn’t valid";

/** @typedef {{ location: string, message: string }} Fault */

/** An error to show; programs decide by `code`. */
export class Problem extends Error {
  /**
   * @param {{ title?: string, detail?: string | null, code?: string, errors?: Fault[] | null, hint?: string }} fields
   */
  constructor({ title = "Something went wrong", detail = "", code = "unknown", errors = null, hint = "" }) {
    super(title);
    this.name = "Problem";
    this.title = title;
    this.detail = detail || (errors ?? []).map((fault) => `${fault.location}: ${fault.message}`).join("; ");
    this.code = code;
    this.hint = hint;
  }

  /** Return detail and hint as sentences. */
  get sentences() {
    return [this.detail, this.hint].filter(Boolean).map((text) => (/[.?!]$/.test(text) ? text : `${text}.`));
  }

  /**
   * Return a problem that the API reports, in the words of this page.
   * @param {Partial<Api.Problem>} problem
   * @param {{ sentKey?: boolean }} [request] `sentKey`: an API key was sent
   */
  static fromApi({ title, detail, code, errors }, { sentKey = false } = {}) {
    const keyRefused = sentKey && code === "unauthorized" ? { title: INVALID_KEY_TITLE } : {};
    const message = code ? MESSAGES[code] : undefined;
    const details = message?.detail === undefined ? { detail, errors } : {};
    return new Problem({ title, code, ...details, ...message, ...keyRefused });
  }

  static unreachable() {
    return new Problem({
      code: "unreachable",
      title: "Can’t reach the server",
      detail: "Check your connection and that the service is running.",
    });
  }

  /** @param {unknown} error */
  static fromError(error) {
    if (error instanceof Problem) return error;
    return new Problem({ detail: error instanceof Error ? error.message : String(error) });
  }
}

/**
 * Return whether an error only says that a request was aborted.
 * @param {unknown} error
 */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";
