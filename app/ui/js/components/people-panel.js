// The people of a result: who is seen and who talks. One can be chosen, named, and merged with another or separated.

import { changeJob } from "../api.js";
import { announce, button, h, present, select } from "../lib/dom.js";
import { formatPercent, formatTime } from "../lib/format.js";
import { notifyProblem } from "../lib/notices.js";
import { overlaps, personName, pictureOf, talkShares } from "../lib/people.js";
import { STRINGS } from "../lib/strings.js";
import { artifactImage } from "./artifact-image.js";
import { badge } from "./emotion-badge.js";

const MAX_NAME_LENGTH = 100;
/** Pairs who talk at once that are listed. */
const MAX_OVERLAPS = 5;

/** @typedef {import("../lib/artifacts.js").IndexedArtifact} IndexedArtifact */

export class PeoplePanel {
  /** @type {number | null} */
  #chosen = null;

  /**
   * @param {{
   *   job: Api.Job,
   *   people: Api.Person[],
   *   signal: AbortSignal,
   *   onChoose: (person: Api.Person | null) => void,
   *   onChange: (person: number | null) => Promise<void>,
   * }} settings `onChoose`: one person is to be shown, or all (null); `onChange`: the people of the result have changed;
   *   `person`: the chosen one
   */
  constructor({ job, people, signal, onChoose, onChange }) {
    this.job = job;
    this.people = people;
    this.signal = signal;
    this.onChoose = onChoose;
    this.onChange = onChange;
    const shares = talkShares(people);
    this.choices = people.map((person) => this.#choice(person, shares.get(person.person) ?? 0));
    this.everyone = h("button", {
      type: "button",
      className: "button quiet",
      textContent: STRINGS.people.everyone,
      on: { click: () => this.#choose(null) },
    });
    this.editor = h("div", { className: "person-editor", hidden: true });
    this.element = h(
      "section",
      { className: "card people" },
      h("header", {}, h("h2", { textContent: STRINGS.people.people }), people.length > 1 ? this.everyone : null),
      h("ul", { className: "people-list" }, ...this.choices.map((choice) => h("li", {}, choice))),
      this.editor,
      overlapList(people),
      h("p", { className: "muted explanation", textContent: STRINGS.people.privacy }),
      button(STRINGS.people.undoAll, () => this.#change({ people: null }), { kind: "quiet" }),
    );
    this.#mark();
  }

  /**
   * Put the picture of each person before the name.
   * @param {IndexedArtifact[]} artifacts
   */
  addPictures(artifacts) {
    this.people.forEach((person, index) => {
      const picture = pictureOf(artifacts, person);
      if (!picture) return;
      const image = artifactImage({ ...picture, title: "" }, this.signal); // the name is next to it
      this.choices[index].querySelector(".person-picture")?.replaceWith(image);
    });
  }

  /**
   * Choose a person, and move the focus there; the first one if there is no such person any more.
   * @param {number} number
   */
  open(number) {
    const index = this.people.findIndex(({ person }) => person === number);
    if (index >= 0) this.#choose(this.people[index]);
    this.choices[Math.max(index, 0)].focus();
  }

  /**
   * @param {Api.Person} person
   * @param {number} share of the talk of all
   */
  #choice(person, share) {
    const placeholder = h("span", { className: "person-picture", ariaHidden: "true", textContent: `${person.person}` });
    const facts = [
      person.seen_seconds ? STRINGS.people.seen(formatTime(person.seen_seconds, 0)) : STRINGS.people.notSeen,
      person.talk_seconds
        ? STRINGS.people.talks(formatTime(person.talk_seconds, 0), formatPercent(share))
        : STRINGS.people.doesNotTalk,
    ];
    const text = h(
      "span",
      { className: "person-text" },
      h("b", { textContent: personName(person), dir: "auto" }),
      h("small", { textContent: facts.join(", ") }),
      person.match === "likely" ? h("small", { textContent: STRINGS.people.mayNotBelong }) : null,
    );
    return h(
      "button",
      { type: "button", className: "person-choice", on: { click: () => this.#toggle(person) } },
      placeholder,
      text,
      badge(person.overall),
    );
  }

  /** @param {Api.Person} person */
  #toggle(person) {
    this.#choose(this.#chosen === person.person ? null : person);
  }

  /** @param {Api.Person | null} person */
  #choose(person) {
    this.#chosen = person?.person ?? null;
    this.#mark();
    this.editor.hidden = !person;
    this.editor.replaceChildren(...(person ? this.#editorOf(person) : []));
    this.onChoose(person);
    announce(STRINGS.people.showing(person ? personName(person) : STRINGS.people.everyone));
  }

  #mark() {
    this.everyone.ariaPressed = String(this.#chosen === null);
    this.people.forEach(({ person }, index) => {
      this.choices[index].ariaPressed = String(this.#chosen === person);
    });
  }

  /** @param {Api.Person} person */
  #editorOf(person) {
    return present([this.#nameForm(person), this.#mergeForm(person), this.#splitForm(person)]);
  }

  /** @param {Api.Person} person */
  #nameForm(person) {
    const input = h("input", {
      type: "text",
      value: person.name ?? "",
      placeholder: STRINGS.people.person(person.person),
      maxLength: MAX_NAME_LENGTH,
      autocomplete: "off",
    });
    const save = () => this.#change({ people: { [person.person]: { name: input.value.trim() || null } } });
    return form(STRINGS.people.name, input, STRINGS.people.save, save, STRINGS.people.nameOf(personName(person)));
  }

  /** @param {Api.Person} person */
  #mergeForm(person) {
    const others = this.people.filter((other) => other !== person);
    if (!others.length) return null;
    const choice = choices(others.map((other) => [String(other.person), personName(other)]));
    const merge = () => choice.value && this.#change({ merge: [[person.person, Number(choice.value)]] });
    return form(STRINGS.people.samePersonAs, choice, STRINGS.people.merge, merge);
  }

  /** @param {Api.Person} person */
  #splitForm({ tracks, speech }) {
    if (tracks.length + Number(speech.length > 0) < 2) return null;
    const choice = choices(tracks.map((track) => [String(track), STRINGS.people.face(track)]));
    const split = () => choice.value && this.#change({ split: [Number(choice.value)] });
    return form(STRINGS.people.anotherPerson, choice, STRINGS.people.separate, split);
  }

  /** @param {import("../api.js").JobChange} change */
  async #change(change) {
    try {
      await changeJob(this.job.id, change, this.signal);
      await this.onChange(this.#chosen);
      announce(STRINGS.people.saved);
    } catch (error) {
      notifyProblem(error);
    }
  }
}

/** @param {Api.Person[]} people */
function overlapList(people) {
  const names = new Map(people.map((person) => [person.person, personName(person)]));
  const list = new Intl.ListFormat(STRINGS.locale);
  const lines = overlaps(people).slice(0, MAX_OVERLAPS);
  const texts = lines.map(({ people: pair, seconds }) =>
    STRINGS.people.atOnce(list.format(pair.map((number) => names.get(number) ?? "")), formatTime(seconds)),
  );
  return texts.length
    ? h("ul", { className: "overlaps" }, ...texts.map((text) => h("li", { textContent: text })))
    : null;
}

/** @param {[value: string, text: string][]} items */
const choices = (items) => select([["", STRINGS.people.choose], ...items], { required: true });

/**
 * @param {string} name
 * @param {HTMLElement} control
 * @param {string} action
 * @param {() => unknown} onSubmit
 * @param {string} [ariaLabel] of the form
 */
function form(name, control, action, onSubmit, ariaLabel = name) {
  const submit = h("button", { type: "submit", className: "button", textContent: action });
  const onEvent = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    onSubmit();
  };
  return h("form", { ariaLabel, on: { submit: onEvent } }, h("label", { className: "field" }, name, control), submit);
}
