// The result as files, and what else the job made.

import { Problem, call, ticketed } from "./api.js";
import { announce, icon, make } from "./dom.js";
import { bytes, plural } from "./format.js";

const FORMATS = [
  ["CSV", "one row a window", "csv&rows=windows"],
  ["CSV, faces", "one row a face and frame", "csv&rows=faces"],
  ["CSV, moments", "peaks and shifts", "csv&rows=moments"],
  ["CSV, words", "how often each was said", "csv&rows=words"],
  ["WebVTT", "subtitles with emotion", "vtt"],
  ["SubRip", "subtitles with emotion", "srt"],
  ["ELAN", "annotation tiers", "eaf"],
  ["Praat", "TextGrid tiers", "textgrid"],
  ["Text", "to read", "txt"],
  ["JSON", "everything", "json"],
];
const SHOWN = ["summary", "video", "picture"]; // kinds of artifacts that are asked for by themselves

/** A card of files; `add(artifacts)` puts what the job made beside them, its many pictures out of the way. */
export function downloads(job) {
  const list = make("ul", { className: "files" }, FORMATS.map(([name, about, query]) => item(name, about, () => save(`${job.links.result}?format=${query}`))));
  const element = make("section", { className: "card downloads" }, make("h2", { textContent: "Downloads" }), list);
  const add = (artifacts) => {
    const many = artifacts.filter(({ kind }) => !SHOWN.includes(kind)).map(artifactItem);
    list.append(...artifacts.filter(({ kind }) => SHOWN.includes(kind)).map(artifactItem));
    if (many.length) element.append(make("details", {}, make("summary", { textContent: `${plural(many.length, "picture")} more` }), make("ul", { className: "files" }, many)));
  };
  return { element, add };
}

const artifactItem = ({ name, size, link }) => item(name, bytes(size), async () => open(await ticketed(link), name));

function item(name, about, listener) {
  const words = make("span", {}, make("b", { textContent: name }), make("small", { textContent: about }));
  return make("li", {}, make("button", { type: "button", className: "file", on: { click: () => attempt(listener) } }, icon("save"), words));
}

async function attempt(listener) {
  try {
    await listener();
  } catch (error) {
    announce(Problem.of(error).sentences.join(" "));
  }
}

/** The header may not be sent by a link: the file is fetched, then kept under the name that the service gave it. */
async function save(path) {
  const answer = await call(path);
  const disposition = answer.headers.get("Content-Disposition") ?? "";
  const extended = /filename\*=UTF-8''([^;]+)/.exec(disposition)?.[1];
  const plain = /filename="([^"]*)"/.exec(disposition)?.[1];
  const url = URL.createObjectURL(await answer.blob());
  open(url, extended ? decodeURIComponent(extended) : (plain ?? "result"));
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function open(href, download) {
  make("a", { href, download }).click();
}
