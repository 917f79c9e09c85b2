import { openDialog } from "./dialog.js";
import { h } from "./dom.js";

/**
 * Keys: one character, a named key as in KeyboardEvent.key, or two of them one after the other: "j", "Enter", "g t".
 *
 * @typedef {object} Shortcut
 * @property {string} keys
 * @property {string} what it does, in words
 * @property {string} group
 * @property {(event: KeyboardEvent) => void} run
 */

/** @type {Set<Shortcut>} */
const known = new Set();
let prefix = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */
let prefixTimer;

/**
 * Has keys do something until the signal aborts.
 *
 * @param {AbortSignal | null} signal
 * @param {string} group
 * @param {Record<string, [string, (event: KeyboardEvent) => void]>} shortcuts keys → what, function
 */
export function addShortcuts(signal, group, shortcuts) {
  for (const [keys, [what, run]] of Object.entries(shortcuts)) {
    const shortcut = { keys, what, group, run };
    known.add(shortcut);
    signal?.addEventListener("abort", () => known.delete(shortcut));
  }
}

const silenced = () => localStorage.getItem("shortcuts") === "off";

/** @param {EventTarget | null} target */
function takesText(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "file"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (takesText(event.target) || document.querySelector("dialog[open]")) return;
  // Enter belongs to what has the focus.
  if (event.key === "Enter" && event.target instanceof Element && event.target.closest("button, a, summary")) return;
  const single = event.key.length === 1;
  if (silenced() && single && event.key !== "?") return;

  const keys = prefix ? `${prefix} ${event.key}` : event.key;
  clearTimeout(prefixTimer);
  prefix = "";
  const all = [...known];
  const found = all.findLast((shortcut) => shortcut.keys === keys);
  if (found) {
    event.preventDefault();
    found.run(event);
  } else if (all.some((shortcut) => shortcut.keys.startsWith(`${keys} `))) {
    prefix = keys;
    prefixTimer = setTimeout(() => { prefix = ""; }, 1500);
  }
}

/** Listens to the keyboard. */
export function startShortcuts() {
  document.addEventListener("keydown", pressed);
}

const names = /** @type {Record<string, string>} */ ({
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", " ": "Space",
});

/** Shows all keys that do something here. */
export function showShortcuts() {
  const groups = Map.groupBy(known, (shortcut) => shortcut.group);
  const off = h("input", {
    type: "checkbox", checked: silenced(),
    onchange: () => localStorage.setItem("shortcuts", off.checked ? "off" : "on"),
  });
  openDialog("Keyboard shortcuts", h("div", { class: "body" },
    h("div", { class: "keys" }, [...groups].map(([group, shortcuts]) => h("section", {},
      h("h3", {}, group),
      h("ul", {}, shortcuts.map(({ keys, what }) => h("li", {},
        h("span", {}, what),
        h("span", {}, keys.split(" ").map((key) => h("kbd", {}, names[key] ?? key))))))))),
    h("label", {}, off, " Switch single-character shortcuts off")));
}
