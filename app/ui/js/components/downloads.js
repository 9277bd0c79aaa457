// The result in export formats, and the files that the job made.

import { call, ticketPath } from "../api.js";
import { disclosure, h, icon } from "../lib/dom.js";
import { exportChoices, fileNameIn } from "../lib/export-formats.js";
import { countOf, formatBytes } from "../lib/format.js";
import { saveFile, saveUrl } from "../lib/local-files.js";
import { notifyProblem } from "../lib/notices.js";
import { STRINGS } from "../lib/strings.js";

/** Kinds of artifacts that are listed with the exports; the others are folded away. */
const MAIN_KINDS = ["summary", "video", "picture"];

/** @typedef {import("../lib/artifacts.js").IndexedArtifact} IndexedArtifact */

/**
 * Create a card with downloads; `add` adds the files that the job made, `setPerson` has the exports report one person,
 * or all (null).
 * @param {Api.Job} job
 */
export function downloads(job) {
  /** @type {number | null} */
  let person = null;
  const items = exportChoices().map(({ name, description }, index) =>
    fileItem(name, description, () => downloadExport(`${job.links.result}?${exportChoices(person)[index].query}`)),
  );
  const list = h("ul", { className: "files" }, ...items);
  const setPerson = (/** @type {number | null} */ chosen) => void (person = chosen);
  const element = h(
    "section",
    { className: "card downloads" },
    h("h2", { textContent: STRINGS.downloads.downloads }),
    list,
  );
  /** @param {IndexedArtifact[]} artifacts */
  const add = (artifacts) => {
    /** @param {IndexedArtifact} artifact */
    const isMain = ({ kind }) => kind !== undefined && MAIN_KINDS.includes(kind);
    const others = artifacts.filter((artifact) => !isMain(artifact)).map(artifactItem);
    list.append(...artifacts.filter(isMain).map(artifactItem));
    if (!others.length) return;
    const title = countOf(others.length, STRINGS.downloads.moreImage);
    element.append(disclosure(title, h("ul", { className: "files" }, ...others)));
  };
  return { element, add, setPerson };
}

/** @param {IndexedArtifact} artifact */
const artifactItem = ({ name, size, link }) =>
  fileItem(name, formatBytes(size), async () => saveUrl(await ticketPath(link), name));

/**
 * @param {string} name
 * @param {string} description
 * @param {() => Promise<void>} download
 */
function fileItem(name, description, download) {
  const onClick = async () => {
    try {
      await download();
    } catch (error) {
      notifyProblem(error);
    }
  };
  const text = h("span", {}, h("b", { textContent: name }), h("small", { textContent: description }));
  return h(
    "li",
    {},
    h("button", { type: "button", className: "file", on: { click: onClick } }, icon("download"), text),
  );
}

/**
 * Download an export under the name that the service gives it. A link could not send the API key.
 * @param {string} path
 */
async function downloadExport(path) {
  const response = await call(path);
  saveFile(await response.blob(), fileNameIn(response.headers.get("Content-Disposition") ?? ""));
}
