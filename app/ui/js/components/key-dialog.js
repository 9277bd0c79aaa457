// The button and the dialog for the API key.

import { announce, byId, icon } from "../lib/dom.js";
import { STRINGS } from "../lib/strings.js";
import { apiKey, setApiKey } from "../settings.js";

/** Value that the dialog returns if the key is to be saved. */
const SAVE = "save";

/** Connect the elements of index.html. */
export function setUpKeyDialog() {
  const dialog = byId("key-dialog", HTMLDialogElement);
  const field = byId("key-field", HTMLInputElement);
  const open = byId("key-button", HTMLButtonElement);
  const markAsSet = () => open.classList.toggle("set", apiKey() !== "");
  open.append(icon("key"));
  open.addEventListener("click", () => {
    field.value = apiKey();
    dialog.showModal();
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== SAVE) return;
    setApiKey(field.value.trim());
    announce(apiKey() ? STRINGS.keyDialog.apiKeySavedForThis : STRINGS.keyDialog.apiKeyRemoved);
    markAsSet();
  });
  markAsSet();
}
