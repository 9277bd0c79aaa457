// The dialog that creates, lists and revokes links with which others can read one analysis.

import { call, getJson, jobPath } from "../api.js";
import { button, checkbox, h, select } from "../lib/dom.js";
import { notify, notifyProblem } from "../lib/notices.js";
import { STRINGS } from "../lib/strings.js";

const HOURS_PER_DAY = 24;
const DEFAULT_DAYS = "7";

/**
 * Show the dialog until it is closed.
 * @param {Api.Job} job
 */
export function showShareDialog(job) {
  const path = `${jobPath(job.id)}/shares`;
  const days = select(STRINGS.share.durations, { value: DEFAULT_DAYS, ariaLabel: STRINGS.share.validFor });
  const media = checkbox(STRINGS.share.withMedia);
  media.control.disabled = !job.links.media;
  const link = h("input", { readOnly: true, hidden: true, ariaLabel: STRINGS.share.link });
  const list = h("ul", { className: "shares" });
  const refresh = async () => {
    try {
      /** @type {Api.ShareList} */
      const { shares } = await getJson(path);
      list.replaceChildren(...shares.map((share) => shareRow(path, share, refresh)));
    } catch (error) {
      notifyProblem(error);
    }
  };
  const create = async () => {
    try {
      const body = JSON.stringify({ hours: Number(days.value) * HOURS_PER_DAY, media: media.control.checked });
      const response = await call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
      /** @type {Api.NewShare} */
      const share = await response.json();
      link.value = new URL(share.link, location.href).href;
      link.hidden = false;
      link.select();
      await navigator.clipboard?.writeText(link.value).then(
        () => notify(STRINGS.share.copied),
        () => notify(STRINGS.share.created),
      );
      await refresh();
    } catch (error) {
      notifyProblem(error);
    }
  };
  const dialog = h("dialog", { className: "share-dialog", ariaLabel: STRINGS.share.title });
  dialog.append(
    h("h2", { textContent: STRINGS.share.title }),
    h("p", { className: "muted", textContent: STRINGS.share.explanation }),
    h("div", { className: "tools" }, days, media.label, button(STRINGS.share.create, create, { kind: "primary" })),
    link,
    list,
    button(STRINGS.share.close, () => dialog.close()),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  refresh();
}

/**
 * @param {string} path of the links of the job
 * @param {Api.Share} share
 * @param {() => Promise<void>} refresh
 */
function shareRow(path, { id, media, expires_at: expiresAt }, refresh) {
  const until = new Date(expiresAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const revoke = async () => {
    try {
      await call(`${path}/${encodeURIComponent(id)}`, { method: "DELETE" });
      notify(STRINGS.share.revoked);
    } catch (error) {
      notifyProblem(error);
    }
    await refresh();
  };
  const text = media ? STRINGS.share.untilWithMedia(until) : STRINGS.share.until(until);
  return h("li", {}, text, button(STRINGS.share.revoke, revoke, { kind: "quiet" }));
}
