// The page: which view is shown, and what stands above all of them.

import { compareView } from "./compare.js";
import { announce, byId, icon, make } from "./dom.js";
import { Intake } from "./intake.js";
import { jobView } from "./job.js";
import { JobList } from "./jobs.js";
import { liveView } from "./live.js";
import { problemNotice } from "./notice.js";
import { OptionsPanel } from "./options.js";
import { key, recall, remember, setKey } from "./settings.js";

const VIEWS = { "": homeView, job: jobView, compare: compareView, live: liveView };
const THEMES = ["light", "dark"];

let shown = new AbortController();

function homeView(root, _, signal) {
  document.title = "Affect";
  const jobs = new JobList({ signal });
  const accepted = (job, alone) => (alone ? (location.hash = `#/job/${job.id}`) : jobs.refresh());
  const intake = new Intake({ options: new OptionsPanel(), accepted, signal });
  const lead = make("p", { className: "lead", textContent: "See how the people in a photo, a recording or a video come across, moment by moment: face, voice and words, each alone and together." });
  root.append(make("div", { className: "home" }, make("section", { className: "hero" }, make("h1", { tabIndex: -1, textContent: "Read the room" }), lead, intake.element), jobs.element));
  jobs.refresh();
}

async function show() {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const [name = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const root = byId("view");
  root.replaceChildren();
  for (const link of document.querySelectorAll("nav a[data-view]")) link.ariaCurrent = link.dataset.view === (name === "live" ? "live" : "") ? "page" : null;
  try {
    const viewed = (VIEWS[name] ?? homeView)(root, rest, signal);
    root.querySelector("h1")?.focus({ preventScroll: true });
    scrollTo(0, 0);
    await viewed;
  } catch (error) {
    if (!signal.aborted) root.append(problemNotice(error, show));
  }
}

function offerTheme() {
  const toggle = byId("theme");
  const dark = () => (recall("theme", null) ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => {
    toggle.ariaLabel = toggle.title = dark() ? "Light colours" : "Dark colours";
    toggle.replaceChildren(icon(dark() ? "sun" : "moon"));
  };
  toggle.addEventListener("click", () => {
    const next = THEMES[Number(!dark())];
    remember("theme", next);
    document.documentElement.dataset.theme = next;
    dispatchEvent(new Event("themechange"));
    name();
  });
  name();
}

function offerKey() {
  const [dialog, field] = [byId("key-dialog"), byId("key-field")];
  const mark = () => byId("key").classList.toggle("set", key() !== "");
  byId("key").append(icon("key"));
  byId("key").addEventListener("click", () => {
    field.value = key();
    dialog.showModal();
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "keep") return;
    setKey(field.value.trim());
    announce(key() ? "The key is set for this tab" : "No key is set");
    mark();
  });
  mark();
}

byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("view").focus();
});
offerTheme();
offerKey();
addEventListener("hashchange", show);
show();
