// Copies text; a link to a place of the page.

import { notify } from "./notices.js";
import { STRINGS } from "./strings.js";

/**
 * Copy the address of a fragment of this page, and say so.
 * @param {string} fragment
 */
export async function copyLink(fragment) {
  const address = new URL(fragment, location.href).href;
  try {
    await navigator.clipboard.writeText(address);
    notify(STRINGS.clipboard.copied);
  } catch {
    notify(address);
  }
}
