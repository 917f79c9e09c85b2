import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { openPage, startStage } from "../browser.js";

/** @type {Awaited<ReturnType<typeof startStage>>} */
let stage;
before(async () => {
  stage = await startStage();
  await stage.sidecar.admin("POST", "/plugins", { name: "sidekong-capture", config: {} });
  for (let i = 0; i < 12; i++) {
    await stage.send(`/orders/${1000 + i}?state=open`);
    await stage.send("/orders", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ amount: i, paid: i % 2 === 0 }) });
  }
});
after(() => stage?.stop());

test("the inventory: endpoints, an endpoint, OpenAPI, differences", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  await page.goto(`${stage.sidecar.page}/#/inventory`);
  const row = page.locator("tr.opens").filter({ hasText: "/orders/{" });
  for (let i = 0; i < 50 && await row.count() === 0; i++) {
    await page.waitForTimeout(200);
    await page.reload();
  }
  assert.match(await row.innerText(), /GET[\s\S]*12/);

  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export OpenAPI" }).click();
  const document = JSON.parse(await readFile(await (await downloading).path(), "utf8"));
  assert.match(document.openapi, /^3\.1\./);
  const paths = Object.keys(document.paths);
  assert.ok(paths.some((path) => /^\/orders\/\{/.test(path)), paths.join());

  await row.getByRole("link").click();
  await page.getByRole("region", { name: "Parameters" }).getByText("state").waitFor();
  await page.getByRole("region", { name: /schema$/ }).first().getByText("received").waitFor();
  await page.keyboard.press("Escape");

  const file = { openapi: "3.1.0", info: { title: "shop", version: "1" }, paths: { "/orders": { post: { responses: { 201: { description: "made" } } } }, "/never": { get: { responses: { 200: { description: "x" } } } } } };
  const choosing = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Compare with a file" }).click();
  await (await choosing).setFiles({ name: "openapi.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(file)) });
  const dialog = page.getByRole("dialog");
  await dialog.getByText("/never").waitFor();
  await dialog.getByText(/orders\//).waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});
