import { request } from "../server/client.js";
import { chooseFile, confirmed, notify } from "../shell/dialog.js";
import { fill, h } from "../shell/dom.js";
import { bytes, count, plural } from "../shell/format.js";
import { nodeInfo } from "../shell/node.js";
import { address, go, note } from "../shell/address.js";
import { addShortcuts } from "../shell/shortcuts.js";
import { VirtualList } from "../shell/virtual.js";
import { filterBar } from "./filter.js";
import { LiveTraces } from "./live.js";
import { columns, fillRow, makeRow } from "./rows.js";

/** @typedef {import("../server/model.js").Summary} Summary */

/** The list of traces, live. @type {import("../shell/router.js").View} */
export async function open(root, place, signal) {
  root.className = "room traces fill";
  let following = true;
  let unseen = 0;
  let longest = 1;
  const live = new LiveTraces(changed, signal);

  /** @type {VirtualList<Summary>} */
  const list = new VirtualList({
    label: "Traces, newest first", role: "grid", rowHeight: 30, makeRow, openOnClick: true,
    fillRow: (element, row) => fillRow(element, row, longest),
    key: (row) => row.id,
    open: (row) => go(address(["traces", row.id])),
    scrolled,
  }, signal);

  const filter = filterBar(place.query.get("filter") ?? "", async (text) => {
    note(address(["traces"], { filter: text }));
    await live.load(text);
    list.element.scrollTop = 0;
  });
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: turnPause }, "Pause");
  const follow = h("button", { type: "button", "aria-pressed": "true", onclick: turnFollow }, "Follow");
  const fresh = h("button", { type: "button", class: "fresh", hidden: true, onclick: turnFollow });
  const said = h("div", { class: "summary-line" });
  const empty = h("div", { class: "empty", hidden: true });

  fill(root,
    h("h1", { class: "unseen" }, "Traces"),
    h("div", { class: "bar-top" },
      filter.element, filter.quick,
      h("div", { class: "buttons" },
        h("div", { class: "joined" }, pause, follow,
          h("button", { type: "button", onclick: () => live.clear() }, "Clear")),
        h("button", { type: "button", onclick: importFile }, "Import"),
        h("button", { type: "button", class: "danger bare", onclick: forget }, "Forget all"))),
    said,
    h("div", { class: "list-place" },
      h("div", { class: "grid-head", "aria-hidden": "true" }, columns.map((name, i) =>
        h("span", { class: i === 6 ? "number" : "" }, name))),
      list.element, fresh, empty));

  addShortcuts(signal, "Traces", {
    "/": ["Filter", () => filter.input.focus()],
    j: ["Next trace", () => step(1)],
    k: ["Previous trace", () => step(-1)],
    Enter: ["Open the chosen trace", () => { const row = list.rows[list.chosen]; if (row) go(address(["traces", row.id])); }],
    p: ["Pause, go on", turnPause],
    f: ["Follow the newest", turnFollow],
    c: ["Clear the list", () => live.clear()],
    e: ["Errors only", () => /** @type {HTMLElement | null} */ (filter.quick.firstElementChild)?.click()],
  });

  /** @param {number} by */
  function step(by) {
    list.element.focus();
    list.choose(Math.min(list.rows.length - 1, Math.max(0, list.chosen + by)));
  }

  function turnPause() {
    if (live.paused) live.resume();
    else live.pause();
    pause.setAttribute("aria-pressed", String(live.paused));
    tell();
  }

  function turnFollow() {
    following = true;
    list.element.scrollTop = 0;
    tell();
  }

  function scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = list.element;
    following = scrollTop === 0;
    if (following) unseen = 0;
    if (scrollTop + clientHeight > scrollHeight - 3000) live.more().catch((error) => notify(String(error), "bad"));
    tell();
  }

  /** @param {number} added */
  function changed(added) {
    const rows = live.rows;
    if (rows !== list.rows || added > 0) {
      longest = 1;
      for (let i = Math.min(rows.length, 2000) - 1; i >= 0; i--) longest = Math.max(longest, rows[i].duration);
      if (!following) unseen += added;
      list.set(rows, following ? 0 : added);
    }
    tell();
  }

  function tell() {
    follow.setAttribute("aria-pressed", String(following));
    fresh.hidden = following || unseen === 0;
    fresh.textContent = `↑ ${plural(unseen, "new trace")}`;
    const connection = live.paused
      ? ["warn", `Paused, ${plural(live.waiting, "trace")} waiting`]
      : { live: ["good", "Live"], connecting: ["", "Connecting"], lost: ["bad", "No connection, trying again"] }[live.connection];
    const state = live.state;
    fill(said,
      h("span", { class: "live" }, h("span", { class: `dot ${connection[0]}` }), connection[1]),
      h("span", {}, `${plural(live.rows.length, "trace")} here`),
      state && h("span", {}, `${count(state.traces)} in the store, ${bytes(state.bytes)} of ${bytes(state.limit)}`),
      live.partial && h("span", {}, "The search stopped early; scroll to the end to go on"),
      state?.fault && h("span", { class: "mark" }, `Not kept on disk: ${state.fault}`));
    empty.hidden = live.rows.length > 0 || live.connection === "connecting";
    if (!empty.hidden && !empty.hasChildNodes()) void nothing();
    if (live.rows.length > 0) fill(empty);
  }

  /** Says how to get traces where there are none. */
  async function nothing() {
    if (live.filter) {
      fill(empty, h("h2", {}, "No trace matches this filter"), h("p", {}, "New ones that match appear here."),
        h("p", {}, h("button", { type: "button", onclick: () => { fill(empty); filter.set(""); } }, "Remove the filter")));
      return;
    }
    fill(empty, h("h2", {}, "No traces yet"));
    const node = await nodeInfo();
    if (!node.tracing) {
      empty.append(h("p", {}, "Tracing is off: the setting ", h("code", {}, "tracing_instrumentations"), " names what to record."));
      return;
    }
    const proxy = node.proxy[0] ?? "http://127.0.0.1:8000";
    empty.append(h("p", {}, "Send a request through the proxy, and it appears here:"),
      h("pre", { class: "code try" }, `curl ${proxy}/`));
    if (node.receiver) {
      empty.append(h("p", {}, "A backend's own spans join it when its OpenTelemetry SDK exports here:"),
        h("pre", { class: "code try" }, `OTEL_EXPORTER_OTLP_ENDPOINT=${location.origin}`));
    }
  }

  async function importFile() {
    const file = await chooseFile(".json,.jsonl,.pb,.bin,application/json");
    if (!file) return;
    try {
      const type = /\.(pb|bin)$/.test(file.name) ? "application/x-protobuf" : "application/json";
      const response = await request("POST", "/api/import", { body: file, type });
      const done = /** @type {import("../server/model.js").Imported} */ (await response.json());
      const refused = done.rejected ? `, ${done.rejected} rejected: ${done.reason}` : "";
      notify(`${plural(done.spans, "span")} of ${plural(done.traces.length, "trace")} and ${plural(done.logs, "log")} imported${refused}`,
        done.rejected ? "bad" : "");
      if (done.traces.length === 1) go(address(["traces", done.traces[0]]));
    } catch (error) {
      notify(`${file.name}: ${error instanceof Error ? error.message : error}`, "bad");
    }
  }

  async function forget() {
    if (!await confirmed("Forget all traces?", "The store is emptied, also on disk. Exported spans are not affected.", "Forget all")) return;
    await request("DELETE", "/api/traces").catch((error) => notify(String(error), "bad"));
  }

  await filter.run();
}
