// The page of one job: progress, then its result or why there is none.

import { Problem, jobPath, read } from "./api.js";
import { announce, button, make } from "./dom.js";
import { called } from "./emotions.js";
import { chip, erase, nameOf } from "./jobs.js";
import { problemNotice, remark } from "./notice.js";
import { Progress } from "./progress.js";
import { resultView } from "./result.js";
import { ENDED, follow } from "./watch.js";

/** Fills `root` with the job of an id, until the signal ends. */
export async function jobView(root, [id], signal) {
  const title = make("h1", { tabIndex: -1, textContent: "…" });
  const state = make("span", { className: "tools" });
  const body = make("div");
  root.append(make("header", { className: "page-head" }, make("a", { className: "back", href: "#/", textContent: "All jobs" }), make("div", {}, title, state)), body);
  let progress = null;
  const job = await follow(id, {
    signal,
    changed: (now) => {
      const name = (title.textContent = document.title = nameOf(now));
      const away = button("Erase", async () => (await erase(now, name)) && (location.hash = "#/"), { icon: "trash", kind: "quiet" });
      state.replaceChildren(chip(now), ...(ENDED.includes(now.status) ? [away] : []));
      if (!ENDED.includes(now.status)) {
        if (!progress) body.replaceChildren((progress = new Progress(now)).element);
        progress.show(now);
      }
    },
  });
  if (job.status === "failed") return body.replaceChildren(problemNotice(new Problem(job.error)));
  if (job.status === "cancelled") return body.replaceChildren(remark("This job was cancelled."));
  const result = await read(`${jobPath(id)}/result?format=json`, { signal });
  body.replaceChildren(resultView(job, result, signal));
  if (progress) announce(`Done. Overall: ${called(result.overall.emotion)}`);
}
