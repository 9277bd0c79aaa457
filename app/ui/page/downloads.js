// The result as files, and what else the job made.

import { Problem, call, ticketed } from "./api.js";
import { announce, icon, make } from "./dom.js";
import { bytes } from "./format.js";

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

export function downloads(job) {
  const files = FORMATS.map(([name, about, query]) => item(name, about, () => save(`${job.links.result}?format=${query}`)));
  return make("section", { className: "card downloads" }, make("h2", { textContent: "Downloads" }), make("ul", { className: "files" }, files));
}

/** An artifact of the job, as its own address gives it. */
export const artifactItem = (artifact) => item(artifact.name, bytes(artifact.size), async () => open(await ticketed(artifact.path), artifact.name));

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
