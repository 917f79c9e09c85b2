import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { serve } from "../backend.js";
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
  await map.getByRole("link", { name: /^backend/ }).waitFor();
  await map.locator("text").filter({ hasText: /postgresql/ }).waitFor();

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
  let status = 503;
  const receiver = await serve((request, response) => {
    request.resume();
    request.on("end", () => { response.writeHead(status); response.end(); });
  });
  await stage.sidecar.admin("POST", "/plugins", { name: "opentelemetry", config: {
    traces_endpoint: `${receiver.url}/v1/traces`, queue: { max_coalescing_delay: 0.05, max_retry_delay: 0.2 },
  } });
  await stage.send("/orders/1");
  await page.goto(`${stage.sidecar.page}/#/traces`);
  await page.locator(".banner").waitFor();
  await page.locator(".banner").getByRole("link", { name: "Details" }).click();
  await page.getByRole("region", { name: "Exporters" }).getByText("failing").waitFor();
  await page.getByRole("region", { name: "Exporters" }).getByText(/503/).first().waitFor();
  status = 200;
  await page.locator(".banner").waitFor({ state: "detached" });
  await page.getByRole("region", { name: "Exporters" }).getByText("well").waitFor();
  await receiver.stop();
  await context.close();
});
