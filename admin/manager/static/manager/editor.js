import { Refusal, send } from "../server/client.js";
import { confirmed, copy, notify } from "../shell/dialog.js";
import { fill, freshId, h } from "../shell/dom.js";
import { duration } from "../shell/format.js";
import { go } from "../shell/router.js";
import { nameOf, reference } from "./admin.js";
import { asKongYAML, configurationView } from "./configuration.js";
import { group, text, title } from "./fields.js";
import { firstFields, helpFor, summaryOf } from "./help.js";
import { kindOf } from "./kinds.js";
import { essential, fieldOf, fieldsOf } from "./schema.js";
import { targets } from "./targets.js";

/**
 * @typedef {import("./admin.js").Admin} Admin
 * @typedef {import("../server/model.js").Entity} Entity
 * @typedef {import("./schema.js").Schema} Schema
 * @typedef {import("./schema.js").Field} Field
 *
 * @typedef {object} Subject what is edited
 * @property {string} kind
 * @property {string} [id] of what exists
 * @property {string} [plugin] name of a new plugin
 * @property {URLSearchParams} [query] scope of a new one
 */

/** Fields that the Admin API writes itself, or that have a place of their own in the form. */
const own = new Set(["id", "created_at", "updated_at", "name", "enabled", "config", "service", "route", "consumer", "consumer_group"]);
/** What the Admin API shows of a secret; sent back it means "as it was". */
const masked = "********";
const scopes = ["service", "route", "consumer"];

/**
 * A form made from a schema: checked while it is filled in, shown as what it stands for, saved through the Admin API.
 *
 * @param {HTMLElement} root
 * @param {Admin} admin
 * @param {Subject} subject
 * @param {AbortSignal} signal
 */
export async function editor(root, admin, subject, signal) {
  const { kind, id } = subject;
  const isPlugin = kind === "plugins";
  const entity = id ? /** @type {Entity} */ (await admin.get(`/${kind}/${encodeURIComponent(id)}`, signal)) : null;
  const plugin = isPlugin ? String(entity?.name ?? subject.plugin) : "";
  const schema = /** @type {Schema} */ (await admin.get(`/schemas/${isPlugin ? `plugins/${encodeURIComponent(plugin)}` : kind}`, signal));
  const described = kindOf(kind);
  const disabled = false;
  let touched = entity !== null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;

  const context = {
    changed, disabled,
    help: (/** @type {string} */ path) => helpFor(plugin, path),
    multiline: (/** @type {string} */ path) => /^(pre|post)-function$/.test(plugin) && path.startsWith("config.") && path.endsWith("[]"),
  };
  const scope = isPlugin || kind === "routes" ? await scopeFields() : null;
  const config = fieldOf(schema, "config");
  const values = /** @type {Record<string, unknown>} */ (entity ?? {});
  const configValues = asObject(values.config);
  const configFields = isPlugin && config ? fieldsOf(config.fields) : [];
  const [main, advanced] = firstFields(plugin).length > 0 ? split(configFields, firstFields(plugin)) : [arranged(configFields), []];
  const mainControl = group(main, "config", configValues, context);
  const advancedControl = group(arranged(advanced), "config", configValues, context);
  const allFields = isPlugin ? fieldsOf(schema.fields).filter(([name]) => !own.has(name))
    : fieldsOf(schema.fields).filter(([name, field]) => !["id", "created_at", "updated_at"].includes(name) && field.type !== "foreign");
  const [first, rest] = isPlugin ? [[], allFields] : split(allFields, described?.first ?? []);
  const firstControl = group(first, "", values, context);
  const restControl = group(rest, "", values, context);
  const enabled = h("input", { type: "checkbox", id: freshId("enabled"), checked: entity?.enabled !== false, onchange: changed });
  const above = h("div", { class: "note bad", role: "alert", hidden: true });
  const save = h("button", { type: "submit", class: "main", disabled: admin.readOnly, title: admin.readOnly ? admin.reason : undefined }, "Save");
  const probe = plugin === "opentelemetry" && h("button", { type: "button", onclick: test }, "Test connection");
  const probed = h("div", { class: "probed", role: "status" });
  const view = configurationView(change, `${location.origin}${admin.base}`);

  const form = h("form", { class: "editor-form", novalidate: true, onsubmit: submit },
    above,
    isPlugin && h("section", { class: "panel" }, h("header", {}, h("h2", {}, "General")),
      h("div", { class: "fields-pad" },
        h("div", { class: "field flag" }, h("label", { for: enabled.id }, "Enabled"), enabled,
          h("p", { class: "help" }, "A plugin that is not enabled does not run.")),
        scope?.element)),
    isPlugin ? h("section", { class: "panel" }, h("header", {}, h("h2", {}, title(plugin)), h("div", { class: "buttons" }, probe)),
      h("div", { class: "fields-pad" }, probed, mainControl.element,
        advanced.length > 0 && h("details", { class: "record" }, h("summary", {}, "Advanced"), advancedControl.element)))
      : h("section", { class: "panel" }, h("header", {}, h("h2", {}, title(described?.one ?? kind))),
        h("div", { class: "fields-pad" }, scope?.element, firstControl.element)),
    restControl.element.hasChildNodes() && h("details", { class: "panel more" }, h("summary", {}, "More settings"),
      h("div", { class: "fields-pad" }, restControl.element)),
    h("div", { class: "save-bar" },
      save, h("a", { class: "button", href: `#/manager/${kind}` }, "Cancel"),
      admin.readOnly && h("button", { type: "button", onclick: () => copy(asKongYAML(kind, change().entity), "kong.yaml") }, "Copy as kong.yaml"),
      entity && h("button", { type: "button", class: "danger", disabled: admin.readOnly, onclick: remove }, "Delete")));

  const heading = entity ? `${isPlugin ? title(plugin) : nameOf(entity)}` : `New ${isPlugin ? title(plugin) : described?.one}`;
  fill(root,
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, heading), isPlugin && h("p", { class: "quiet" }, summaryOf(plugin)))),
    h("div", { class: "editor" }, form,
      h("div", { class: "editor-side" }, kind === "upstreams" && entity && await targets(admin, entity, signal), view.element)));
  document.title = `${heading} – Sidekong`;

  /** Global or scoped, and to what. */
  async function scopeFields() {
    const fields = isPlugin ? scopes.filter((name) => fieldOf(schema, name)?.eq !== null) : ["service"];
    /** @type {Map<string, HTMLInputElement>} */
    const inputs = new Map();
    const elements = await Promise.all(fields.map(async (name) => {
      const listId = freshId("offers");
      const given = entity?.[name] ? (/** @type {Entity} */ (entity[name])).id : subject.query?.get(name) ?? "";
      const offers = /** @type {import("../server/model.js").EntityPage} */ (await admin.get(`/${name}s?size=1000`, signal)).data;
      const known = offers.find((one) => one.id === given);
      const input = h("input", {
        type: "text", id: freshId("scope"), list: listId, value: known ? nameOf(known) : given, oninput: changed, autocomplete: "off",
        placeholder: offers.length ? "name or id" : `there are no ${name}s`, spellcheck: "false",
      });
      inputs.set(name, input);
      return h("div", { class: "field", "data-path": name }, h("label", { for: input.id }, title(name)), input,
        h("datalist", { id: listId }, offers.map((one) => h("option", { value: nameOf(one) }))), h("p", { class: "fault", role: "alert" }));
    }));
    const scoped = [...inputs.values()].some((input) => input.value !== "");
    const radio = (/** @type {boolean} */ on, /** @type {string} */ label, /** @type {string} */ help) => {
      const input = h("input", { type: "radio", name: "scope", checked: on === scoped, onchange: () => { pickers.hidden = !on; changed(); } });
      return { input, element: h("label", { class: "scope-choice" }, input, h("span", {}, h("strong", {}, label), h("span", { class: "help" }, help))) };
    };
    const global = radio(false, "Global", "For all services, routes and consumers");
    const limited = radio(true, "Scoped", "For the service, route or consumer named here");
    const pickers = h("div", { class: "fields", hidden: isPlugin && !scoped }, elements);
    const element = h("div", { class: "fields" },
      isPlugin && h("fieldset", { class: "scope" }, h("legend", {}, "Scope"), global.element, limited.element), pickers);
    return {
      element,
      read: () => Object.fromEntries([...inputs].map(([name, input]) =>
        [name, (isPlugin && global.input.checked) || input.value.trim() === "" ? null : reference(name, input.value.trim())])),
      tell: (/** @type {Record<string, unknown>} */ faults) => {
        for (const [name, input] of inputs) {
          const said = input.parentElement?.querySelector(".fault");
          if (said) said.textContent = faults[name] ? text(faults[name]) : "";
        }
      },
    };
  }

  function configuration() {
    return { ...asObject(mainControl.read()), ...asObject(advancedControl.read()) };
  }

  /** The whole entity as the form has it. */
  function whole() {
    /** @type {Record<string, unknown>} */
    const result = { ...asObject(firstControl.read()), ...asObject(restControl.read()), ...scope?.read() };
    if (isPlugin) {
      result.name = plugin;
      result.enabled = enabled.checked;
      result.config = configuration();
    }
    return result;
  }

  /** What saving would do. @returns {import("./configuration.js").Change} */
  function change() {
    const now = whole();
    const fields = new Map(fieldsOf(schema.fields));
    const brief = Object.fromEntries(Object.entries(now).flatMap(([name, value]) => {
      const field = fields.get(name);
      if (name === "name") return [[name, value]];
      if (name === "enabled") return value === false ? [[name, value]] : [];
      if (value === null || value === undefined) return [];
      if (!field || field.type === "foreign") return [[name, value]];
      const left = essential(field, value);
      return left === undefined ? [] : [[name, left]];
    }));
    const ordered = /** @type {Record<string, unknown>} */ ({ name: brief.name, ...brief });
    if (ordered.name === undefined || ordered.name === null) delete ordered.name;
    return {
      kind, entity: ordered,
      method: entity ? "PATCH" : "POST",
      path: entity ? `/${kind}/${entity.id}` : `/${kind}`,
      body: entity ? now : ordered,
    };
  }

  function changed() {
    touched = true;
    clearTimeout(timer);
    timer = setTimeout(check, 300);
    view.update();
  }

  /** Has the Admin API look at it, and shows what it has to say where it belongs. */
  async function check() {
    if (signal.aborted || !touched) return true;
    const { entity: asked } = change();
    // References are resolved when it is saved.
    for (const name of scopes) delete asked[name];
    try {
      const refusal = await admin.validate(kind, asked);
      tell(refusal);
      return refusal === null;
    } catch (error) {
      notify(error instanceof Error ? error.message : String(error), "bad");
      return false;
    }
  }

  /** @param {Refusal | null} refusal */
  function tell(refusal) {
    const faults = refusal?.fields ?? {};
    const inConfig = /** @type {Record<string, unknown>} */ (typeof faults.config === "object" && faults.config !== null ? faults.config : {});
    mainControl.tell(inConfig);
    advancedControl.tell(inConfig);
    firstControl.tell(faults);
    restControl.tell(faults);
    scope?.tell(faults);
    const general = [faults["@entity"], inConfig["@entity"], typeof faults.config === "string" ? faults.config : null].filter(Boolean).map(text);
    // What no field of the form shows is told above it.
    if (refusal && general.length === 0 && !form.querySelector(".fault:not(:empty)")) general.push(refusal.message);
    above.hidden = general.length === 0;
    fill(above, general.map((one) => h("p", {}, one)));
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    clearTimeout(timer);
    touched = true;
    save.disabled = true;
    try {
      const { method, path, body } = change();
      await admin.send(method, path, body);
      notify(`${heading.replace(/^New /, "")} saved, in force`);
      go(`#/manager/${kind}`);
    } catch (error) {
      if (error instanceof Refusal && error.status === 400) tell(error);
      else {
        above.hidden = false;
        fill(above, error instanceof Error ? error.message : String(error));
      }
      const faulty = form.querySelector("[aria-invalid=true]") ?? above;
      faulty.closest("details")?.setAttribute("open", "");
      faulty.scrollIntoView({ block: "center" });
      if (faulty instanceof HTMLElement) faulty.focus();
    } finally {
      save.disabled = admin.readOnly;
    }
  }

  async function remove() {
    if (!entity || !await confirmed(`Delete ${heading}?`, "Its configuration is gone then.", "Delete")) return;
    try {
      await admin.send("DELETE", `/${kind}/${entity.id}`);
      notify(`${heading} deleted`);
      go(`#/manager/${kind}`);
    } catch (error) {
      notify(error instanceof Error ? error.message : String(error), "bad");
    }
  }

  /** Has the sidecar post an empty batch to the endpoints. */
  async function test() {
    const now = configuration();
    const endpoints = ["traces_endpoint", "logs_endpoint"].filter((name) => now[name]);
    if (endpoints.length === 0) {
      fill(probed, h("p", { class: "note warn" }, "There is no endpoint yet."));
      return;
    }
    fill(probed, h("p", { class: "note" }, "Connecting …"));
    const headers = Object.entries(asObject(now.headers));
    const sent = headers.filter(([, value]) => value !== masked);
    const results = await Promise.all(endpoints.map(async (name) => {
      try {
        const answer = /** @type {{ ok: boolean, status: number, message: string, duration: number }} */ (await send("POST", "/api/probe", {
          endpoint: now[name], headers: Object.fromEntries(sent), timeout: Number(now.connect_timeout ?? 1000) + Number(now.read_timeout ?? 5000),
        }));
        return h("p", { class: `note ${answer.ok ? "" : "bad"}` }, h("strong", {}, `${title(name)}: `),
          answer.ok ? `answers ${answer.status} after ${duration(answer.duration)}` : answer.message);
      } catch (error) {
        return h("p", { class: "note bad" }, `${title(name)}: ${error instanceof Error ? error.message : error}`);
      }
    }));
    fill(probed, results, sent.length < headers.length && h("p", { class: "note" }, "Headers whose values are masked here were not sent."));
  }
}

/** @param {unknown} value */
function asObject(value) {
  return /** @type {Record<string, unknown>} */ (value ?? {});
}

/**
 * Simple fields first, as they stand; records after them.
 *
 * @param {[string, Field][]} fields
 */
function arranged(fields) {
  return [...fields.filter(([, field]) => field.type !== "record"), ...fields.filter(([, field]) => field.type === "record")];
}

/**
 * @param {[string, Field][]} fields
 * @param {string[]} names
 * @returns {[[string, Field][], [string, Field][]]}
 */
function split(fields, names) {
  const chosen = names.flatMap((name) => fields.filter(([one]) => one === name));
  return [chosen, fields.filter(([name]) => !names.includes(name))];
}
