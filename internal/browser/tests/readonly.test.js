import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { launch, openPage } from "../browser.js";
import { startSidecar } from "../sidecar.js";

const config = `
_format_version: "3.0"
services:
- name: shop
  url: http://127.0.0.1:9
  routes:
  - {name: orders, paths: [/orders]}
plugins:
- name: correlation-id
  service: shop
`;

test("without a database everything is read-only, with the reason", async () => {
  const sidecar = await startSidecar({ config });
  const browser = await launch();
  try {
    const { page, complaints } = await openPage(browser, { permissions: ["clipboard-read", "clipboard-write"] });
    await page.goto(`${sidecar.page}/#/manager`);
    await page.getByText("Read-only.").waitFor();
    const row = page.locator('[data-plugin="correlation-id"]');
    assert.equal(await row.getByRole("button", { name: "Disable correlation-id" }).isDisabled(), true);
    assert.equal(await row.getByRole("button", { name: "Delete correlation-id" }).isDisabled(), true);

    await page.goto(`${sidecar.page}/#/manager/plugins/new/opentelemetry`);
    await page.getByText("Scoped", { exact: true }).click();
    await page.getByRole("combobox", { name: "Service" }).fill("shop");
    await page.getByLabel("Traces endpoint").fill("http://collector:4318/v1/traces");
    assert.equal(await page.getByRole("button", { name: "Save" }).isDisabled(), true);
    await page.getByRole("button", { name: "Copy as kong.yaml" }).click();
    await page.getByText("kong.yaml copied").waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.deepEqual(parse(copied), {
      _format_version: "3.0",
      plugins: [{ name: "opentelemetry", service: "shop", config: { traces_endpoint: "http://collector:4318/v1/traces" } }],
    });
    assert.deepEqual(complaints, []);

    // What was copied is a configuration that the program takes.
    const merged = await startSidecar({ config: config.replace("plugins:\n", `plugins:\n${copied.slice(copied.indexOf("- name"))}`) });
    await merged.stop();
  } finally {
    await browser.close();
    await sidecar.stop();
  }
});
