import { confirmed } from "../shell/dialog.js";
import { fill, h } from "../shell/dom.js";
import { count } from "../shell/format.js";
import { address } from "../shell/address.js";
import { nameOf } from "./admin.js";
import { attempt, tags } from "./plugins.js";

/**
 * @typedef {import("./admin.js").Admin} Admin
 * @typedef {import("../server/model.js").Entity} Entity
 */

/** How many rows a table shows; the search finds the others. */
const shownAtOnce = 200;

/**
 * The entities of a kind.
 *
 * @param {HTMLElement} root
 * @param {Admin} admin
 * @param {import("./kinds.js").Kind} kind
 * @param {AbortSignal} signal
 */
export async function entityList(root, admin, kind, signal) {
  const [entities, services] = await Promise.all([
    admin.all(`/${kind.name}`, signal),
    kind.name === "routes" ? admin.all("/services", signal) : [],
  ]);
  const serviceNames = new Map(services.map((service) => [service.id, nameOf(service)]));
  const sorted = entities.map((entity) => ({ entity, text: JSON.stringify(entity).toLowerCase() }))
    .sort((a, b) => nameOf(a.entity).localeCompare(nameOf(b.entity)));

  const search = h("input", { type: "search", placeholder: "Search", "aria-label": `Search ${kind.title.toLowerCase()}`, oninput: draw });
  const body = h("tbody");
  const more = h("p", { class: "quiet" });
  fill(root,
    h("div", { class: "page-head" }, h("h1", {}, kind.title),
      h("div", { class: "buttons" }, search,
        h("a", { class: "button main", href: address(["manager", kind.name, "new"]) }, `New ${kind.one}`))),
    entities.length === 0 ? h("p", { class: "panel empty" }, `There are no ${kind.name}.`)
      : h("div", { class: "panel scroll-x", tabindex: "0", role: "region", "aria-label": kind.title }, h("table", {},
        h("thead", {}, h("tr", {}, ["Name", ...kind.columns.map(([, title]) => title), "Actions"].map((title) => h("th", { scope: "col" }, title)))),
        body)),
    more);
  draw();

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const found = wanted ? sorted.filter(({ text }) => text.includes(wanted)) : sorted;
    fill(body, found.slice(0, shownAtOnce).map(({ entity }) => row(entity)));
    more.textContent = found.length > shownAtOnce ? `${shownAtOnce} of ${count(found.length)}; search for the others.` : "";
  }

  /** @param {Entity} entity */
  function row(entity) {
    return h("tr", {},
      h("td", {}, h("a", { href: address(["manager", kind.name, entity.id]) }, nameOf(entity)),
        entity.enabled === false && h("span", { class: "tag" }, "Disabled")),
      kind.columns.map(([field]) => h("td", {}, cell(field, entity[field]))),
      h("td", {}, h("div", { class: "buttons" },
        h("a", { class: "button", href: address(["manager", kind.name, entity.id]), "aria-label": `${admin.readOnly ? "View" : "Edit"} ${nameOf(entity)}` }, admin.readOnly ? "View" : "Edit"),
        h("button", { type: "button", class: "danger", disabled: admin.readOnly, "aria-label": `Delete ${nameOf(entity)}`, onclick: () => remove(entity) }, "Delete"))));
  }

  /** @param {string} field @param {unknown} value @returns {import("../shell/dom.js").Children} */
  function cell(field, value) {
    if (field === "tags") return tags(value);
    if (value === null || value === undefined) return h("span", { class: "quiet" }, "–");
    if (Array.isArray(value)) return h("code", {}, value.join(" "));
    if (typeof value === "object") {
      const { id } = /** @type {Entity} */ (value);
      return h("a", { href: address(["manager", `${field}s`, id]) }, serviceNames.get(id) ?? id);
    }
    return h("code", {}, String(value));
  }

  /** @param {Entity} entity */
  async function remove(entity) {
    if (!await confirmed(`Delete ${kind.one} ${nameOf(entity)}?`, "What belongs to it goes with it, or keeps it from being deleted.", "Delete")) return;
    await attempt(`${nameOf(entity)} deleted`, () => admin.send("DELETE", `/${kind.name}/${entity.id}`));
  }
}
