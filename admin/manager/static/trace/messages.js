import { copy } from "../shell/dialog.js";
import { fill, h } from "../shell/dom.js";
import { bytes } from "../shell/format.js";
import { codeBlock, looksLikeJSON, withMasks } from "./json.js";

/** @typedef {import("../server/model.js").Message} Message */
/** @typedef {import("../server/model.js").GatewayRecord} GatewayRecord */

/**
 * Request and answer side by side, as far as they were captured.
 *
 * @param {GatewayRecord | undefined} record
 */
export function messages(record) {
  if (!record?.request_message && !record?.response_message) {
    return h("div", { class: "empty" },
      h("h2", {}, "Nothing was captured"),
      h("p", {}, "The plugin ", h("code", {}, "sidekong-capture"), " keeps headers and bodies, with secrets masked."),
      h("p", {}, h("a", { class: "button", href: "#/manager/plugins/new/sidekong-capture" }, "Set it up")));
  }
  return h("div", { class: "sides" }, side("Request", record.request_message), side("Response", record.response_message));
}

/** @param {string} title @param {Message | null} message */
function side(title, message) {
  if (!message) {
    return h("section", { class: "panel message" }, h("header", {}, h("h2", {}, title)), h("p", { class: "empty" }, "Not captured."));
  }
  let raw = false;
  const place = h("div");
  const turn = h("button", { type: "button", "aria-pressed": "false", onclick: () => { raw = !raw; show(); } }, "Raw");
  const show = () => {
    turn.setAttribute("aria-pressed", String(raw));
    fill(place, message.body === "" ? h("p", { class: "empty" }, "The body is empty.")
      : codeBlock(message.body, { type: message.type, raw, label: `${title}: body` }));
  };
  show();
  return h("section", { class: "panel message" },
    h("header", {}, h("h2", {}, title), h("span", { class: "message-line" }, message.line)),
    message.headers.length > 0 && h("table", { class: "headers" }, h("tbody", {}, message.headers.map((header) =>
      h("tr", {}, h("th", { scope: "row" }, header.name), h("td", {}, ...withMasks(header.value)))))),
    h("div", { class: "body-head" },
      h("span", {}, message.type || "no content type"),
      message.size >= 0 && h("span", {}, bytes(message.size)),
      message.truncated && h("span", { class: "tag warn" }, "cut"),
      message.sha256 && h("span", { class: "quiet mono cut", title: message.sha256 }, `sha256 ${message.sha256.slice(0, 12)}…`),
      message.has_body && message.body !== "" && h("div", { class: "buttons" },
        looksLikeJSON(message.body, message.type) && turn,
        h("button", { type: "button", onclick: () => copy(message.body, "Body") }, "Copy"))),
    message.has_body ? place : h("p", { class: "empty" }, "No body was captured."));
}
