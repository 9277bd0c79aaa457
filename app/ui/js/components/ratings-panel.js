// Ratings of people: correct what the model reads, comment, import ratings of annotation tools, and see how far all agree.

import { call, getJson, jobPath } from "../api.js";
import { button, disclosure, h, present, select, tableHead } from "../lib/dom.js";
import { labelOf, listOrder } from "../lib/emotions.js";
import { countOf, formatPercent, formatSpan, formatTime } from "../lib/format.js";
import { notify, notifyProblem } from "../lib/notices.js";
import { figureText, placeAt, raterLanes } from "../lib/ratings.js";
import { STRINGS } from "../lib/strings.js";
import { loadSetting, saveSetting } from "../settings.js";
import { swatch } from "./emotion-badge.js";
import { timeButton } from "./time-button.js";

const MAX_NAME_LENGTH = 100;
const MAX_COMMENT_LENGTH = 2000;
const FILE_TYPES = ".eaf,.csv,.tsv,.txt,.TextGrid";
/** Elements that use letters and digits themselves. */
const FIELDS = "input, select, textarea, dialog";

/** @typedef {import("../lib/ratings.js").RatedTarget} RatedTarget */

export class RatingsPanel {
  /** @type {number | null} Person who is rated; null: the whole. */
  #person = null;

  /**
   * @param {{
   *   job: Api.Job,
   *   result: Api.Result,
   *   playback: import("../lib/playback.js").Playback,
   *   onLanes: (lanes: ReturnType<typeof raterLanes>) => void,
   *   signal: AbortSignal,
   * }} settings `onLanes`: the ratings have changed
   */
  constructor({ job, result, playback, onLanes, signal }) {
    this.path = `${jobPath(job.id)}/ratings`;
    this.agreementPath = `${jobPath(job.id)}/agreement`;
    this.result = result;
    this.playback = playback;
    this.onLanes = onLanes;
    this.signal = signal;
    this.labels = listOrder(result.labels);
    this.rater = h("input", {
      value: loadSetting("rater", ""),
      maxLength: MAX_NAME_LENGTH,
      placeholder: STRINGS.ratings.yourName,
      ariaLabel: STRINGS.ratings.yourName,
    });
    this.rater.addEventListener("change", () => saveSetting("rater", this.rater.value.trim()));
    this.target = select(STRINGS.ratings.targets, { ariaLabel: STRINGS.ratings.target });
    this.comment = h("input", {
      maxLength: MAX_COMMENT_LENGTH,
      placeholder: STRINGS.ratings.comment,
      ariaLabel: STRINGS.ratings.comment,
    });
    this.place = h("p", { className: "muted" });
    this.list = h("ul", { className: "ratings" });
    this.agreement = h("div", { className: "agreement" });
    this.element = this.#element();
    this.element.addEventListener("toggle", () => this.element.open && this.#load(), { once: true });
    for (const event of ["time", "state"]) playback.addEventListener(event, () => this.#showPlace());
    this.target.addEventListener("change", () => this.#showPlace());
    addEventListener("keydown", (event) => this.#onKey(event), { signal });
    this.#showPlace();
  }

  #element() {
    const choices = this.labels.map((label, index) =>
      h(
        "button",
        { type: "button", className: "legend-item", on: { click: () => this.#rate(label) } },
        swatch(label),
        labelOf(label),
        h("kbd", { textContent: String(index + 1) }),
      ),
    );
    const file = h("input", { type: "file", accept: FILE_TYPES, className: "visually-hidden", tabIndex: -1 });
    file.ariaLabel = STRINGS.ratings.importFile;
    file.addEventListener("change", () => this.#import(file));
    return h(
      "details",
      { className: "card ratings-card" },
      h("summary", {}, h("h2", { textContent: STRINGS.ratings.title })),
      h("p", { className: "muted explanation", textContent: STRINGS.ratings.explanation }),
      h("div", { className: "tools" }, this.rater, this.target, this.comment),
      this.place,
      h("div", { className: "legend", role: "group", ariaLabel: STRINGS.ratings.rateAs }, choices),
      h(
        "div",
        { className: "tools" },
        button(STRINGS.ratings.onlyComment, () => this.#rate(null), { kind: "quiet" }),
        button(STRINGS.ratings.importFile, () => file.click(), { icon: "upload" }),
        button(STRINGS.ratings.showAgreement, () => this.#showAgreement()),
        file,
      ),
      this.agreement,
      this.list,
    );
  }

  /** @param {number | null} person */
  setPerson(person) {
    this.#person = person;
  }

  #placeNow() {
    const target = /** @type {RatedTarget} */ (this.target.value);
    return placeAt(this.result, target, this.playback.time);
  }

  #showPlace() {
    const place = this.#placeNow();
    if (!place) this.place.textContent = STRINGS.ratings.nothingHere;
    else if (place.end === null) this.place.textContent = formatTime(place.start);
    else this.place.textContent = formatSpan({ start: place.start, end: place.end });
  }

  /**
   * Rate with the digits while the panel is open.
   * @param {KeyboardEvent} event
   */
  #onKey(event) {
    const inField = event.target instanceof Element && event.target.closest(FIELDS);
    const label = this.labels[Number(event.key) - 1];
    if (!this.element.open || inField || !label || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#rate(label);
  }

  /** @param {string | null} emotion null: only the comment */
  async #rate(emotion) {
    const rater = this.rater.value.trim();
    const place = this.#placeNow();
    if (!rater) {
      this.rater.focus();
      return notify(STRINGS.ratings.nameFirst);
    }
    if (!place) return notify(STRINGS.ratings.nothingHere);
    const comment = this.comment.value.trim() || null;
    await this.#change(
      () =>
        call(this.path, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ rater, ratings: [{ ...place, emotion, comment, person: this.#person }] }),
        }),
      emotion ? STRINGS.ratings.rated(labelOf(emotion)) : STRINGS.ratings.commented,
    );
    this.comment.value = "";
  }

  /** @param {HTMLInputElement} input */
  async #import(input) {
    const file = input.files?.[0];
    input.value = "";
    if (!file) return;
    const form = new FormData();
    form.append("file", file);
    try {
      const response = await call(this.path, { method: "POST", body: form });
      /** @type {Api.RatingReceipt} */
      const { ratings, skipped } = await response.json();
      const left = Object.entries(skipped).map(([reason, count]) => `${count} ${reason}`);
      notify(STRINGS.ratings.imported(countOf(ratings.length, STRINGS.ratings.rating), left.join(", ")));
      await this.#load();
    } catch (error) {
      notifyProblem(error);
    }
  }

  /**
   * @param {() => Promise<unknown>} change
   * @param {string} text that says what was done
   */
  async #change(change, text) {
    try {
      await change();
      notify(text);
      await this.#load();
    } catch (error) {
      notifyProblem(error);
    }
  }

  async #load() {
    try {
      /** @type {Api.RatingList} */
      const { ratings } = await getJson(this.path, { signal: this.signal });
      this.list.replaceChildren(...ratings.map((rating) => this.#row(rating)));
      this.onLanes(raterLanes(ratings, this.result.labels, this.playback.duration));
    } catch (error) {
      if (!this.signal.aborted) notifyProblem(error);
    }
  }

  /** @param {Api.Rating} rating */
  #row({ id, rater, start, emotion, comment, person }) {
    const remove = button(
      STRINGS.ratings.deleteRating,
      () =>
        this.#change(
          () => call(`${this.path}?rating=${encodeURIComponent(id)}`, { method: "DELETE" }),
          STRINGS.ratings.deleted,
        ),
      { icon: "trash", iconOnly: true, kind: "quiet" },
    );
    const facts = [rater, person ? STRINGS.timelineTracks.person(person) : null].filter(Boolean).join(", ");
    const text = h(
      "span",
      { dir: "auto" },
      ...present([emotion && swatch(emotion), emotion && ` ${labelOf(emotion)} `, comment]),
      h("small", { textContent: ` ${facts}` }),
    );
    return h("li", {}, timeButton(this.playback, start), text, remove);
  }

  async #showAgreement() {
    try {
      /** @type {Api.AgreementReport} */
      const report = await getJson(this.agreementPath, { signal: this.signal });
      this.agreement.replaceChildren(...agreementView(report));
    } catch (error) {
      notifyProblem(error);
    }
  }
}

/** @param {Api.AgreementReport} report */
function agreementView({ labels, overall }) {
  if (!overall.units) return [h("p", { className: "muted", textContent: STRINGS.ratings.nothingRated })];
  const pairs = [...overall.pairs, ...overall.model];
  const rows = pairs.map(({ first, second, units, agreement, cohen_kappa: kappa }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", textContent: `${first} – ${second}` }),
      [String(units), agreement === null ? "–" : formatPercent(agreement), figureText(kappa)].map((textContent) =>
        h("td", { className: "number", textContent }),
      ),
    ),
  );
  const head = tableHead(STRINGS.ratings.pairHeadings);
  const alpha = `${STRINGS.ratings.alpha}: ${figureText(overall.krippendorff_alpha)}`;
  const kappa = `${STRINGS.ratings.fleiss}: ${figureText(overall.fleiss_kappa)}`;
  return [
    h("p", { textContent: `${alpha} · ${kappa}` }),
    h("div", { className: "scroll" }, h("table", { className: "windows" }, head, h("tbody", {}, ...rows))),
    ...overall.model.map((pair) => disclosure(STRINGS.ratings.confusion(pair.first), confusionTable(labels, pair))),
  ];
}

/**
 * @param {string[]} labels
 * @param {Api.PairAgreement} pair
 */
function confusionTable(labels, { first, second, confusion }) {
  const rows = confusion.map((counts, row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, swatch(labels[row]), labelOf(labels[row])),
      counts.map((count) => h("td", { className: "number", textContent: String(count) })),
    ),
  );
  const head = tableHead([`${first} ↓ ${second} →`, ...labels.map((label) => labelOf(label))]);
  return h("div", { className: "scroll" }, h("table", { className: "windows" }, head, h("tbody", {}, ...rows)));
}
