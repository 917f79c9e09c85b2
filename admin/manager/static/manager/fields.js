import { fill, freshId, h } from "../shell/dom.js";
import { defaultOf, fieldsOf } from "./schema.js";

/**
 * @typedef {import("./schema.js").Field} Field
 *
 * A control shows one field and gives its value; null is "not set".
 * @typedef {object} Control
 * @property {HTMLElement} element
 * @property {() => unknown} read
 * @property {(fault: unknown) => void} tell what is wrong: a text, or faults by the names of what is inside; null: nothing
 *
 * @typedef {object} Context
 * @property {() => void} changed
 * @property {(path: string) => string} help
 * @property {(path: string) => boolean} multiline
 * @property {boolean} disabled
 */

/** Acronyms that a title keeps in capitals. */
const capitals = new Set(["id", "url", "uri", "http", "https", "tls", "ssl", "ip", "sni", "snis", "dns", "json", "ca", "ws"]);

/** @param {string} name */
export function title(name) {
  const words = name.split(/[_-]/).map((word) => (capitals.has(word) ? word.toUpperCase() : word));
  words[0] = words[0].charAt(0).toUpperCase() + words[0].slice(1);
  return words.join(" ").replace("Opentelemetry", "OpenTelemetry");
}

/**
 * The control of a field.
 *
 * @param {string} name
 * @param {string} path "config.queue.max_batch_size"
 * @param {Field} field
 * @param {unknown} value
 * @param {Context} context
 * @returns {Control}
 */
export function control(name, path, field, value, context) {
  const given = value === undefined ? defaultOf(field) : value;
  if (field.type === "record") return record(name, path, field, given, context);
  if (field.type === "map") return labelled(name, path, field, context, rows(path, field, given, context));
  if (field.type === "array" || field.type === "set") {
    const ticked = field.type === "set" && field.elements?.one_of;
    return labelled(name, path, field, context, ticked ? choices(ticked, given, context) : list(path, field, given, context));
  }
  return labelled(name, path, field, context, single(path, field, given, context));
}

/**
 * An input with its way to read it. `id` names the element that a label is for.
 *
 * @typedef {{ element: HTMLElement, read: () => unknown, id?: string, tell?: (fault: unknown) => unknown, flag?: boolean }} Input
 */

/**
 * @param {string} path
 * @param {Field} field
 * @param {unknown} value
 * @param {Context} context
 * @returns {Input}
 */
function single(path, field, value, context) {
  const id = freshId("field");
  const { changed, disabled } = context;
  if (field.type === "boolean") {
    if (field.required || typeof field.default === "boolean") {
      const box = h("input", { type: "checkbox", id, checked: value === true, onchange: changed, disabled });
      return { element: box, read: () => box.checked, id, flag: true };
    }
    const select = options(id, ["true", "false"], value === null ? "" : String(value), true, context);
    return { element: select, read: () => (select.value === "" ? null : select.value === "true"), id };
  }
  if (field.one_of) {
    const select = options(id, field.one_of.map(String), value === null || value === undefined ? "" : String(value), !field.required, context);
    return { element: select, read: () => (select.value === "" ? null : field.one_of?.find((one) => String(one) === select.value) ?? select.value), id };
  }
  if (field.type === "integer" || field.type === "number") {
    const input = h("input", {
      type: "text", inputmode: "decimal", id, value: value ?? "", oninput: changed, disabled, class: "short",
      placeholder: field.between ? `${field.between[0]} to ${field.between[1]}` : undefined, autocomplete: "off",
    });
    return { element: input, read: () => asNumber(input.value), id };
  }
  if (field.type === "any" || field.type === "json") {
    const area = h("textarea", { id, rows: 4, oninput: changed, disabled, value: value === null || value === undefined ? "" : JSON.stringify(value, null, 2) });
    return { element: area, read: () => fromJSON(area.value), id };
  }
  if (context.multiline(path)) {
    const area = h("textarea", { id, rows: 7, oninput: changed, disabled, spellcheck: "false", value: value ?? "" });
    return { element: area, read: () => area.value || null, id };
  }
  const input = h("input", {
    type: field.encrypted ? "password" : "text", id, value: value ?? "", oninput: changed, disabled, spellcheck: "false",
    autocomplete: field.encrypted ? "new-password" : "off",
  });
  return { element: input, read: () => input.value.trim() || null, id };
}

/**
 * @param {string} id
 * @param {string[]} values
 * @param {string} chosen
 * @param {boolean} open whether nothing may be chosen
 * @param {Context} context
 */
function options(id, values, chosen, open, { changed, disabled }) {
  const all = values.includes(chosen) || chosen === "" ? values : [...values, chosen];
  return h("select", { id, onchange: changed, disabled },
    (open || chosen === "") && h("option", { value: "" }, "– not set –"),
    all.map((value) => h("option", { value, selected: value === chosen }, value)));
}

/** @param {string} typed */
function asNumber(typed) {
  const trimmed = typed.trim();
  if (trimmed === "") return null;
  const number = Number(trimmed);
  // What is no number goes out as it is, so that the answer says what is wrong with it.
  return Number.isNaN(number) ? trimmed : number;
}

/** @param {string} typed @returns {unknown} */
function fromJSON(typed) {
  if (typed.trim() === "") return null;
  try {
    return JSON.parse(typed);
  } catch {
    return typed;
  }
}

/**
 * Boxes to tick: a set of known values.
 *
 * @param {unknown[]} values
 * @param {unknown} value
 * @param {Context} context
 * @returns {Input}
 */
function choices(values, value, { changed, disabled }) {
  const chosen = Array.isArray(value) ? value : [];
  const boxes = values.map((one) => {
    const box = h("input", { type: "checkbox", checked: chosen.includes(one), onchange: changed, disabled });
    return { one, box };
  });
  return {
    element: h("div", { class: "choices", role: "group" }, boxes.map(({ one, box }) => h("label", {}, box, ` ${one}`))),
    read: () => boxes.filter(({ box }) => box.checked).map(({ one }) => one),
  };
}

/**
 * Rows that can be added, removed and moved.
 *
 * @param {string} path
 * @param {Field} field
 * @param {unknown} value
 * @param {Context} context
 * @returns {Input}
 */
function list(path, field, value, context) {
  const element = /** @type {Field} */ (field.elements ?? { type: "any" });
  /** @type {{ row: HTMLElement, control: Control | Input }[]} */
  const items = [];
  const place = h("div", { class: "rows" });
  const add = h("button", { type: "button", disabled: context.disabled, onclick: () => { append(undefined); context.changed(); } }, "+ Add");
  const ordered = field.type === "array";

  /** @param {unknown} given */
  function append(given) {
    const nested = element.type === "record";
    const made = nested ? control(`${items.length + 1}`, `${path}[]`, element, given, context)
      : single(`${path}[]`, element, given ?? null, context);
    if (!nested) made.element.setAttribute("aria-label", `${title(path.split(".").at(-1) ?? path)}: value`);
    const item = { row: h("div", { class: "row" }), control: made };
    fill(item.row, made.element,
      ordered && button("Up", "↑", () => move(item, -1)), ordered && button("Down", "↓", () => move(item, 1)),
      button("Remove", "✕", () => { items.splice(items.indexOf(item), 1); draw(); }));
    items.push(item);
    place.append(item.row);
    if (given === undefined) /** @type {HTMLElement | null} */ (item.row.querySelector("input, select, textarea"))?.focus();
  }

  /** @param {{ row: HTMLElement, control: Control | Input }} item @param {number} by */
  function move(item, by) {
    const at = items.indexOf(item);
    const to = at + by;
    if (to < 0 || to >= items.length) return;
    items.splice(at, 1);
    items.splice(to, 0, item);
    draw();
  }

  function draw() {
    fill(place, items.map((item) => item.row));
    context.changed();
  }

  /** @param {string} label @param {string} sign @param {() => void} onclick */
  function button(label, sign, onclick) {
    return h("button", { type: "button", class: "icon-button", "aria-label": label, disabled: context.disabled, onclick }, sign);
  }

  for (const one of Array.isArray(value) ? value : []) append(one);
  return {
    element: h("div", { role: "group" }, place, add),
    read: () => {
      const values = items.map((item) => item.control.read()).filter((one) => one !== null);
      return values.length > 0 ? values : null;
    },
    tell: (fault) => {
      if (!Array.isArray(fault)) return;
      items.forEach((item, i) => mark(item.row, fault[i] ? text(fault[i]) : ""));
    },
  };
}

/**
 * Names with values, a row each.
 *
 * @param {string} path
 * @param {Field} field
 * @param {unknown} value
 * @param {Context} context
 * @returns {Input}
 */
function rows(path, field, value, context) {
  /** @type {{ row: HTMLElement, key: HTMLInputElement, value: Input }[]} */
  const items = [];
  const place = h("div", { class: "rows" });
  const values = field.values ?? { type: "string" };

  /** @param {string} name @param {unknown} given */
  function append(name, given) {
    const key = h("input", { type: "text", value: name, placeholder: "name", "aria-label": "Name", spellcheck: "false", autocomplete: "off", oninput: context.changed, disabled: context.disabled });
    const made = single(`${path}.*`, values, given, context);
    made.element.setAttribute("aria-label", name ? `Value of ${name}` : "Value");
    if (made.element instanceof HTMLInputElement) made.element.placeholder = "value";
    const item = {
      row: h("div", { class: "row pair" }, key, made.element, h("button", {
        type: "button", class: "icon-button", "aria-label": `Remove ${name}`, disabled: context.disabled,
        onclick: () => { items.splice(items.indexOf(item), 1); item.row.remove(); context.changed(); },
      }, "✕")), key, value: made,
    };
    items.push(item);
    place.append(item.row);
    return item;
  }

  for (const [name, one] of Object.entries(/** @type {Record<string, unknown>} */ (value ?? {}))) append(name, one);
  return {
    element: h("div", { role: "group" }, place, h("button", {
      type: "button", disabled: context.disabled, onclick: () => { append("", null).key.focus(); },
    }, "+ Add")),
    read: () => {
      const entries = items.filter((item) => item.key.value.trim() !== "")
        .map((item) => [item.key.value.trim(), item.value.read() ?? ""]);
      return entries.length > 0 ? Object.fromEntries(entries) : null;
    },
    tell: (fault) => {
      const faults = /** @type {Record<string, unknown>} */ (typeof fault === "object" && fault !== null ? fault : {});
      for (const item of items) mark(item.row, faults[item.key.value] ? text(faults[item.key.value]) : "");
    },
  };
}

/**
 * A fieldset of a record's fields.
 *
 * @param {string} name
 * @param {string} path
 * @param {Field} field
 * @param {unknown} value
 * @param {Context} context
 * @returns {Control}
 */
function record(name, path, field, value, context) {
  const given = /** @type {Record<string, unknown>} */ (value ?? {});
  const inner = group(fieldsOf(field.fields), path, given, context);
  const said = h("p", { class: "fault", role: "alert" });
  const details = h("details", { class: "record", open: path.endsWith("[]") || !path.includes(".") },
    h("summary", {}, title(name)), helpText(path, field, context), said, inner.element);
  return {
    element: details,
    read: inner.read,
    tell: (fault) => {
      inner.tell(fault);
      said.textContent = typeof fault === "string" ? fault : "";
      if (fault) details.open = true;
    },
  };
}

/**
 * Controls one below the other, whose values make an object.
 *
 * @param {[string, Field][]} fields
 * @param {string} path
 * @param {Record<string, unknown>} values
 * @param {Context} context
 * @returns {Control}
 */
export function group(fields, path, values, context) {
  const controls = fields.map(([name, field]) =>
    /** @type {const} */ ([name, control(name, path ? `${path}.${name}` : name, field, values[name], context)]));
  return {
    element: h("div", { class: "fields" }, controls.map(([, one]) => one.element)),
    read: () => Object.fromEntries(controls.map(([name, one]) => [name, one.read()])),
    tell: (fault) => {
      const faults = /** @type {Record<string, unknown>} */ (typeof fault === "object" && fault !== null ? fault : {});
      for (const [name, one] of controls) one.tell(faults[name] ?? null);
    },
  };
}

/** @param {string} path @param {Field} field @param {Context} context */
function helpText(path, field, context) {
  const help = field.description ?? context.help(path);
  return help ? h("p", { class: "help" }, help) : null;
}

/**
 * An input with its label, its help, and the place where a fault is told.
 *
 * @param {string} name
 * @param {string} path
 * @param {Field} field
 * @param {Context} context
 * @param {Input} input
 * @returns {Control}
 */
function labelled(name, path, field, context, input) {
  const help = helpText(path, field, context);
  const said = h("p", { class: "fault", role: "alert", id: freshId("fault") });
  const target = input.id ? input.element : input.element.closest("[role=group]") ?? input.element;
  target.setAttribute("aria-describedby", said.id);
  const words = [title(name), field.required && field.default === undefined && h("span", { class: "quiet" }, " required")];
  const label = input.id ? h("label", { for: input.id }, ...words) : h("span", { class: "label", id: freshId("label") }, ...words);
  if (!input.id) target.setAttribute("aria-labelledby", label.id);
  const element = h("div", { class: `field${input.flag ? " flag" : ""}`, "data-path": path }, label, input.element, help, said);
  return {
    element,
    read: input.read,
    tell: (fault) => {
      input.tell?.(fault);
      said.textContent = fault ? text(fault) : "";
      target.setAttribute("aria-invalid", String(Boolean(fault)));
    },
  };
}

/** @param {HTMLElement} row @param {string} fault */
function mark(row, fault) {
  for (const input of row.querySelectorAll("input, select, textarea")) input.setAttribute("aria-invalid", String(fault !== ""));
  row.title = fault;
}

/** @param {unknown} fault @returns {string} */
export function text(fault) {
  if (fault === null || fault === undefined) return "";
  if (Array.isArray(fault)) return fault.filter((one) => one !== null).map(text).join("; ");
  if (typeof fault === "object") {
    return Object.entries(fault).map(([name, one]) => (name === "@entity" ? text(one) : `${name}: ${text(one)}`)).join("; ");
  }
  return String(fault);
}
