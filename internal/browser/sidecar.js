import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The program: what SIDEKONG names, else built for these tests. */
function program() {
  if (process.env.SIDEKONG) return process.env.SIDEKONG;
  const folder = mkdtempSync(join(tmpdir(), "sidekong-build-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "sidekong");
  execFileSync("go", ["build", "-o", path, "./cmd/sidekong"], { cwd: root, stdio: "inherit" });
  process.env.SIDEKONG = path;
  return path;
}

/**
 * A running Sidekong.
 *
 * @typedef {object} Sidecar
 * @property {string} page address, as http://127.0.0.1:12345
 * @property {string} proxy address
 * @property {(method: string, path: string, body?: unknown) => Promise<any>} admin asks the Admin API
 * @property {() => string} log what it has written so far
 * @property {() => Promise<void>} stop
 */

/**
 * Starts the program with a folder of its own, on ports of its own.
 *
 * @param {{ config?: string, settings?: Record<string, string> }} [options] config is a kong.yaml: without it the database is sqlite
 * @returns {Promise<Sidecar>}
 */
export async function startSidecar({ config, settings = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "sidekong-page-"));
  /** @type {Record<string, string>} */
  const env = {
    PATH: process.env.PATH ?? "", HOME: folder, KONG_PREFIX: folder, KONG_LOG_LEVEL: "notice",
    KONG_PROXY_LISTEN: "127.0.0.1:0", KONG_ADMIN_GUI_LISTEN: "127.0.0.1:0", KONG_ADMIN_LISTEN: "off", KONG_STATUS_LISTEN: "off",
    KONG_TRACING_INSTRUMENTATIONS: "all", KONG_TRACING_SAMPLING_RATE: "1", ...settings,
  };
  if (config === undefined) env.KONG_DATABASE ??= "sqlite";
  else {
    env.KONG_DATABASE = "off";
    env.KONG_DECLARATIVE_CONFIG = join(folder, "kong.yaml");
    writeFileSync(env.KONG_DECLARATIVE_CONFIG, config);
  }
  const child = spawn(program(), ["run"], { env, stdio: ["ignore", "pipe", "pipe"] });
  let written = "";
  const ended = new Promise((resolve) => { child.once("exit", resolve); });
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  /** @type {{ proxy: string, page: string }} */
  let addresses;
  try {
    addresses = await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`sidekong does not serve after 30 s:\n${written}`)), 30_000);
      const read = (/** @type {Buffer} */ chunk) => {
        written += chunk;
        const serving = /\bserving\b.*? proxy=\S*?:(\d+).*? page=\S*?:(\d+)/.exec(written);
        if (!serving) return;
        clearTimeout(late);
        resolve({ proxy: `http://127.0.0.1:${serving[1]}`, page: `http://127.0.0.1:${serving[2]}` });
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      ended.then((code) => { clearTimeout(late); reject(new Error(`sidekong ended with ${code}:\n${written}`)); });
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ...addresses, stop, log: () => written,
    admin: async (method, path, body) => {
      const response = await fetch(`${addresses.page}/admin${path}`, {
        method, headers: { "Content-Type": "application/json", ...(settings.KONG_ADMIN_TOKEN ? { "Kong-Admin-Token": settings.KONG_ADMIN_TOKEN } : {}) },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      return text ? JSON.parse(text) : null;
    },
  };
}
