import { h } from "../shell/dom.js";
import { bytes, count } from "../shell/format.js";

/** @typedef {import("../server/model.js").Exporters} Exporters */

/**
 * How exporting does.
 *
 * @param {Exporters} answer
 */
export function exporters({ exporters: all, problem }) {
  if (all.length === 0) {
    return h("div", { class: "empty" }, h("p", {}, "Nothing is exported: no OpenTelemetry plugin has an endpoint."),
      h("p", {}, h("a", { class: "button", href: "#/manager/plugins/new/opentelemetry" }, "Set up OpenTelemetry")));
  }
  return [
    problem ? h("p", { class: "note bad" }, problem) : null,
    h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Exporters" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Endpoint"), h("th", { scope: "col" }, "State"),
        ["Recorded", "Delivered", "Waiting", "Dropped", "Posts", "Retries"].map((name) => h("th", { scope: "col", class: "number" }, name)),
        h("th", { scope: "col" }, "Last error"))),
      h("tbody", {}, all.map((one) => {
        const dropped = Object.entries(one.dropped ?? {}).filter(([, n]) => n > 0);
        const lost = dropped.reduce((sum, [, n]) => sum + n, one.rejected);
        return h("tr", {},
          h("td", { class: "mono" }, one.endpoint),
          h("td", {}, h("span", { class: `tag ${one.failing ? "bad" : lost > 0 ? "warn" : "good"}` }, one.failing ? "failing" : lost > 0 ? "has lost some" : "well")),
          h("td", { class: "number" }, count(one.created)), h("td", { class: "number" }, count(one.delivered)),
          h("td", { class: "number" }, count(one.queued), one.queued_bytes > 0 && h("span", { class: "quiet" }, ` ${bytes(one.queued_bytes)}`)),
          h("td", { class: "number" }, count(lost),
            [...dropped.map(([why, n]) => `${why}: ${count(n)}`), ...(one.rejected ? [`rejected: ${count(one.rejected)}`] : [])]
              .map((text) => h("div", { class: "quiet" }, text))),
          h("td", { class: "number" }, count(one.posts)), h("td", { class: "number" }, count(one.retries)),
          h("td", { class: "wide" }, one.last_error ?? h("span", { class: "quiet" }, "–")));
      })))),
  ];
}
