// The button that switches between light and dark theme.

import { byId, setIconButton } from "../lib/dom.js";
import { STRINGS } from "../lib/strings.js";
import { loadSetting, saveSetting } from "../settings.js";

/** Connect the element of index.html. */
export function setUpThemeButton() {
  const toggle = byId("theme-button", HTMLButtonElement);
  const isDark = () => {
    const theme = loadSetting("theme", /** @type {string | null} */ (null));
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const showOther = () => {
    if (isDark()) setIconButton(toggle, STRINGS.themeButton.lightTheme, "sun");
    else setIconButton(toggle, STRINGS.themeButton.darkTheme, "moon");
  };
  toggle.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    saveSetting("theme", theme);
    document.documentElement.dataset.theme = theme;
    dispatchEvent(new Event("themechange"));
    showOther();
  });
  showOther();
}
