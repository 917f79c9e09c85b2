import { send } from "../server/client.js";
import { fill, h } from "../shell/dom.js";
import { duration } from "../shell/format.js";
import { title } from "./fields.js";

/** What the Admin API shows of a secret; sent back it means "as it was". */
const masked = "********";

const endpoints = ["traces_endpoint", "logs_endpoint"];

/**
 * A button that has the sidecar post an empty batch to the endpoints of an OpenTelemetry configuration, and the place
 * that tells what came of it.
 *
 * @param {() => Record<string, unknown>} configuration as the form has it
 */
export function connectionTest(configuration) {
  const told = h("div", { class: "probed", role: "status" });
  const button = h("button", { type: "button", onclick: test }, "Test connection");

  async function test() {
    const now = configuration();
    const given = endpoints.filter((name) => now[name]);
    if (given.length === 0) {
      fill(told, h("p", { class: "note warn" }, "There is no endpoint yet."));
      return;
    }
    fill(told, h("p", { class: "note" }, "Connecting …"));
    const headers = Object.entries(/** @type {Record<string, unknown>} */ (now.headers ?? {}));
    const sent = headers.filter(([, value]) => value !== masked);
    const timeout = Number(now.connect_timeout ?? 1000) + Number(now.read_timeout ?? 5000);
    const results = await Promise.all(given.map((name) => result(name, { endpoint: now[name], headers: Object.fromEntries(sent), timeout })));
    fill(told, results, sent.length < headers.length && h("p", { class: "note" }, "Headers whose values are masked here were not sent."));
  }

  return { button, told };
}

/** @param {string} name @param {Record<string, unknown>} probe */
async function result(name, probe) {
  try {
    const answer = /** @type {import("../server/model.js").Probed} */ (await send("POST", "/api/probe", probe));
    return h("p", { class: `note ${answer.ok ? "" : "bad"}` }, h("strong", {}, `${title(name)}: `),
      answer.ok ? `answers ${answer.status} after ${duration(answer.duration)}` : answer.message);
  } catch (error) {
    return h("p", { class: "note bad" }, `${title(name)}: ${error instanceof Error ? error.message : error}`);
  }
}
