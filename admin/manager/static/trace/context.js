import { get } from "../server/client.js";
import { fill, h } from "../shell/dom.js";
import { bytes, duration } from "../shell/format.js";
import { address } from "../shell/address.js";
import { headerChanges, parts } from "./difference.js";
import { codeBlock } from "./json.js";
import { fact } from "./panel.js";

/**
 * @typedef {import("../server/model.js").Trace} Trace
 * @typedef {import("../server/model.js").GatewayRecord} GatewayRecord
 * @typedef {import("../server/model.js").Applied} Applied
 * @typedef {import("../server/model.js").Entity} Entity
 */

/**
 * How the gateway came to do what it did: trace headers in and out, sampling, tries, and the configuration.
 *
 * @param {Trace} trace
 * @param {number} index of the record
 * @param {AbortSignal} signal
 */
export function context(trace, index, signal) {
  const record = trace.requests[index];
  if (!record) return h("p", { class: "empty" }, "No request of this gateway is part of the trace.");
  const applied = h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Configuration that applied")));
  const body = h("div", {}, h("p", { class: "empty" }, "Loading …"));
  applied.append(body);
  get(`/api/traces/${trace.summary.id}/applied?record=${index}`, signal).then(
    (answer) => fill(body, configuration(/** @type {Applied} */ (answer))),
    (error) => { if (!signal.aborted) fill(body, h("p", { class: "empty" }, error.message)); });

  return h("div", { class: "sides" },
    headers(record),
    h("section", { class: "panel" },
      h("header", {}, h("h2", {}, "Sampling"), h("span", { class: `tag ${record.sampled ? "good" : ""}` }, record.sampled ? "sampled" : "not sampled")),
      h("div", { class: "body-pad" }, h("p", {}, record.sampling || "No plugin decided: the trace is kept here, and not exported."))),
    request(record),
    applied);
}

/** @param {GatewayRecord} record */
function headers(record) {
  const changes = headerChanges(record.trace_in, record.trace_out);
  const tags = { same: "", changed: "warn", added: "good", removed: "bad" };
  return h("section", { class: "panel" },
    h("header", {}, h("h2", {}, "Trace headers"), h("span", { class: "quiet" }, "as they came → as they went upstream")),
    changes.length === 0 ? h("p", { class: "empty" }, "None came and none went.")
      : h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Trace headers" }, h("table", { class: "difference" },
        h("thead", {}, h("tr", {}, ["Header", "In", "Out", ""].map((name) => h("th", { scope: "col" }, name || h("span", { class: "unseen" }, "Change"))))),
        h("tbody", {}, changes.map(({ name, before, after, kind }) => h("tr", {},
          h("td", {}, name), value(before, after), value(after, before),
          h("td", {}, h("span", { class: `tag ${tags[kind]}` }, kind))))))));
}

/** @param {string | null} text @param {string | null} other */
function value(text, other) {
  if (text === null) return h("td", { class: "quiet" }, "–");
  return h("td", {}, parts(text, other).map((part) => (part.changed ? h("span", { class: "changed" }, part.text) : part.text)));
}

/** @param {GatewayRecord} record */
function request(record) {
  const time = (/** @type {string} */ name, /** @type {number} */ ms) => ms >= 0 && fact(name, duration(ms));
  return h("section", { class: "panel" },
    h("header", {}, h("h2", {}, "Request")),
    h("div", { class: "body-pad" },
      record.fault && h("p", { class: "note bad" }, record.fault),
      h("dl", { class: "facts-grid" },
        fact("Request id", h("code", {}, record.request_id)),
        fact("Client", h("code", {}, record.client || "–")),
        fact("To upstream", h("code", {}, record.upstream_uri || "–")),
        fact("Upstream's status", record.upstream_status ? String(record.upstream_status) : "no answer"),
        fact("Received", bytes(record.bytes_received)), fact("Sent", bytes(record.bytes_sent)),
        time("Whole", record.request), time("In the gateway", record.gateway),
        time("Upstream, until the answer's head", record.upstream), time("Its body", record.receive)),
      record.tries.length > 0 && h("table", {},
        h("thead", {}, h("tr", {}, ["Try", "Address", "Result"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, record.tries.map((one, i) => h("tr", {},
          h("td", {}, String(i + 1)), h("td", { class: "mono" }, one.address),
          h("td", {}, one.state || one.code ? h("span", { class: "tag bad" }, [one.state, one.code || ""].join(" ").trim()) : "answered")))))));
}

/** @param {Applied} applied */
function configuration({ route, service, consumer, plugins }) {
  const one = (/** @type {string} */ title, /** @type {Entity | null} */ entity, /** @type {string} */ link) =>
    (entity ? h("details", {}, h("summary", {}, `${title}: `, h("strong", {}, entity.name ?? String(entity.username ?? entity.id))),
      h("a", { class: "button bare", href: link }, "Open in the Manager"),
      codeBlock(JSON.stringify(entity), { label: `${title} ${entity.name ?? ""}` }))
      : h("p", {}, `${title}: `, h("span", { class: "quiet" }, "none")));
  return h("div", { class: "body-pad applied" },
    one("Route", route, address(["manager", "routes", route?.id ?? ""])),
    one("Service", service, address(["manager", "services", service?.id ?? ""])),
    one("Consumer", consumer, address(["manager", "consumers", consumer?.id ?? ""])),
    plugins.map((plugin) => one("Plugin", plugin, address(["manager", "plugins", plugin.id]))),
    plugins.length === 0 && h("p", { class: "quiet" }, "No plugin applied."));
}
