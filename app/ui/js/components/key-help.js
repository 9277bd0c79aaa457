// The dialog that lists the keys of a result.

import { button, h } from "../lib/dom.js";
import { STRINGS } from "../lib/strings.js";

/** Show the keys until the dialog is closed. */
export function showKeyHelp() {
  const rows = STRINGS.keyHelp.keys.map(([keys, action]) =>
    h("div", {}, h("dt", {}, ...keys.flatMap((key) => [h("kbd", { textContent: key }), " "])), h("dd", {}, action)),
  );
  const close = button(STRINGS.keyHelp.close, () => dialog.close(), { kind: "primary" });
  const title = h("h2", { textContent: STRINGS.keyHelp.title });
  const dialog = h(
    "dialog",
    { className: "key-help", ariaLabel: STRINGS.keyHelp.title },
    title,
    h("dl", {}, ...rows),
    close,
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
