import { h } from "../shell/dom.js";
import { clock } from "../shell/format.js";
import { shown, withMasks } from "./json.js";

/**
 * The log records that name the trace.
 *
 * @param {import("../server/model.js").Trace} trace
 * @param {(span: string) => void} toSpan
 */
export function logs(trace, toSpan) {
  if (trace.logs.length === 0) {
    return h("div", { class: "empty" },
      h("h2", {}, "No logs name this trace"),
      h("p", {}, "Logs that a backend sends to ", h("code", {}, `${location.origin}/v1/logs`), " with the trace's id appear here."));
  }
  const here = new Set(trace.spans.map((span) => span.id));
  return h("div", { class: "logs" }, trace.logs.map((log) => h("div", { class: `log ${log.severity}` },
    h("span", { class: "quiet" }, clock(log.time)),
    h("span", { class: "severity" }, log.severity || "–"),
    h("span", { class: "cut" }, log.service),
    h("span", { class: "message" }, ...withMasks(shown(log.body)),
      log.attributes.length > 0 && h("small", {}, ` ${log.attributes.map((a) => `${a.key}=${shown(a.value)}`).join(" ")}`)),
    here.has(log.span_id) ? h("button", { type: "button", class: "bare", onclick: () => toSpan(log.span_id) }, "Span") : h("span"))));
}
