import { fill, h } from "../shell/dom.js";
import { duration, moment } from "../shell/format.js";
import { address } from "../shell/address.js";
import { quote } from "../traces/filter.js";
import { codeBlock, looksLikeJSON, shown, withMasks } from "./json.js";

/**
 * @typedef {import("../server/model.js").Trace} Trace
 * @typedef {import("../server/model.js").Span} Span
 * @typedef {import("../server/model.js").Attribute} Attribute
 */

/** What is known of one span, beside the waterfall. */
export function spanPanel() {
  const element = h("aside", { class: "span-panel", "aria-label": "Span", tabindex: "0", "data-shut": true });

  /** @param {Trace} trace @param {Span | undefined} span @param {boolean} byUser where it covers the waterfall, only who asks for it gets it */
  function show(trace, span, byUser) {
    element.toggleAttribute("data-shut", !span || !byUser);
    if (!span) return fill(element, h("p", { class: "quiet" }, "Choose a span to see what is known of it."));
    const { summary } = trace;
    const logs = trace.logs.filter((log) => log.span_id === span.id).length;
    return fill(element,
      h("div", { class: "page-head" },
        h("h2", {}, span.name),
        h("button", { type: "button", class: "icon-button close", "aria-label": "Close", onclick: () => element.toggleAttribute("data-shut", true) }, "✕")),
      span.status === "error" && h("p", { class: "note bad" }, span.status_text || "This span ended with an error."),
      h("dl", { class: "facts-grid" },
        fact("Service", span.service || "–"), fact("Kind", span.kind || "–"),
        fact("Duration", `${duration(span.duration)}${span.self < span.duration ? `, ${duration(span.self)} of it its own` : ""}`),
        fact("Start", `at ${duration(span.start)}, ${moment(summary.time + span.start)}`),
        fact("Span id", h("code", {}, span.id)),
        span.parent && fact("Parent", h("code", {}, span.parent), span.missing && h("span", { class: "quiet" }, " not here")),
        span.scope && fact("Recorded by", span.scope),
        span.state && fact("Trace state", h("code", {}, span.state)),
        logs > 0 && fact("Logs", String(logs))),
      attributesSection("Attributes", span.attributes, true),
      span.events.length > 0 && h("section", {}, h("h3", {}, "Events"), span.events.map((event) => h("div", { class: "event" },
        h("div", {}, h("strong", {}, event.name), " ", h("span", { class: "quiet" }, `at ${duration(event.time)}`)),
        attributesList(event.attributes, false)))),
      span.links.length > 0 && h("section", {}, h("h3", {}, "Links"), span.links.map((link) => h("div", { class: "event" },
        link.stored ? h("a", { class: "mono", href: address(["traces", link.trace_id], { span: link.span_id }) }, link.trace_id)
          : h("code", {}, link.trace_id),
        attributesList(link.attributes, false)))),
      attributesSection("Resource", trace.resources[span.resource]?.attributes ?? [], true));
  }

  /** Closes it where it covers the waterfall; false where it does not. */
  function close() {
    const covers = getComputedStyle(element).position === "fixed" && !element.hasAttribute("data-shut");
    if (covers) element.toggleAttribute("data-shut", true);
    return covers;
  }

  return { element, show, close };
}

/** @param {string} name @param {...import("../shell/dom.js").Child} value */
export function fact(name, ...value) {
  return [h("dt", {}, name), h("dd", {}, ...value)];
}

/** @param {string} title @param {Attribute[]} attributes @param {boolean} filters */
function attributesSection(title, attributes, filters) {
  return attributes.length > 0 && h("section", {}, h("h3", {}, title), attributesList(attributes, filters));
}

/** @param {Attribute[]} attributes @param {boolean} filters whether each offers to filter the list by it */
function attributesList(attributes, filters) {
  if (attributes.length === 0) return null;
  const sorted = [...attributes].sort((a, b) => (a.key < b.key ? -1 : 1));
  return h("dl", { class: "attributes" }, sorted.map(({ key, value }) => {
    const text = shown(value);
    const long = text.length > 60 && looksLikeJSON(text);
    const simple = typeof value !== "object" && text.length < 200;
    return h("div", {},
      h("dt", {}, key),
      h("dd", {}, long ? codeBlock(text, { label: key }) : withMasks(text)),
      filters && simple && h("dd", {}, h("a", {
        class: "button filter-by", href: address(["traces"], { filter: `${key}=${quote(text)}` }),
        "aria-label": `Traces with this ${key}`, title: "Traces with this value",
      }, "⌕")));
  }));
}
