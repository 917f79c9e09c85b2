import { h } from "../shell/dom.js";
import { ago, count, duration, moment, percent, statusClass } from "../shell/format.js";
import { address } from "../shell/address.js";
import { fact } from "../trace/panel.js";
import { quote } from "../traces/filter.js";
import { schemaTree, typeOf } from "./schema.js";

/** @typedef {import("./model.js").Endpoint} Endpoint */

/**
 * A template with its parameters marked.
 *
 * @param {string} path
 */
export function template(path) {
  return h("span", { class: "path" }, path.split(/(\{[^}]*\})/).map((part) =>
    (part.startsWith("{") ? h("span", { class: "parameter" }, part) : part)));
}

/** @param {Record<string, number>} statuses */
export function statusCounts(statuses) {
  return h("span", { class: "statuses" }, Object.entries(statuses).map(([status, n]) =>
    h("span", {}, h("span", { class: `status ${statusClass(Number(status))}` }, status === "0" ? "none" : status), h("span", { class: "quiet" }, ` ${count(n)}`))));
}

/** @param {Endpoint} endpoint */
export function authentication({ authentication: seen }) {
  const schemes = Object.entries(seen).filter(([scheme]) => scheme !== "").map(([scheme]) => scheme);
  if (schemes.length === 0) return h("span", { class: "tag warn" }, "none seen");
  return [...schemes.map((scheme) => h("span", { class: "tag" }, scheme)), seen[""] ? h("span", { class: "tag warn" }, "some without") : null];
}

/**
 * All that is known of one endpoint.
 *
 * @param {Endpoint} endpoint
 */
export function endpointDetail(endpoint) {
  const list = (/** @type {string[]} */ values) => (values.length > 0 ? values.join(", ") : "–");
  return h("div", { class: "page inventory" },
    h("div", { class: "page-head" },
      h("h1", {}, h("a", { class: "button bare", href: "#/inventory", "aria-label": "Back to the inventory" }, "←"),
        h("span", { class: "method" }, ` ${endpoint.method} `), template(endpoint.path)),
      endpoint.routes.length > 0 && h("a", { class: "button", href: address(["traces"], { filter: `method=${endpoint.method} route_name=${quote(endpoint.routes[0])}` }) }, "Its traces")),
    endpoint.sensitive.length > 0 && h("p", { class: "note warn" }, h("strong", {}, "Sensitive: "), endpoint.sensitive.join(", ")),
    h("div", { class: "detail" },
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Use")),
        h("div", { class: "body-pad" }, h("dl", { class: "facts-grid" },
          fact("Host", endpoint.host || "–"), fact("Services", list(endpoint.services)), fact("Routes", list(endpoint.routes)),
          fact("Calls", count(endpoint.calls)),
          fact("First seen", moment(endpoint.first_seen)), fact("Last seen", `${moment(endpoint.last_seen)}, ${ago(endpoint.last_seen)}`),
          fact("Statuses", statusCounts(endpoint.statuses)),
          fact("Duration", `p50 ${duration(endpoint.latency.p50)}, p95 ${duration(endpoint.latency.p95)}, p99 ${duration(endpoint.latency.p99)}`),
          fact("Authentication", ...[authentication(endpoint)].flat()), fact("Consumers", list(endpoint.consumers)),
          fact("Takes", list(endpoint.request_types)), fact("Answers", list(endpoint.response_types))))),
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Parameters")),
        endpoint.parameters.length === 0 ? h("p", { class: "empty" }, "None were seen.")
          : h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Parameters" }, h("table", {},
            h("thead", {}, h("tr", {}, ["Name", "In", "Type", "Always", ""].map((name) => h("th", { scope: "col" }, name || h("span", { class: "unseen" }, "Marks"))))),
            h("tbody", {}, endpoint.parameters.map((parameter) => h("tr", {},
              h("td", { class: "mono" }, parameter.name), h("td", {}, parameter.in),
              h("td", { class: "mono" }, typeOf(parameter.schema),
                parameter.schema.enum ? h("div", { class: "quiet" }, parameter.schema.enum.map(String).join(" | ")) : null),
              h("td", {}, parameter.required ? "yes" : "no"),
              h("td", {}, parameter.sensitive && h("span", { class: "tag warn" }, "sensitive")))))))),
      bodySection("Request body", endpoint.request),
      Object.entries(endpoint.responses).map(([status, schema]) => bodySection(`Response ${status}`, schema))));
}

/** @param {string} title @param {import("./schema.js").Schema | null} schema */
function bodySection(title, schema) {
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, title)),
    schema ? schemaTree(schema, `${title}: schema`) : h("p", { class: "empty" }, "None was captured."));
}

/** @param {Endpoint} endpoint */
export function failures(endpoint) {
  const failed = Object.entries(endpoint.statuses).reduce((sum, [status, n]) => sum + (Number(status) >= 500 || status === "0" ? n : 0), 0);
  return failed > 0 ? h("span", { class: "bad-text" }, percent(failed / Math.max(1, endpoint.calls))) : "0 %";
}
