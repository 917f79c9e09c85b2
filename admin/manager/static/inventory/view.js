import { get, request, send } from "../server/client.js";
import { chooseFile, confirmed, download, notify, openDialog } from "../shell/dialog.js";
import { fill, h } from "../shell/dom.js";
import { ago, count, duration, plural } from "../shell/format.js";
import { address, go } from "../shell/address.js";
import { addShortcuts } from "../shell/shortcuts.js";
import { authentication, endpointDetail, failures, statusCounts, template } from "./endpoint.js";

/**
 * @typedef {import("./model.js").View} View
 * @typedef {import("./model.js").Endpoint} Endpoint
 * @typedef {import("./model.js").Comparison} Comparison
 */

const orders = /** @type {Record<string, (a: Endpoint, b: Endpoint) => number>} */ ({
  Endpoint: (a, b) => a.path.localeCompare(b.path) || a.method.localeCompare(b.method),
  Calls: (a, b) => b.calls - a.calls,
  p95: (a, b) => b.latency.p95 - a.latency.p95,
  "Last seen": (a, b) => b.last_seen - a.last_seen,
});

/** The API as it is used. @type {import("../shell/router.js").View} */
export async function open(root, place, signal) {
  const [, method, host, path] = place.path;
  const { endpoints } = /** @type {View} */ (await get("/api/inventory", signal));
  if (method) {
    const endpoint = endpoints.find((one) => one.method === method && one.host === (host === "-" ? "" : host) && one.path === path);
    if (!endpoint) throw new Error("This endpoint is not known any more.");
    fill(root, endpointDetail(endpoint));
    addShortcuts(signal, "Inventory", { Escape: ["Back to the inventory", () => go("#/inventory")] });
    return;
  }

  let order = "Endpoint";
  const search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search endpoints", oninput: () => draw() });
  const body = h("tbody");
  const heads = ["Endpoint", "Calls", "Statuses", "Errors", "p95", "Authentication", "Last seen", "Marks"];
  const head = h("tr", {}, heads.map((name) => h("th", { scope: "col", class: ["Calls", "Errors", "p95"].includes(name) ? "number" : "" },
    name in orders ? h("button", { type: "button", class: "bare sort", "data-order": name, onclick: () => { order = name; draw(); } }, name) : name)));
  addShortcuts(signal, "Inventory", { "/": ["Search", () => search.focus()] });
  fill(root, h("div", { class: "page inventory" },
    h("div", { class: "page-head" },
      h("div", {}, h("h1", {}, "Inventory"), h("p", { class: "quiet" }, `${plural(endpoints.length, "endpoint")}, as seen in what passed`)),
      h("div", { class: "buttons" }, search,
        h("button", { type: "button", onclick: exportOpenAPI }, "Export OpenAPI"),
        h("button", { type: "button", onclick: compare }, "Compare with a file"),
        h("button", { type: "button", class: "danger bare", onclick: forget }, "Forget all"))),
    endpoints.length === 0
      ? h("div", { class: "panel empty" }, h("h2", {}, "Nothing has been learned yet"),
        h("p", {}, "Each request through the proxy adds to this list. With the plugin ", h("code", {}, "sidekong-capture"), " it also learns what bodies look like."),
        h("p", {}, h("a", { class: "button", href: "#/manager/plugins/new/sidekong-capture" }, "Set up capture")))
      : h("div", { class: "panel scroll-x", tabindex: "0", role: "region", "aria-label": "Endpoints" }, h("table", {}, h("thead", {}, head), body))));
  draw();

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const shown = endpoints.filter((one) => `${one.method} ${one.host}${one.path}`.toLowerCase().includes(wanted)).sort(orders[order]);
    for (const button of head.querySelectorAll("button")) {
      const cell = button.closest("th");
      if (button.dataset.order === order) cell?.setAttribute("aria-sort", order === "Endpoint" ? "ascending" : "descending");
      else cell?.removeAttribute("aria-sort");
    }
    fill(body, shown.slice(0, 1000).map(row));
  }

  /** @param {Endpoint} endpoint */
  function row(endpoint) {
    const href = address(["inventory", endpoint.method, endpoint.host || "-", endpoint.path]);
    return h("tr", { class: "opens", onclick: (/** @type {Event} */ event) => { if (!(event.target instanceof HTMLAnchorElement)) go(href); } },
      h("td", {}, h("span", { class: "method" }, endpoint.method), " ", h("a", { href }, template(endpoint.path)),
        h("div", { class: "quiet" }, endpoint.host)),
      h("td", { class: "number" }, count(endpoint.calls)),
      h("td", {}, statusCounts(endpoint.statuses)),
      h("td", { class: "number" }, failures(endpoint)),
      h("td", { class: "number" }, duration(endpoint.latency.p95)),
      h("td", {}, ...[authentication(endpoint)].flat()),
      h("td", {}, ago(endpoint.last_seen)),
      h("td", {}, endpoint.sensitive.length > 0 && h("span", { class: "tag warn", title: endpoint.sensitive.join(", ") }, "sensitive")));
  }

  async function exportOpenAPI() {
    try {
      download("openapi.json", "application/json", await (await request("GET", "/api/inventory/openapi")).text());
    } catch (error) {
      notify(error instanceof Error ? error.message : String(error), "bad");
    }
  }

  async function compare() {
    const file = await chooseFile(".json,.yaml,.yml,application/json,application/yaml");
    if (!file) return;
    try {
      const type = /json$/.test(file.name) ? "application/json" : "application/yaml";
      const answer = await request("POST", "/api/inventory/compare", { body: file, type });
      showDifferences(file.name, /** @type {Comparison} */ (await answer.json()));
    } catch (error) {
      notify(`${file.name}: ${error instanceof Error ? error.message : error}`, "bad");
    }
  }

  async function forget() {
    if (!await confirmed("Forget the inventory?", "It begins anew with the next request.", "Forget all")) return;
    try {
      await send("DELETE", "/api/inventory");
      go("#/inventory");
      location.reload();
    } catch (error) {
      notify(error instanceof Error ? error.message : String(error), "bad");
    }
  }
}

/** @param {string} name @param {Comparison} comparison */
function showDifferences(name, { undocumented, unseen }) {
  const list = (/** @type {string} */ title, /** @type {string} */ none, /** @type {Comparison["unseen"]} */ items) =>
    h("section", { class: "panel" }, h("header", {}, h("h3", {}, `${title} (${items.length})`)),
      items.length === 0 ? h("p", { class: "empty" }, none)
        : h("ul", {}, items.map((one) => h("li", {}, one.method, " ", template(one.path), one.detail ? h("div", { class: "quiet" }, one.detail) : null))));
  openDialog(`Differences from ${name}`, h("div", { class: "body" }, h("div", { class: "differences" },
    list("Undocumented", "Everything that was seen is in the file.", undocumented),
    list("Unseen", "Everything in the file was seen.", unseen))));
}
