import { byId, fill, freshId, h } from "./dom.js";

/**
 * A dialog with a title and a close button; Escape closes it, and it is gone when closed.
 *
 * @param {string} title
 * @param {...import("./dom.js").Children} content
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, ...content) {
  const id = freshId("dialog");
  const dialog = h("dialog", { "aria-labelledby": id },
    h("header", {},
      h("h2", { id }, title),
      h("button", { type: "button", class: "icon-button", "aria-label": "Close", onclick: () => dialog.close() }, "✕")),
    ...content);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks before something is done that cannot be undone.
 *
 * @param {string} title
 * @param {string} text
 * @param {string} action the button's name
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, action) {
  return new Promise((resolve) => {
    let yes = false;
    const dialog = openDialog(title,
      h("div", { class: "body" }, h("p", {}, text)),
      h("footer", {},
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "button", class: "danger", onclick: () => { yes = true; dialog.close(); } }, action)));
    dialog.addEventListener("close", () => resolve(yes));
  });
}

/**
 * Tells the user what happened, for some seconds.
 *
 * @param {string} text
 * @param {"" | "bad"} [kind]
 */
export function notify(text, kind = "") {
  const notice = h("p", { class: `notice ${kind}` }, text);
  const notices = byId("notices");
  while (notices.childElementCount >= 3) notices.firstElementChild?.remove();
  notices.append(notice);
  setTimeout(() => notice.remove(), kind ? 9000 : 4000);
}

/**
 * Copies text, and says so.
 *
 * @param {string} text
 * @param {string} what was copied
 */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notify(`${what} copied`);
  } catch {
    const area = h("textarea", { rows: 10, readonly: true, "aria-label": what, value: text });
    openDialog(`Copy: ${what}`, h("div", { class: "body" }, area));
    area.select();
  }
}

/**
 * Offers a file to the browser's downloads.
 *
 * @param {string} name
 * @param {string} type
 * @param {string} text
 */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Has the user choose a file; null when none was chosen.
 *
 * @param {string} accept
 * @returns {Promise<File | null>}
 */
export function chooseFile(accept) {
  return new Promise((resolve) => {
    const input = h("input", { type: "file", accept });
    input.addEventListener("change", () => resolve(input.files?.[0] ?? null));
    input.addEventListener("cancel", () => resolve(null));
    input.click();
  });
}

/**
 * Tabs over panels that are made when first shown; arrows move between them.
 *
 * @param {string} label
 * @param {{ name: string, title: import("./dom.js").Children, panel: () => HTMLElement }[]} tabs
 * @param {string} chosen
 * @param {(name: string) => void} [moved]
 */
export function tabbed(label, tabs, chosen, moved = () => {}) {
  /** @type {Map<string, HTMLElement>} */
  const made = new Map();
  const id = freshId("tabs");
  const place = h("div", { role: "tabpanel", id, class: "tabpanel" });
  const buttons = tabs.map((tab) => h("button", {
    type: "button", role: "tab", id: `${id}-${tab.name}`, "aria-controls": id, onclick: () => choose(tab.name),
  }, tab.title));
  const list = h("div", { role: "tablist", "aria-label": label, onkeydown: moveTab }, buttons);

  /** @param {string} name @param {boolean} [quiet] */
  function choose(name, quiet = false) {
    const index = Math.max(0, tabs.findIndex((tab) => tab.name === name));
    const tab = tabs[index];
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === index));
      button.tabIndex = i === index ? 0 : -1;
    });
    place.setAttribute("aria-labelledby", buttons[index].id);
    const panel = made.get(tab.name) ?? tab.panel();
    made.set(tab.name, panel);
    fill(place, panel);
    if (!quiet) moved(tab.name);
  }

  /** @param {KeyboardEvent} event */
  function moveTab(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = buttons.findIndex((button) => button === document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = (at + step + tabs.length) % tabs.length;
    choose(tabs[next].name);
    buttons[next].focus();
  }

  choose(chosen, true);
  return { list, place, choose };
}
