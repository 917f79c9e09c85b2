import { h } from "../shell/dom.js";
import { duration, percent } from "../shell/format.js";

/** @typedef {import("../server/model.js").Trace} Trace */

const names = { client: "Client", gateway: "Gateway", network: "Network", upstream: "Upstream" };

/**
 * Whose time it was: the whole as one strip, and each gap by its name.
 *
 * @param {Trace} trace
 * @param {(place: number) => void} toSpan
 */
export function strip(trace, toSpan) {
  if (trace.strip.length === 0) return null;
  const whole = trace.strip.reduce((sum, part) => sum + part.duration, 0) || 1;
  /** @type {Map<keyof typeof names, number>} */
  const sums = new Map();
  for (const part of trace.strip) sums.set(part.who, (sums.get(part.who) ?? 0) + part.duration);
  const told = [...sums].map(([who, ms]) => `${names[who]} ${duration(ms)} (${percent(ms / whole)})`);

  const bar = h("div", { class: "who", role: "img", "aria-label": `Whose time it was: ${told.join(", ")}` },
    trace.strip.map((part) => {
      const piece = h("i", { class: part.who, title: `${names[part.who]}: ${part.what}, ${duration(part.duration)}` });
      piece.style.flexGrow = String(Math.max(part.duration / whole, 0.001));
      if (part.span >= 0) piece.addEventListener("click", () => toSpan(part.span));
      return piece;
    }));
  return h("div", { class: "strip" }, bar,
    h("details", {},
      h("summary", {}, [...sums.keys()].map((who, i) => h("span", { class: `key ${who}` }, told[i]))),
      h("div", { class: "gaps", tabindex: "0", role: "region", "aria-label": "Each gap" }, h("table", {}, h("tbody", {}, trace.strip.map((part) => h("tr", {},
        h("td", {}, h("span", { class: `key ${part.who}` }, names[part.who])),
        h("td", {}, part.what),
        h("td", { class: "number quiet" }, `at ${duration(part.start)}`),
        h("td", { class: "number" }, duration(part.duration)),
        h("td", {}, part.span >= 0 && h("button", { type: "button", class: "bare", onclick: () => toSpan(part.span) }, "Span")))))))));
}
