// One job: its progress, then its result or why it failed.

import { infoBox, problemAlert } from "../components/alerts.js";
import { confirmDelete, statusMark } from "../components/job-status.js";
import { Progress } from "../components/progress.js";
import { showShareDialog } from "../components/share-dialog.js";
import { getResult } from "../api.js";
import { announce, button, h } from "../lib/dom.js";
import { labelOf } from "../lib/emotions.js";
import { followJob } from "../lib/job-events.js";
import { isFinished, jobName } from "../lib/jobs.js";
import { Problem } from "../lib/problem.js";
import { personOf, timeOf } from "../lib/route.js";
import { STRINGS } from "../lib/strings.js";
import { resultView, wholeMediaLabel } from "./result.js";

/** @type {import("./home.js").View} */
export async function jobView(root, [id], signal, query) {
  const title = h("h1", { tabIndex: -1, textContent: "…", dir: "auto" });
  const tools = h("span", { className: "tools" });
  const body = h("div");
  const back = h("a", { className: "back", href: "#/", textContent: STRINGS.job.allAnalyses });
  const retention = h("p", { className: "muted" });
  root.append(h("header", { className: "page-head" }, back, h("div", {}, title, tools)), body, retention);
  /** @type {Progress | null} */
  let progress = null;
  /** @param {Api.Job} job */
  const onChange = (job) => {
    title.textContent = document.title = jobName(job);
    tools.replaceChildren(statusMark(job), ...finishedTools(job));
    if (isFinished(job)) return;
    if (!progress) {
      progress = new Progress(job);
      body.replaceChildren(progress.element);
    }
    progress.show(job);
  };
  const job = await followJob(id, { onChange, signal });
  if (job.status === "succeeded") {
    retention.textContent = retentionText(job);
    const result = await showResult(job, body, signal, timeOf(query), personOf(query));
    if (progress) announce(STRINGS.job.done(wholeMediaLabel(result.media), labelOf(result.overall.emotion)));
  } else if (job.status === "cancelled") {
    body.replaceChildren(infoBox(STRINGS.job.thisAnalysisWasCancelled));
  } else {
    body.replaceChildren(problemAlert(Problem.fromApi(job.error ?? {})));
  }
}

/**
 * Show the result of a job, and show it again when its people have changed.
 * @param {Api.Job} job
 * @param {HTMLElement} body
 * @param {AbortSignal} signal
 * @param {number | null} time seconds at which it opens; null: at the beginning
 * @param {number | null} person who is shown; null: all people
 */
async function showResult(job, body, signal, time, person) {
  const result = await getResult(job.id, signal);
  const shown = new AbortController();
  signal.addEventListener("abort", () => shown.abort());
  /** @param {{ time: number, person: number | null }} state */
  const onChange = async (state) => {
    await showResult(job, body, signal, state.time, state.person);
    shown.abort();
  };
  body.replaceChildren(resultView(job, result, { signal: shown.signal, time, person, onChange }));
  return result;
}

/** @param {Api.Job} job */
function finishedTools(job) {
  if (!isFinished(job)) return [];
  const share = button(STRINGS.share.share, () => showShareDialog(job), { icon: "link", kind: "quiet" });
  return job.status === "succeeded" ? [share, deleteButton(job)] : [deleteButton(job)];
}

/**
 * Say what is stored of a finished job, and until when.
 * @param {Api.Job} job
 */
function retentionText({ expires_at: expiresAt, links }) {
  if (!expiresAt) return "";
  const date = new Date(expiresAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const file = links.media ? STRINGS.job.theFileIsKept : STRINGS.job.theFileIsNotStored;
  return `${STRINGS.job.storedUntil(date)}; ${file}`;
}

/** @param {Api.Job} job */
function deleteButton(job) {
  const onClick = async () => {
    if (await confirmDelete(job)) location.hash = "#/";
  };
  return button(STRINGS.job.delete, onClick, { icon: "trash", kind: "quiet" });
}
