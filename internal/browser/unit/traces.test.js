import assert from "node:assert/strict";
import { test } from "node:test";
import { headerChanges, parts } from "../../../admin/manager/static/trace/difference.js";
import { indented } from "../../../admin/manager/static/trace/json.js";
import { subtreeEnds, ticks, unfolded } from "../../../admin/manager/static/trace/tree.js";
import { quote, toggled, words } from "../../../admin/manager/static/traces/filter.js";
import { columns, line, roundUp } from "../../../admin/manager/static/overview/scale.js";
import { bytes, count, duration, percent, statusClass } from "../../../admin/manager/static/shell/format.js";
import { address, parse } from "../../../admin/manager/static/shell/address.js";

/** @param {number[]} depths */
const spans = (depths) => depths.map((depth, i) => /** @type {import("../../../admin/manager/static/server/model.js").Span} */ (
  /** @type {unknown} */ ({ id: String(i), depth })));

test("subtrees are stretches", () => {
  const all = spans([0, 1, 2, 2, 1, 0, 1]);
  const ends = subtreeEnds(all);
  assert.deepEqual(ends, [5, 4, 3, 4, 5, 7, 7]);
  assert.deepEqual(unfolded(all, ends, new Set(["1"])), [0, 1, 4, 5, 6]);
  assert.deepEqual(unfolded(all, ends, new Set(["0", "5"])), [0, 5]);
  assert.deepEqual(unfolded([], [], new Set()), []);
});

test("rulers have round figures", () => {
  assert.deepEqual(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks(3, 3.5, 5).map((t) => Number(t.toFixed(3))), [3, 3.1, 3.2, 3.3, 3.4, 3.5]);
  assert.deepEqual(ticks(5, 5, 5), []);
  assert.ok(ticks(0, 1e9, 1e6).length <= 100);
});

test("words of a filter", () => {
  assert.deepEqual(words(' a  b="c d" -e ').map((w) => [w.text, w.start, w.end]), [["a", 1, 2], ['b="c d"', 4, 11], ["-e", 12, 14]]);
  assert.deepEqual(words('x="a\\" b').map((w) => w.text), ['x="a\\" b']);
  assert.equal(toggled("status>=500 x", "x"), "status>=500");
  assert.equal(toggled("", "error=true"), "error=true");
  assert.equal(quote("/users"), "/users");
  assert.equal(quote('a "b" \\'), '"a \\"b\\" \\\\"');
});

/** @param {string} text */
const pretty = (text) => indented(text).map((token) => token.text).join("");

test("JSON is indented from its text", () => {
  assert.equal(pretty('{"a":[1,{"b":null}],"c":{},"d":[]}'), '{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ],\n  "c": {},\n  "d": []\n}');
  assert.equal(pretty('{"n":12345678901234567890}'), '{\n  "n": 12345678901234567890\n}', "figures keep their digits");
  assert.equal(pretty('{"a":"x","b":"cut of'), '{\n  "a": "x",\n  "b": "cut of');
  assert.equal(pretty('{"a":1}\n{"b":2}'), '{\n  "a": 1\n}\n{\n  "b": 2\n}', "lines of JSON");
  const text = '{"deep":[[["\\"x\\""]],true,-1.5e3]}';
  assert.deepEqual(JSON.parse(pretty(text)), JSON.parse(text));
  assert.equal(indented("]".repeat(1000)).length > 0, true);
});

test("headers in and out", () => {
  const changes = headerChanges(
    [{ name: "b3", value: "0" }, { name: "traceparent", value: "00-aa-bb-01" }, { name: "baggage", value: "a=1" }],
    [{ name: "traceparent", value: "00-aa-cc-01" }, { name: "baggage", value: "a=1" }, { name: "tracestate", value: "x=1" }]);
  assert.deepEqual(changes.map((c) => [c.name, c.kind]), [["b3", "removed"], ["baggage", "same"], ["traceparent", "changed"], ["tracestate", "added"]]);
  assert.deepEqual(parts("00-aa-bb-01", "00-aa-cc-01").filter((p) => p.changed).map((p) => p.text), ["bb-"]);
  assert.deepEqual(parts("x", null), [{ text: "x", changed: false }]);
});

test("columns of a service map", () => {
  assert.deepEqual(columns(["c", "g", "a", "b"], [{ from: "c", to: "g" }, { from: "g", to: "a" }, { from: "g", to: "b" }, { from: "a", to: "b" }]), [["c"], ["g"], ["a"], ["b"]]);
  assert.equal(columns(["a", "b"], [{ from: "a", to: "b" }, { from: "b", to: "a" }]).flat().length, 2, "circles end");
});

test("charts", () => {
  assert.deepEqual([0, 0.03, 1, 3, 26, 99, 1234].map(roundUp).map((n) => Number(n.toPrecision(3))), [1, 0.05, 1, 5, 50, 100, 2000]);
  assert.equal(line([1, 0, 2, 3], (i) => i, (v) => v, true), "M0.0 1.0h0.01M2.0 2.0L3.0 3.0");
  assert.equal(line([0, 1], (i) => i, (v) => v, false), "M0.0 0.0L1.0 1.0");
});

test("figures", () => {
  const cases = /** @type {[number, string][]} */ ([
    [0, "0"], [0.0004, "0.40 µs"], [0.9994, "999 µs"], [1, "1.00 ms"], [12.34, "12.3 ms"], [999, "999 ms"], [999.6, "1.00 s"],
    [59_900, "59.9 s"], [61_000, "1 m 1 s"], [3_600_000 * 5, "5 h 0 m"], [86_400_000 * 3, "3 days"], [-5, "-5.00 ms"], [NaN, "–"],
  ]);
  for (const [ms, want] of cases) assert.equal(duration(ms), want);
  assert.deepEqual([1, 9999, 10_000, 123_456, 2_500_000].map(count), ["1", "9,999", "10.0 k", "123 k", "2.5 M"]);
  assert.deepEqual([1, 2048, 5 << 20].map(bytes), ["1 B", "2.0 KiB", "5.0 MiB"]);
  assert.deepEqual([0, 0.0001, 0.05, 1].map(percent), ["0 %", "< 0.1 %", "5.0 %", "100 %"]);
  assert.deepEqual([0, 204, 302, 404, 503].map(statusClass), ["none", "ok", "moved", "refused", "failed"]);
});

test("addresses go there and back", () => {
  const filter = 'http.route=/x status>=500 "a b" 100%';
  const place = parse(address(["traces", "a/b"], { filter, empty: "" }));
  assert.deepEqual(place.path, ["traces", "a/b"]);
  assert.equal(place.query.get("filter"), filter);
  assert.equal(place.query.has("empty"), false);
  assert.deepEqual(parse("#/%zz").path, ["%zz"], "what cannot be decoded stays");
});
