import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, startStage, until } from "../browser.js";

/** @type {Awaited<ReturnType<typeof startStage>>} */
let stage;
before(async () => { stage = await startStage(); });
after(() => stage?.stop());

test("overview: rates, errors, durations, routes, services, who calls whom", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  for (let i = 0; i < 8; i++) await stage.send(`/orders/${i}`);
  await stage.send("/fails/1");
  await stage.send("/fails/2");
  await page.goto(`${stage.sidecar.page}/#/overview`);
  const route = page.getByRole("region", { name: "Routes" }).locator("tbody tr").filter({ hasText: "orders" });
  await until(async () => /\b10\b/.test(await route.innerText()), "ten requests");
  assert.match(await route.innerText(), /20 %/);
  await page.getByRole("region", { name: "Services" }).getByText("shop").waitFor();
  await until(async () => await page.locator(".chart .line").first().getAttribute("d") !== null, "a chart");

  const map = page.getByRole("group", { name: "Service map" });
  await map.getByText("backend").waitFor();
  await map.getByText("shop").first().waitFor();

  // The charts' values by keyboard.
  await page.locator(".plot").first().focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator(".chart .told").first().filter({ hasText: /\d\d:\d\d:\d\d/ }).waitFor();

  await page.getByRole("button", { name: "15 min" }).click();
  await until(() => page.url().includes("window=900"), "the time in the address");
  await route.getByRole("link").click();
  await page.locator(".trace-row").first().waitFor();
  assert.match(decodeURIComponent(page.url()), /filter=route_name=orders/);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a banner tells that exporting fails, and goes when it works", async () => {
  const { page, context } = await openPage(stage.browser);
  const plugin = await stage.sidecar.admin("POST", "/plugins", { name: "opentelemetry", config: { traces_endpoint: "http://127.0.0.1:9/v1/traces", queue: { max_coalescing_delay: 0.05 } } });
  await stage.send("/orders/1");
  await page.goto(`${stage.sidecar.page}/#/traces`);
  await page.locator(".banner").waitFor();
  await page.locator(".banner").getByRole("link", { name: "Details" }).click();
  await page.getByRole("region", { name: "Exporters" }).getByText("failing").waitFor();
  await page.getByRole("region", { name: "Exporters" }).getByText(/refused/).first().waitFor();
  await stage.sidecar.admin("DELETE", `/plugins/${plugin.id}`);
  await page.locator(".banner").waitFor({ state: "detached" });
  await context.close();
});
