import { go } from "./address.js";
import { startBanner } from "./banner.js";
import { byId, fill, h } from "./dom.js";
import { startLogin } from "./login.js";
import { nodeInfo } from "./node.js";
import { start } from "./router.js";
import { addShortcuts, showShortcuts, startShortcuts } from "./shortcuts.js";

const icons = { light: "☀", dark: "☾", auto: "◐" };

/** @typedef {keyof typeof icons} Theme */

function startTheme() {
  const button = byId("theme");
  /** @type {() => Theme} */
  const current = () => /** @type {Theme} */ (document.documentElement.dataset.theme ?? "auto");
  const show = () => {
    button.textContent = icons[current()];
    const words = { light: "light", dark: "dark", auto: "as the system has it" };
    button.setAttribute("aria-label", `Theme: ${words[current()]}`);
    button.title = button.getAttribute("aria-label") ?? "";
  };
  const turn = () => {
    /** @type {Theme} */
    const next = { auto: /** @type {Theme} */ ("light"), light: /** @type {Theme} */ ("dark"), dark: /** @type {Theme} */ ("auto") }[current()];
    if (next === "auto") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("theme");
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem("theme", next);
    }
    show();
  };
  button.addEventListener("click", turn);
  show();
  return turn;
}

startLogin();
startShortcuts();
const turnTheme = startTheme();
byId("help").addEventListener("click", showShortcuts);
addShortcuts(null, "Everywhere", {
  "g t": ["Traces", () => go("#/traces")],
  "g o": ["Overview", () => go("#/overview")],
  "g m": ["Manager", () => go("#/manager")],
  "g i": ["Inventory", () => go("#/inventory")],
  t: ["Theme: light, dark, system", turnTheme],
  "?": ["This help", showShortcuts],
});
await start();
// The view is there, with what it shows; all else can wait for it.
performance.mark("interactive");
startBanner();
nodeInfo().then((node) => {
  fill(byId("node"),
    h("span", { class: "mono" }, node.hostname), h("span", {}, node.version),
    node.login && h("button", { type: "button", class: "bare", onclick: logOut }, "Log out"));
}, () => {
  // The view says it.
});

async function logOut() {
  await fetch("/api/logout", { method: "POST" });
  location.reload();
}
