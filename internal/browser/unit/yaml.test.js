import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { toYAML } from "../../../admin/manager/static/manager/yaml.js";
import { asCurl, asKongYAML } from "../../../admin/manager/static/manager/configuration.js";

const values = {
  "plain words": { name: "opentelemetry", host: "example.com", path: "/a/b_c-d", text: "two words" },
  "what looks like something else": {
    a: "true", b: "no", c: "null", d: "1.0", e: "0x10", f: "~/x(?<id>\\d+)$", g: "", h: "- x", i: "a: b", j: "a #b", k: "2020-01-01", l: "Yes", m: "1_000", n: "*", o: "&a",
    p: "[x]", q: "{x}", r: " lead", s: "trail ", t: "%a", u: "@a", v: "`a", w: "!a", x: "|", y: "y", z: ".inf",
  },
  "numbers and words": { a: 0, b: -1.5, c: 1e21, d: true, e: false, f: null },
  "lists": { a: [], b: ["x", "y"], c: [{ d: 1, e: [2, { f: "g" }] }, "h"], i: [[1, 2], [], [[3]]] },
  "nothing inside": { a: {}, b: [{}] },
  "text of several lines": { a: "kong.log('x')\nreturn 1", b: "end\n", c: "two ends\n\n", d: "  indented\nfirst", e: "a\n\nb", f: "trailing \nspace", g: "tab\tand\nline" },
  "lines in lists": ["a\nb", { x: "c\nd\n" }],
  "characters": { a: "ä 🎉 \"quoted\" 'single' \\ back", b: "\u0000\u0007", "odd key: x": 1, "true": 2, "": 3 },
};

for (const [name, value] of Object.entries(values)) {
  test(`YAML: ${name}`, () => {
    const text = toYAML(value);
    assert.deepEqual(parse(text), value, text);
  });
}

test("kong.yaml names what a plugin is limited to", () => {
  const text = asKongYAML("plugins", { name: "opentelemetry", service: { name: "hello" }, config: { traces_endpoint: "http://c:4318/v1/traces", resource_attributes: { "service.name": "x" } } });
  assert.equal(text, `_format_version: "3.0"
plugins:
- name: opentelemetry
  service: hello
  config:
    traces_endpoint: "http://c:4318/v1/traces"
    resource_attributes:
      service.name: x
`);
});

test("curl takes quotes apart", () => {
  const text = asCurl({ method: "POST", path: "/plugins", kind: "plugins", entity: {}, body: { a: "it's" } }, "http://127.0.0.1:8002/admin");
  assert.match(text, /-X POST 'http:\/\/127\.0\.0\.1:8002\/admin\/plugins'/);
  assert.match(text, /it'\\''s/);
});
