import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startReceiver } from "../backend.js";
import { openPage, startStage, until } from "../browser.js";

/** @type {Awaited<ReturnType<typeof startStage>>} */
let stage;
/** @type {Awaited<ReturnType<typeof startReceiver>>} */
let receiver;
before(async () => {
  receiver = await startReceiver();
  stage = await startStage();
});
after(async () => {
  await stage?.stop();
  await receiver?.stop();
});

/**
 * Requests are answered with such a trace id. What is saved is in force at the next request; only on a machine that
 * needs a second for it may that be one of those after it.
 *
 * @param {RegExp} id
 */
async function answered(id) {
  await until(async () => id.test((await stage.send("/orders/1")).headers.get("x-trace-id") ?? ""), `answers with ${id} as the trace's id`);
}

test("the OpenTelemetry plugin through the form: in force at the next request, disabled, deleted", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  await page.goto(`${stage.sidecar.page}/#/manager`);
  await page.getByText("No plugin is configured").waitFor();
  await page.getByRole("link", { name: "New plugin" }).click();
  await page.getByRole("link", { name: /^OpenTelemetry/ }).click();
  await page.getByRole("heading", { name: "New OpenTelemetry" }).waitFor();

  // Validation in place, in the Admin API's words.
  const endpoint = page.getByLabel("Traces endpoint");
  await endpoint.fill("collector");
  const fault = page.locator('[data-path="config.traces_endpoint"] .fault');
  await fault.filter({ hasText: /missing host/ }).waitFor();
  assert.equal(await endpoint.getAttribute("aria-invalid"), "true");
  await page.getByLabel("Sampling rate").fill("2");
  await page.locator('[data-path="config.sampling_rate"] .fault').filter({ hasText: /between 0 and 1/ }).waitFor();
  await page.getByLabel("Sampling rate").fill("1");

  // The connection is tested from the sidecar.
  await endpoint.fill(`${receiver.url}/elsewhere`);
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.getByText("answers 404 Not Found").waitFor();
  await endpoint.fill(`${receiver.url}/v1/traces`);
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.getByText(/answers 200 after/).waitFor();
  await until(async () => await fault.innerText() === "", "no fault any more");

  // Rows of names and values.
  const attributes = page.locator('[data-path="config.resource_attributes"]');
  await attributes.getByRole("button", { name: "+ Add" }).click();
  await attributes.getByLabel("Name").fill("service.name");
  await attributes.getByLabel("Value").fill("from-the-form");
  const headers = page.locator('[data-path="config.headers"]');
  await headers.getByRole("button", { name: "+ Add" }).click();
  await headers.getByLabel("Name").fill("X-Auth-Token");
  await headers.getByLabel("Value").fill("secret-token");
  await page.getByText("Queue", { exact: true }).click();
  await page.getByLabel("Max coalescing delay").fill("0.05");
  await page.getByText("Advanced", { exact: true }).click();
  await page.getByLabel("HTTP response header for traceid").fill("x-trace-id");

  // View configuration, in three forms.
  const view = page.locator(".view-configuration");
  await view.getByText('"from-the-form"').waitFor();
  const json = JSON.parse(await view.locator("pre").innerText());
  assert.deepEqual(json, { name: "opentelemetry", config: {
    traces_endpoint: `${receiver.url}/v1/traces`, headers: { "X-Auth-Token": "secret-token" }, resource_attributes: { "service.name": "from-the-form" },
    sampling_rate: 1, queue: { max_coalescing_delay: 0.05 }, http_response_header_for_traceid: "x-trace-id",
  } });
  await view.getByRole("tab", { name: "YAML" }).click();
  await view.getByText("service.name: from-the-form").waitFor();
  await view.getByRole("tab", { name: "curl" }).click();
  await view.getByText(/curl -sS -X POST 'http:.*\/admin\/plugins'/).waitFor();

  await page.getByRole("button", { name: "Save" }).click();
  const row = page.locator('[data-plugin="opentelemetry"]');
  await row.getByText("Enabled").waitFor();
  await row.getByText("Global").waitFor();

  await answered(/^[0-9a-f]{32}$/);
  await until(() => receiver.posts.some((post) => post.bytes > 0), "spans at the receiver");
  assert.equal(receiver.posts.find((post) => post.bytes > 0)?.headers["x-auth-token"], "secret-token");

  // Secrets are masked in the form, and stay when it is saved again.
  await row.getByRole("link", { name: "OpenTelemetry", exact: true }).click();
  await page.getByRole("heading", { name: "OpenTelemetry", exact: true, level: 1 }).waitFor();
  assert.equal(await page.locator('[data-path="config.headers"] input').nth(1).inputValue(), "********");
  await page.locator('[data-path="config.resource_attributes"] input').nth(1).fill("changed");
  await page.getByRole("button", { name: "Save" }).click();
  await row.getByText("Enabled").waitFor();
  const seen = receiver.posts.length;
  await stage.send("/orders/2");
  await until(() => receiver.posts.slice(seen).some((post) => post.bytes > 0), "spans after the change");
  assert.equal(receiver.posts.at(-1)?.headers["x-auth-token"], "secret-token");

  await row.getByRole("button", { name: "Disable opentelemetry" }).click();
  await row.getByText("Disabled").waitFor();
  await answered(/^$/);
  await row.getByRole("button", { name: "Enable opentelemetry" }).click();
  await row.getByText("Enabled").waitFor();
  await answered(/^[0-9a-f]{32}$/);

  await row.getByRole("button", { name: "Delete opentelemetry" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("No plugin is configured").waitFor();
  await answered(/^$/);
  assert.deepEqual(complaints.filter((text) => !text.includes("400")), []);
  await context.close();
});

test("a plugin for one service", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  await page.goto(`${stage.sidecar.page}/#/manager/plugins/new/correlation-id`);
  await page.getByText("Scoped", { exact: true }).click();
  await page.getByRole("combobox", { name: "Service" }).fill("nobody");
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator(".fault, .note.bad").filter({ hasText: /\S/ }).first().waitFor();
  await page.getByRole("combobox", { name: "Service" }).fill("shop");
  await page.getByLabel("Echo downstream").check();
  await page.getByRole("button", { name: "Save" }).click();
  const row = page.locator('[data-plugin="correlation-id"]');
  await row.getByRole("link", { name: "shop" }).waitFor();
  await until(async () => (await stage.send("/orders/1")).headers.get("kong-request-id") !== null, "the plugin at work");
  assert.deepEqual(complaints.filter((text) => !text.includes("400")), []);
  await context.close();
});

test("services, routes, consumers and upstreams", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  await page.goto(`${stage.sidecar.page}/#/manager/services`);
  await page.getByRole("link", { name: "shop", exact: true }).waitFor();
  await page.getByRole("link", { name: "New service" }).click();
  await page.getByLabel(/^Name/).fill("second");
  await page.getByLabel("Host").fill(new URL(stage.backend.url).hostname);
  await page.getByLabel("Port").fill(new URL(stage.backend.url).port);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("link", { name: "second", exact: true }).waitFor();

  await page.goto(`${stage.sidecar.page}/#/manager/routes/new`);
  await page.getByLabel(/^Name/).fill("second");
  await page.getByRole("combobox", { name: "Service" }).fill("second");
  await page.locator('[data-path="paths"]').getByRole("button", { name: "+ Add" }).click();
  await page.locator('[data-path="paths"] input').fill("/second");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("link", { name: "Edit second" }).waitFor();
  await until(async () => (await stage.send("/second")).status === 200, "the route");

  await page.goto(`${stage.sidecar.page}/#/manager/consumers/new`);
  await page.getByLabel("Username").fill("ada");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("link", { name: "ada", exact: true }).waitFor();

  await page.goto(`${stage.sidecar.page}/#/manager/upstreams/new`);
  await page.getByLabel(/^Name/).fill("pool");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("link", { name: "pool", exact: true }).click();
  await page.getByLabel("Target", { exact: true }).fill(new URL(stage.backend.url).host);
  await page.getByRole("button", { name: "+ Add" }).last().click();
  await page.locator("table").getByText(new URL(stage.backend.url).host).first().waitFor();
  await page.locator("table").getByText(/healthchecks off|healthy/).first().waitFor();

  await page.goto(`${stage.sidecar.page}/#/manager/services`);
  await page.getByRole("button", { name: "Delete second" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.locator(".notice.bad").waitFor();
  assert.deepEqual(complaints.filter((text) => !text.includes("400")), [], "a service with routes is kept, and that is told");
  await context.close();
});
