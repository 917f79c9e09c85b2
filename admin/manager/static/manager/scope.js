import { freshId, h } from "../shell/dom.js";
import { nameOf, reference } from "./admin.js";
import { text, title } from "./fields.js";

/**
 * @typedef {import("./admin.js").Admin} Admin
 * @typedef {import("../server/model.js").Entity} Entity
 * @typedef {import("../server/model.js").EntityPage} EntityPage
 */

/** What an entity may be limited to, or belong to. */
export const scopes = ["service", "route", "consumer"];

/**
 * Pickers for references to other entities, by name or id; with `global` there is the choice to have none.
 *
 * @param {Admin} admin
 * @param {string[]} fields of scopes
 * @param {(field: string) => string} given id or name that a field has
 * @param {{ global: boolean, changed: () => void }} options
 * @param {AbortSignal} signal
 */
export async function scopePickers(admin, fields, given, { global, changed }, signal) {
  const pickers = await Promise.all(fields.map(async (field) => {
    const offers = /** @type {EntityPage} */ (await admin.get(`/${field}s?size=1000`, signal)).data;
    const value = given(field);
    const known = offers.find((one) => one.id === value);
    const offerId = freshId("offers");
    const fault = h("p", { class: "fault", role: "alert" });
    const input = h("input", {
      type: "text", id: freshId("scope"), list: offerId, value: known ? nameOf(known) : value, oninput: changed, autocomplete: "off",
      placeholder: offers.length ? "name or id" : `there are no ${field}s`, spellcheck: "false",
    });
    const element = h("div", { class: "field", "data-path": field }, h("label", { for: input.id }, title(field)), input,
      h("datalist", { id: offerId }, offers.map((one) => h("option", { value: nameOf(one) }))), fault);
    return { field, input, fault, element };
  }));
  const scoped = pickers.some(({ input }) => input.value !== "");
  const place = h("div", { class: "fields", hidden: global && !scoped }, pickers.map(({ element }) => element));
  const forAll = choice(!scoped, "Global", "For all services, routes and consumers", () => turn(false));
  const forSome = choice(scoped, "Scoped", "For the service, route or consumer named here", () => turn(true));

  /** @param {boolean} some */
  function turn(some) {
    place.hidden = !some;
    changed();
  }

  return {
    element: h("div", { class: "fields" },
      global && h("fieldset", { class: "scope" }, h("legend", {}, "Scope"), forAll.element, forSome.element), place),
    /** The references as the Admin API takes them; null: none. */
    read: () => Object.fromEntries(pickers.map(({ field, input }) => {
      const value = input.value.trim();
      return [field, value === "" || (global && forAll.input.checked) ? null : reference(field, value)];
    })),
    /** @param {Record<string, unknown>} faults */
    tell: (faults) => {
      for (const { field, fault } of pickers) fault.textContent = faults[field] ? text(faults[field]) : "";
    },
  };
}

/** @param {boolean} checked @param {string} label @param {string} help @param {() => void} onchange */
function choice(checked, label, help, onchange) {
  const input = h("input", { type: "radio", name: "scope", checked, onchange });
  return { input, element: h("label", { class: "scope-choice" }, input, h("span", {}, h("strong", {}, label), h("span", { class: "help" }, help))) };
}
