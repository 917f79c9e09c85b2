import { parse } from "./address.js";
import { byId, fill, h } from "./dom.js";
import { Refusal } from "../server/client.js";

/**
 * A view fills the element that it is given. What it starts ends with the signal.
 *
 * @typedef {(root: HTMLElement, place: import("./address.js").Place, signal: AbortSignal) => Promise<void> | void} View
 */

/** @type {Record<string, { title: string, styles: string[], load: () => Promise<{ open: View }> }>} */
const rooms = {
  traces: { title: "Traces", styles: [], load: () => import("../traces/view.js") },
  trace: { title: "Trace", styles: ["trace"], load: () => import("../trace/view.js") },
  overview: { title: "Overview", styles: ["trace", "overview"], load: () => import("../overview/view.js") },
  manager: { title: "Manager", styles: ["manager"], load: () => import("../manager/view.js") },
  inventory: { title: "Inventory", styles: ["trace", "inventory"], load: () => import("../inventory/view.js") },
};

/** @type {Map<string, Promise<void>>} */
const styles = new Map();

/**
 * Loads a style sheet, once. One that cannot be had is done without.
 *
 * @param {string} name
 * @returns {Promise<void>}
 */
function styled(name) {
  const loading = styles.get(name) ?? new Promise((resolve) => {
    const done = () => resolve();
    document.head.append(h("link", { rel: "stylesheet", href: `style/${name}.css`, onload: done, onerror: done }));
  });
  styles.set(name, loading);
  return loading;
}

let ending = new AbortController();
let first = true;

/** Opens what the address says, now and whenever it changes. */
export function start() {
  addEventListener("hashchange", () => void show());
  return show();
}

async function show() {
  const place = parse(location.hash);
  let name = place.path[0] ?? "traces";
  if (name === "traces" && place.path[1]) name = "trace";
  const room = rooms[name] ?? rooms.traces;

  ending.abort();
  ending = new AbortController();
  const signal = ending.signal;

  for (const link of document.querySelectorAll(".rooms a")) {
    const here = link.getAttribute("href") === `#/${place.path[0] ?? "traces"}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${room.title} – Sidekong`;
  const main = byId("main");
  try {
    const [{ open }] = await Promise.all([room.load(), ...room.styles.map(styled)]);
    if (signal.aborted) return;
    const root = h("div", { class: "room" });
    fill(main, root);
    main.scrollTop = 0;
    // Whoever uses a keyboard or a screen reader goes on in the new place.
    if (!first) main.focus({ preventScroll: true });
    first = false;
    await open(root, place, signal);
  } catch (error) {
    if (signal.aborted) return;
    fill(main, failure(error));
  }
}

/**
 * What stands where a view could not be shown.
 *
 * @param {unknown} error
 */
export function failure(error) {
  const text = error instanceof Error ? error.message : String(error);
  const hint = error instanceof Refusal && error.status === 0
    ? "The sidecar does not answer. Is it running?" : "";
  return h("div", { class: "empty" },
    h("h1", {}, "This cannot be shown"),
    h("p", {}, text),
    hint && h("p", { class: "quiet" }, hint),
    h("p", {}, h("button", { type: "button", onclick: () => void show() }, "Try again")));
}
