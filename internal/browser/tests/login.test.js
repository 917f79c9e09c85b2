import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, openPage } from "../browser.js";
import { startSidecar } from "../sidecar.js";

test("a listener that others reach wants the token", async () => {
  const sidecar = await startSidecar({ settings: { KONG_ADMIN_GUI_LISTEN: "0.0.0.0:0", KONG_ADMIN_TOKEN: "a-token-for-tests" } });
  const browser = await launch();
  try {
    assert.equal((await fetch(`${sidecar.page}/api/traces`)).status, 401);
    const { page, context, complaints } = await openPage(browser);
    await page.goto(sidecar.page);
    const token = page.getByLabel("Admin token");
    await token.fill("another");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").filter({ hasText: /token/ }).waitFor();
    await token.fill("a-token-for-tests");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("No traces yet").waitFor();
    const [cookie] = await context.cookies();
    assert.equal(cookie.httpOnly, true);
    assert.equal(cookie.sameSite, "Strict");
    assert.equal(await page.evaluate(() => document.cookie), "");

    // The Admin API is part of it.
    await page.goto(`${sidecar.page}/#/manager`);
    await page.getByText("No plugin is configured").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Admin token").waitFor();
    assert.deepEqual(complaints.filter((text) => !text.includes("401")), []);
  } finally {
    await browser.close();
    await sidecar.stop();
  }
});
