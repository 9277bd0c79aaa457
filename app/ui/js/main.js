// Entry point of index.html: shows the view that the URL names.

import { setShareToken } from "./api.js";
import { problemAlert } from "./components/alerts.js";
import { setUpKeyDialog } from "./components/key-dialog.js";
import { setUpThemeButton } from "./components/theme-button.js";
import { byId } from "./lib/dom.js";
import { setUpDropping } from "./lib/dropped-files.js";
import { parseRoute } from "./lib/route.js";
import { compareView } from "./views/compare.js";
import { homeView } from "./views/home.js";
import { jobView } from "./views/job.js";
import { liveView } from "./views/live.js";
import { sampleView } from "./views/sample.js";

/** @type {Record<string, import("./views/home.js").View>} */
const VIEWS = { "": homeView, job: jobView, compare: compareView, live: liveView, sample: sampleView };

/** Aborted when another view is shown. */
let currentView = new AbortController();

async function showView() {
  currentView.abort();
  currentView = new AbortController();
  const { signal } = currentView;
  const { name, parameters, query } = parseRoute(location.hash);
  setShareToken(query.get("share") ?? "");
  const root = byId("view", HTMLElement);
  root.replaceChildren();
  markNavigation(name);
  try {
    const finished = (VIEWS[name] ?? homeView)(root, parameters, signal, query);
    root.querySelector("h1")?.focus({ preventScroll: true });
    scrollTo(0, 0);
    await finished;
  } catch (error) {
    if (signal.aborted) return;
    root.append(problemAlert(error, showView));
    addEventListener("online", () => showView(), { once: true, signal });
    addEventListener("keychange", () => showView(), { once: true, signal });
  }
}

/** @param {string} name of the view */
function markNavigation(name) {
  const current = name === "live" ? "live" : "";
  for (const link of document.querySelectorAll("nav a")) {
    const { view } = /** @type {HTMLElement} */ (link).dataset;
    link.ariaCurrent = view === current ? "page" : null;
  }
}

byId("skip-link", HTMLElement).addEventListener("click", (event) => {
  event.preventDefault();
  byId("view", HTMLElement).focus();
});
setUpThemeButton();
setUpKeyDialog();
setUpDropping();
addEventListener("hashchange", showView);
showView();
