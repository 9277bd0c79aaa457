// The button and the dialog for the API key.

import { getJson } from "../api.js";
import { byId, icon } from "../lib/dom.js";
import { notify } from "../lib/notices.js";
import { Problem } from "../lib/problem.js";
import { STRINGS } from "../lib/strings.js";
import { apiKey, setApiKey } from "../settings.js";

/** Value that the dialog returns if the key is to be saved. */
const SAVE = "save";

/** Connect the elements of index.html. */
export function setUpKeyDialog() {
  const dialog = byId("key-dialog", HTMLDialogElement);
  const field = byId("key-field", HTMLInputElement);
  const open = byId("key-button", HTMLButtonElement);
  const markAsSet = (accepted = apiKey() !== "") => open.classList.toggle("set", accepted);
  byId("key-cancel", HTMLButtonElement).addEventListener("click", () => dialog.close(""));
  open.append(icon("key"));
  open.addEventListener("click", () => {
    field.value = apiKey();
    dialog.showModal();
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== SAVE) return;
    setApiKey(field.value.trim());
    markAsSet(false);
    checkKey(markAsSet);
  });
  markAsSet();
}

/**
 * Say whether the server accepts the key.
 * @param {(accepted: boolean) => void} onAnswer
 */
async function checkKey(onAnswer) {
  if (!apiKey()) return notify(STRINGS.keyDialog.apiKeyRemoved);
  try {
    await getJson("/v1/jobs?limit=1");
    onAnswer(true);
    notify(STRINGS.keyDialog.apiKeySavedForThis);
  } catch (error) {
    const isRefused = Problem.fromError(error).code === "unauthorized";
    notify(isRefused ? STRINGS.keyDialog.theServerRefusesThisKey : STRINGS.keyDialog.apiKeySavedForThis);
  }
}
