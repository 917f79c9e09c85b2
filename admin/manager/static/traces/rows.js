import { address } from "../shell/address.js";
import { h } from "../shell/dom.js";
import { clock, duration, statusClass } from "../shell/format.js";

/** @typedef {import("../server/model.js").Summary} Summary */

/** The columns' names, in their order. */
export const columns = ["Time", "Method", "Path", "Status", "Duration", "Service", "Errors"];

/** A row without content: the elements that `fillRow` fills. */
export function makeRow() {
  const cell = (/** @type {string} */ name, /** @type {import("../shell/dom.js").Child[]} */ ...children) =>
    h("span", { class: name, role: "gridcell" }, ...children);
  return h("div", { class: "trace-row" },
    cell("time", h("span"), h("span", { class: "ms" })),
    cell("method"),
    cell("what", h("a", { class: "cut", tabindex: "-1" }), h("span", { class: "route cut" })),
    cell("", h("span", { class: "status" })),
    cell("took", h("span"), h("span", { class: "bar" }, h("i"))),
    cell("service cut"),
    cell("mark"));
}

/**
 * @param {HTMLElement} row
 * @param {Summary} trace
 * @param {number} longest duration that the bars are drawn against
 */
export function fillRow(row, trace, longest) {
  const [time, method, what, status, took, service, mark] = /** @type {HTMLElement[]} */ ([...row.children]);
  row.classList.toggle("failed", trace.error);
  row.classList.toggle("foreign", !trace.gateway);
  const at = clock(trace.time);
  text(time.children[0], at.slice(0, 8));
  text(time.children[1], at.slice(8));
  text(method, trace.method || "–");
  const link = /** @type {HTMLAnchorElement} */ (what.children[0]);
  text(link, trace.path || trace.name);
  link.title = trace.path || trace.name;
  const href = address(["traces", trace.id]);
  if (link.getAttribute("href") !== href) link.setAttribute("href", href);
  text(what.children[1], trace.route && trace.route !== trace.path ? trace.route : "");
  const shown = status.children[0];
  text(shown, trace.status ? String(trace.status) : "–");
  shown.className = `status ${statusClass(trace.status)}`;
  text(took.children[0], duration(trace.duration));
  const bar = /** @type {HTMLElement} */ (took.children[1].firstElementChild);
  bar.style.width = `${share(trace.duration, longest)}%`;
  text(service, trace.service || trace.services.join(", "));
  text(mark, trace.errors ? `${trace.errors} ✕` : "");
  mark.title = trace.errors ? `${trace.errors} failed spans` : "";
}

/**
 * Requests differ by powers of ten, so the square root makes short ones visible beside long ones.
 *
 * @param {number} value
 * @param {number} longest
 */
function share(value, longest) {
  return longest > 0 ? Math.min(100, Math.sqrt(value / longest) * 100) : 0;
}

/** @param {Element} element @param {string} value */
function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}
