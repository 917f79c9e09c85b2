import { get, request } from "../server/client.js";
import { copy, download, notify, tabbed } from "../shell/dialog.js";
import { fill, h } from "../shell/dom.js";
import { duration, moment, plural, statusClass } from "../shell/format.js";
import { address, go, lastList, note } from "../shell/address.js";
import { addShortcuts } from "../shell/shortcuts.js";
import { context } from "./context.js";
import { logs } from "./logs.js";
import { messages } from "./messages.js";
import { spanPanel } from "./panel.js";
import { strip } from "./strip.js";
import { waterfall } from "./waterfall.js";

/** @typedef {import("../server/model.js").Trace} Trace */

/** One trace. @type {import("../shell/router.js").View} */
export async function open(root, place, signal) {
  root.className = "room trace fill";
  const id = place.path[1];
  const path = `/api/traces/${encodeURIComponent(id)}`;
  let tab = place.query.get("tab") ?? "waterfall";
  let chosen = place.query.get("span") ?? "";
  let record = 0;
  let trace = /** @type {Trace} */ (await get(path, signal));

  const panel = spanPanel();
  const fall = waterfall((span, byUser) => {
    chosen = span?.id ?? "";
    panel.show(trace, span, byUser);
    remember();
  }, signal);
  const beside = h("div", { class: "waterfall" }, fall.element, panel.element);
  const head = h("header", { class: "trace-head" });
  const stripPlace = h("div");
  const tabPlace = h("div", { class: "fill" });
  tabPlace.style.flex = "1";
  fill(root, head, stripPlace, tabPlace);
  let tabs = makeTabs();
  show();

  addShortcuts(signal, "Trace", {
    Escape: ["Back to the list", () => { if (!panel.close()) go(lastList()); }],
    1: ["Waterfall", () => tabs.choose("waterfall")],
    2: ["Messages", () => tabs.choose("messages")],
    3: ["Context", () => tabs.choose("context")],
    4: ["Logs", () => tabs.choose("logs")],
    "y i": ["Copy the trace's id", copyId],
    "y l": ["Copy a link", copyLink],
    "y c": ["Copy as curl", copyCurl],
    "y o": ["Copy as OTLP JSON", copyOTLP],
    x: ["Export as a file", exportFile],
  });

  // Spans of others, and logs, may come later.
  const stream = new EventSource(`/api/traces/stream?filter=${encodeURIComponent(`id=${id}`)}&after=`);
  signal.addEventListener("abort", () => stream.close());
  stream.addEventListener("trace", async (event) => {
    const summary = /** @type {import("../server/model.js").Summary} */ (JSON.parse(event.data));
    if (summary.id !== trace.summary.id) return;
    if (summary.spans === trace.summary.spans && summary.logs === trace.summary.logs) return;
    try {
      trace = /** @type {Trace} */ (await get(path, signal));
    } catch {
      return; // it has left the store, and what is shown stays
    }
    tabs = makeTabs();
    show();
  });

  function makeTabs() {
    return tabbed("Trace", [
      { name: "waterfall", title: "Waterfall", panel: () => beside },
      { name: "messages", title: "Headers and bodies", panel: () => messages(trace.requests[record]) },
      { name: "context", title: "Context", panel: () => context(trace, record, signal) },
      { name: "logs", title: trace.logs.length ? `Logs (${trace.logs.length})` : "Logs", panel: () => logs(trace, toSpanId) },
    ], tab, (name) => { tab = name; remember(); });
  }

  function show() {
    const { summary } = trace;
    const title = `${summary.method} ${summary.path || summary.name}`.trim();
    document.title = `${title} – Sidekong`;
    fill(head,
      h("div", { class: "title" },
        h("a", { class: "button bare", href: lastList(), "aria-label": "Back to the list" }, "←"),
        h("span", { class: `status ${statusClass(summary.status)}` }, summary.status || "–"),
        h("h1", {}, title),
        h("div", { class: "buttons" },
          h("div", { class: "joined" },
            h("button", { type: "button", onclick: copyId }, "Copy id"), h("button", { type: "button", onclick: copyLink }, "Link"),
            h("button", { type: "button", onclick: copyCurl, disabled: !trace.requests[record]?.curl }, "curl"),
            h("button", { type: "button", onclick: copyOTLP }, "OTLP")),
          h("button", { type: "button", onclick: exportFile }, "Export"))),
      h("div", { class: "facts" },
        h("span", {}, h("b", {}, duration(summary.duration))),
        h("span", {}, moment(summary.time)),
        h("span", {}, plural(summary.spans, "span"), summary.errors > 0 && `, ${summary.errors} failed`),
        summary.services.length > 0 && h("span", {}, summary.services.join(" → ")),
        summary.route_name && h("span", {}, "route ", h("b", {}, summary.route_name)),
        summary.consumer && h("span", {}, "consumer ", h("b", {}, summary.consumer)),
        !summary.sampled && h("span", { class: "tag" }, "not exported"),
        trace.clipped && h("span", { class: "tag warn" }, "later spans are missing: too large for the store"),
        h("code", { class: "quiet" }, summary.id),
        trace.requests.length > 1 && recordChoice()));
    fill(stripPlace, strip(trace, toSpan));
    fill(tabPlace, tabs.list, tabs.place);
    fall.show(trace, chosen || trace.spans[0]?.id);
  }

  function recordChoice() {
    return h("label", {}, "request ", h("select", {
      onchange: (/** @type {Event} */ event) => {
        record = Number(/** @type {HTMLSelectElement} */ (event.target).value);
        tabs = makeTabs();
        show();
      },
    }, trace.requests.map((one, i) => h("option", { value: String(i), selected: i === record }, `${i + 1}: ${one.request_id}`))));
  }

  function remember() {
    note(address(["traces", id], { tab: tab === "waterfall" ? "" : tab, span: chosen === trace.spans[0]?.id ? "" : chosen }));
  }

  /** @param {number} at */
  function toSpan(at) {
    tabs.choose("waterfall");
    fall.choose(at);
  }

  /** @param {string} span */
  function toSpanId(span) {
    toSpan(trace.spans.findIndex((one) => one.id === span));
  }

  function copyId() {
    void copy(trace.summary.id, "Trace id");
  }

  function copyLink() {
    void copy(location.href, "Link");
  }

  function copyCurl() {
    const curl = trace.requests[record]?.curl;
    if (curl) void copy(curl, "curl command");
    else notify("No request of this gateway is part of the trace");
  }

  async function otlp() {
    return (await request("GET", `${path}/otlp`)).text();
  }

  async function copyOTLP() {
    await otlp().then((text) => copy(text, "OTLP JSON"), (error) => notify(error.message, "bad"));
  }

  async function exportFile() {
    await otlp().then((text) => download(`trace-${id}.json`, "application/json", text), (error) => notify(error.message, "bad"));
  }
}
