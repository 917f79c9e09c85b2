import { Refusal, get } from "../server/client.js";
import { fill, freshId, h } from "../shell/dom.js";

/** Fields that filters know besides attributes, with what they are. */
const fields = /** @type {Record<string, string>} */ ({
  "status": "status code", "duration": "ms, or with a unit: 2s", "method": "GET, POST …", "path": "path and query", "route": "http.route",
  "route_name": "the route's name", "service": "service", "consumer": "consumer", "host": "host", "error": "true, false",
  "errors": "failed spans", "name": "of a span", "id": "of the trace", "request_id": "Kong's", "spans": "how many", "logs": "how many",
  "sampled": "true, false", "gateway": "true, false",
});

const quickWords = [
  ["Errors", "error=true"], ["4xx and 5xx", "status>=400"], ["> 100 ms", "duration>100ms"], ["> 1 s", "duration>1s"],
];

/** What is offered where nothing is typed yet. */
const examples = [
  ["status>=500", "failed"], ["duration>100ms", "slow"], ["http.route=/users", "an attribute"], ["service=billing", "a service"],
  ["name~\"GET .*\"", "a regular expression"], ["-path=/health", "all but these"], ["has:exception.type", "that have it"], ["\"two words\"", "text anywhere"],
];

/**
 * The words of a filter: separated by spaces that no quotes hold.
 *
 * @param {string} text
 * @returns {{ text: string, start: number, end: number }[]}
 */
export function words(text) {
  const found = [];
  let start = -1;
  let quoted = false;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (i === text.length || (!quoted && /\s/.test(c))) {
      if (start >= 0) found.push({ text: text.slice(start, i), start, end: i });
      start = -1;
      continue;
    }
    if (start < 0) start = i;
    if (c === "\\" && quoted) i++;
    else if (c === '"') quoted = !quoted;
  }
  return found;
}

/**
 * A value as a filter takes it: in quotes where it needs them.
 *
 * @param {string} value
 */
export function quote(value) {
  return /^[^\s"\\=!<>~]+$/.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/**
 * With a word more, or without it where the filter has it already.
 *
 * @param {string} filter
 * @param {string} word
 */
export function toggled(filter, word) {
  const all = words(filter).map((w) => w.text);
  return (all.includes(word) ? all.filter((w) => w !== word) : [...all, word]).join(" ");
}

/**
 * The filter's input with completions, the buttons for what is asked most, and the place where a fault is shown.
 *
 * @param {string} initial
 * @param {(filter: string) => Promise<void>} apply rejects with what is wrong with it
 */
export function filterBar(initial, apply) {
  const listId = freshId("offer");
  const faultId = freshId("fault");
  let applied = initial;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
  let at = -1;
  /** @type {{ insert: string, shown: string, hint: string }[]} */
  let offers = [];
  /** @type {Promise<import("../server/model.js").Completions> | null} */
  let completions = null;

  const input = h("input", {
    type: "text", value: initial, placeholder: "status>=500 duration>100ms http.route=/users text", spellcheck: "false",
    autocomplete: "off", autocapitalize: "off", "aria-label": "Filter", role: "combobox", "aria-expanded": "false", "aria-controls": listId,
    "aria-autocomplete": "list", "aria-describedby": faultId, oninput: () => { later(); offer(); }, onkeydown: key,
    onfocus: () => { completions ??= load(); }, onblur: () => setTimeout(close, 150), onclick: offer,
  });
  const list = h("div", { class: "offer", role: "listbox", id: listId, "aria-label": "Completions", hidden: true });
  const fault = h("div", { class: "fault", id: faultId, role: "alert" });
  const empty = h("button", { type: "button", class: "icon-button", "aria-label": "Remove the filter", onclick: () => set("") }, "✕");
  const quick = h("div", { class: "quick", role: "group", "aria-label": "Common filters" }, quickWords.map(([title, word]) =>
    h("button", { type: "button", "data-word": word, onclick: () => set(toggled(input.value, word)) }, title)));
  const element = h("div", { class: "filter" },
    h("span", { class: "sign", "aria-hidden": "true" }, "⌕"), input, empty, list, fault);

  function show() {
    const all = words(input.value).map((w) => w.text);
    for (const button of quick.children) {
      button.setAttribute("aria-pressed", String(all.includes(/** @type {HTMLElement} */ (button).dataset.word ?? "")));
    }
    empty.hidden = input.value === "";
  }

  function load() {
    const none = { names: [], values: {} };
    return /** @type {Promise<import("../server/model.js").Completions>} */ (get("/api/traces/attributes")).catch(() => none);
  }

  /** @param {string} text */
  function set(text) {
    input.value = text;
    void run();
  }

  function later() {
    show();
    clearTimeout(timer);
    timer = setTimeout(run, 250);
  }

  async function run() {
    clearTimeout(timer);
    show();
    const filter = input.value.trim();
    applied = filter;
    try {
      await apply(filter);
      if (applied === filter) said("");
    } catch (error) {
      if (applied === filter) said(error);
    }
  }

  /** @param {unknown} error */
  function said(error) {
    input.setAttribute("aria-invalid", String(Boolean(error)));
    if (!error) return fill(fault);
    const position = error instanceof Refusal ? error.body.position : undefined;
    // The position is in bytes.
    const before = typeof position === "number"
      ? new TextDecoder().decode(new TextEncoder().encode(applied).slice(0, position)) : "";
    return fill(fault,
      typeof position === "number" && h("pre", { "aria-hidden": "true" }, `${applied}\n${" ".repeat([...before].length)}^`),
      error instanceof Error ? error.message : String(error));
  }

  /** The word at the cursor. */
  function current() {
    const cursor = input.selectionStart ?? input.value.length;
    return words(input.value).find((w) => w.start <= cursor && cursor <= w.end) ?? { text: "", start: cursor, end: cursor };
  }

  async function offer() {
    completions ??= load();
    const known = await completions;
    if (document.activeElement !== input) return;
    const { text } = current();
    const [, minus, name, operator, value] = /^(-?)([^=!<>~"]*)(!?[=~]|[<>]=?)?"?(.*)$/.exec(text) ?? ["", "", "", "", ""];
    if (operator) {
      offers = (known.values[name] ?? []).filter((v) => v.toLowerCase().includes(value.toLowerCase()) && v !== value)
        .map((v) => ({ insert: `${minus}${name}${operator}${quote(v)} `, shown: v, hint: "" }));
    } else if (input.value.trim() === "") {
      offers = examples.map(([insert, hint]) => ({ insert, shown: insert, hint }));
    } else if (name === "") {
      offers = [];
    } else {
      const all = [...Object.keys(fields), ...known.names.filter((n) => !(n in fields))];
      offers = all.filter((n) => n.includes(name.toLowerCase()))
        .map((n) => ({ insert: `${minus}${n}${n === "duration" ? ">" : "="}`, shown: n, hint: fields[n] ?? "" }));
    }
    offers = offers.slice(0, 30);
    at = -1;
    draw();
  }

  function draw() {
    list.hidden = offers.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    fill(list, offers.map((o, i) => h("div", {
      role: "option", id: `${listId}-${i}`, "aria-selected": String(i === at), onmousedown: (/** @type {Event} */ e) => { e.preventDefault(); take(i); },
    }, h("span", { class: "cut" }, o.shown), h("span", {}, o.hint))));
    if (at >= 0) {
      input.setAttribute("aria-activedescendant", `${listId}-${at}`);
      list.children[at].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  /** @param {number} index */
  function take(index) {
    const word = current();
    const { insert } = offers[index];
    input.value = input.value.slice(0, word.start) + insert + input.value.slice(word.end).trimStart();
    input.selectionStart = input.selectionEnd = word.start + insert.length;
    later();
    void offer();
  }

  function close() {
    offers = [];
    at = -1;
    draw();
  }

  /** @param {KeyboardEvent} event */
  function key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (offers.length === 0) return;
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      at = at < 0 && step < 0 ? offers.length - 1 : (at + step + offers.length) % offers.length;
      draw();
    } else if ((event.key === "Enter" || event.key === "Tab") && at >= 0) {
      event.preventDefault();
      take(at);
    } else if (event.key === "Enter") {
      close();
      void run();
    } else if (event.key === "Escape") {
      if (offers.length > 0) close();
      else input.blur();
    }
  }

  show();
  return { element, quick, input, set, run, value: () => input.value.trim() };
}
