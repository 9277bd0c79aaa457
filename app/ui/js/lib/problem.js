// Errors with a text for people: the API's problems (RFC 9457) and those of the page itself.

import { STRINGS } from "./strings.js";

/**
 * Text for an error code in place of the API's, which is written for programmers. `title` and `detail` replace those of
 * the API, an empty `detail` leaves it out; `hint` says what to do.
 * @typedef {{ title?: string, detail?: string, hint?: string }} Message
 */

/** @type {Partial<Record<Api.Problem["code"], Message>>} */
const MESSAGES = {
  unauthorized: { title: STRINGS.problem.enterYourApiKey, detail: "", hint: STRINGS.problem.useTheKeyButtonTop },
  forbidden_url: { title: STRINGS.problem.thisAddressIsntAllowed },
  fetch_failed: { title: STRINGS.problem.theFileCouldntBeDownloaded },
  job_not_found: { title: STRINGS.problem.notFound, detail: STRINGS.problem.itMayHaveBeenDeleted },
  job_expired: { title: STRINGS.problem.thisResultHasExpired, detail: "" },
  unsupported_media: {
    title: STRINGS.problem.thisFileTypeIsntSupported,
    detail: "",
    hint: STRINGS.problem.acceptedFormats,
  },
  media_invalid: { title: STRINGS.problem.thisFileCantBeOpened, detail: STRINGS.problem.itSeemsDamagedOrIncomplete },
  media_too_long: { title: STRINGS.problem.thisFileIsTooLong, hint: STRINGS.problem.useAShorterFile },
  media_too_large_frame: { title: STRINGS.problem.thisPictureIsTooLarge, hint: STRINGS.problem.useASmallerPicture },
  file_too_large: { title: STRINGS.problem.thisFileIsTooLarge, hint: STRINGS.problem.useAShorterOrSmaller },
  no_streams: { title: STRINGS.problem.theFileHasNoAudio, detail: "" },
  processing_timeout: { title: STRINGS.problem.theAnalysisTookTooLong, hint: STRINGS.problem.useAShorterFile },
  worker_lost: {
    title: STRINGS.problem.theAnalysisStoppedUnexpectedly,
    detail: "",
    hint: STRINGS.problem.tryAgainIfItHappens,
  },
  too_many_jobs: {
    title: STRINGS.problem.tooManyAnalysesAreWaiting,
    hint: STRINGS.problem.waitUntilSomeOfThem,
  },
  rate_limited: { title: STRINGS.problem.tooManyRequests, detail: "", hint: STRINGS.problem.waitAMomentThenTry },
  queue_unavailable: {
    title: STRINGS.problem.theJobQueueCantBe,
    detail: "",
    hint: STRINGS.problem.tryAgainInAMoment,
  },
  storage_unavailable: {
    title: STRINGS.problem.theStorageCantBeReached,
    detail: "",
    hint: STRINGS.problem.tryAgainInAMoment,
  },
  storage_full: { title: STRINGS.problem.theServerHasNoSpace },
  internal_error: {
    title: STRINGS.problem.somethingWentWrongOnThe,
    hint: STRINGS.problem.tryAgainIfItHappens,
  },
};

const INVALID_KEY_TITLE = STRINGS.problem.thisApiKeyIsntValid;

/** @typedef {{ location: string, message: string }} Fault */

/** An error to show; programs decide by `code`. */
export class Problem extends Error {
  /**
   * @param {{ title?: string, detail?: string | null, code?: string, errors?: Fault[] | null, hint?: string }} fields
   */
  constructor({ title = STRINGS.problem.somethingWentWrong, detail = "", code = "unknown", errors = null, hint = "" }) {
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
      title: STRINGS.problem.cantReachTheServer,
      detail: STRINGS.problem.checkYourConnectionAndThat,
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
