import { fill, h } from "../shell/dom.js";
import { duration } from "../shell/format.js";
import { VirtualList } from "../shell/virtual.js";
import { addShortcuts } from "../shell/shortcuts.js";
import { tonesOf } from "./tones.js";
import { subtreeEnds, ticks, unfolded } from "./tree.js";

/**
 * @typedef {import("../server/model.js").Trace} Trace
 * @typedef {import("../server/model.js").Span} Span
 */

/**
 * The spans of a trace over time.
 *
 * @param {(span: Span | undefined, byUser: boolean) => void} chosen
 * @param {AbortSignal} signal
 */
export function waterfall(chosen, signal) {
  /** @type {Trace} */ let trace;
  /** @type {number[]} */ let ends = [];
  /** @type {Map<string, string>} */ let tones = new Map();
  /** @type {Map<number, { start: number, duration: number }[]>} */ let critical = new Map();
  /** @type {Set<string>} */ const folded = new Set();
  let begin = 0;
  let end = 1;
  let from = 0;
  let to = 1;
  let showCritical = true;

  /** @type {VirtualList<number>} */
  const list = new VirtualList({
    label: "Spans", role: "treegrid", rowHeight: 26, makeRow, fillRow,
    key: (place) => trace.spans[place].id,
    choose: (place) => chosen(place === undefined ? undefined : trace.spans[place], true),
  }, signal);
  list.element.addEventListener("keydown", foldByKey);

  const canvas = h("canvas", { "aria-hidden": "true" });
  const brush = h("div", { class: "brush", hidden: true });
  const times = h("div", { class: "times", title: "Drag to zoom, double-click for all" }, canvas, brush);
  const whole = h("button", { type: "button", onclick: () => zoom(begin, end) }, "Whole trace");
  const path = h("button", { type: "button", "aria-pressed": "true", onclick: turnPath }, "Critical path");
  const nextError = h("button", { type: "button", onclick: () => toError(1) }, "Next error");
  const legend = h("div", { class: "legend" });
  const element = h("div", { class: "waterfall-left" },
    h("div", { class: "tools" },
      h("div", { class: "buttons" },
        h("div", { class: "joined" },
          h("button", { type: "button", "aria-label": "Zoom out", onclick: () => scale(2) }, "−"), whole,
          h("button", { type: "button", "aria-label": "Zoom in", onclick: () => scale(0.5) }, "+")),
        path, nextError,
        h("div", { class: "joined" },
          h("button", { type: "button", onclick: foldAll }, "Collapse"),
          h("button", { type: "button", onclick: unfoldAll }, "Expand"))),
      legend),
    h("div", { class: "ruler" },
      h("div", { class: "names" }, h("span", {}, "Span"), h("span", {}, "Service")), times),
    list.element);

  addShortcuts(signal, "Waterfall", {
    j: ["Next span", () => step(1)],
    k: ["Previous span", () => step(-1)],
    e: ["Next error", () => toError(1)],
    E: ["Previous error", () => toError(-1)],
    "+": ["Zoom in", () => scale(0.5)],
    "-": ["Zoom out", () => scale(2)],
    "0": ["Whole trace", () => zoom(begin, end)],
    z: ["Zoom to the chosen span", zoomToChosen],
    ",": ["Earlier", () => pan(-0.25)],
    ".": ["Later", () => pan(0.25)],
    p: ["Critical path", turnPath],
    "[": ["Collapse all", foldAll],
    "]": ["Expand all", unfoldAll],
  });
  const resized = new ResizeObserver(() => drawRuler());
  resized.observe(times);
  signal.addEventListener("abort", () => resized.disconnect());
  brushing();

  /** @param {Trace} next @param {string} [choice] id of the span to choose */
  function show(next, choice) {
    const all = trace === undefined || (from === begin && to === end);
    trace = next;
    ends = subtreeEnds(trace.spans);
    tones = tonesOf(trace);
    begin = Math.min(0, ...trace.spans.map((span) => span.start));
    end = trace.spans.reduce((last, span) => Math.max(last, span.start + span.duration), begin);
    if (end <= begin) end = begin + 0.001;
    if (all) [from, to] = [begin, end];
    critical = new Map();
    for (const segment of trace.critical) {
      critical.set(segment.span, [...critical.get(segment.span) ?? [], segment]);
    }
    fill(legend, [...tones].map(([name, tone]) => h("span", { class: `key ${tone}` }, name || "(no name)")));
    const errors = trace.spans.filter((span) => span.status === "error").length;
    nextError.disabled = errors === 0;
    nextError.textContent = errors ? `Next error (${errors})` : "No errors";
    layOut();
    if (choice !== undefined) choose(trace.spans.findIndex((span) => span.id === choice), true);
  }

  function layOut() {
    list.set(unfolded(trace.spans, ends, folded));
    drawRuler();
  }

  function makeRow() {
    return h("div", { class: "span-row" },
      h("div", { class: "name", role: "gridcell" },
        h("button", { type: "button", class: "fold", tabindex: "-1", onclick: foldByClick }),
        h("span", { class: "x" }), h("span", { class: "label cut" }), h("span", { class: "service cut" })),
      h("div", { class: "track", role: "gridcell" },
        h("i", { class: "bar" }), h("span", { class: "amount" })));
  }

  /** @param {HTMLElement} row @param {number} place */
  function fillRow(row, place) {
    const span = trace.spans[place];
    const [name, track] = /** @type {HTMLElement[]} */ ([...row.children]);
    const [fold, mark, label, service] = /** @type {HTMLElement[]} */ ([...name.children]);
    const parent = ends[place] > place + 1;
    const shut = folded.has(span.id);
    row.className = `virtual-row span-row ${tones.get(span.service) ?? "tone-4"}`;
    row.classList.toggle("bad", span.status === "error");
    row.setAttribute("aria-level", String(span.depth + 1));
    if (parent) row.setAttribute("aria-expanded", String(!shut));
    else row.removeAttribute("aria-expanded");
    row.setAttribute("aria-label", `${span.name}, ${span.service}, ${duration(span.duration)}${span.status === "error" ? ", error" : ""}`);
    fold.style.marginLeft = `${Math.min(span.depth, 24) * 12}px`;
    fold.textContent = shut ? "▶" : "▼";
    fold.dataset.place = String(place);
    fold.setAttribute("aria-hidden", String(!parent));
    fold.setAttribute("aria-label", shut ? "Expand" : "Collapse");
    mark.textContent = span.status === "error" ? "✕" : span.missing ? "⋯" : "";
    mark.title = span.missing ? "Its parent is not here" : "";
    label.textContent = shut ? `${span.name} (+${ends[place] - place - 1})` : span.name;
    label.title = span.name;
    service.textContent = span.service;

    const [bar, amount] = /** @type {HTMLElement[]} */ ([...track.children]);
    const left = share(span.start);
    const right = share(span.start + span.duration);
    bar.style.left = `${Math.min(left, 99.6)}%`;
    bar.style.width = `${Math.max(0, right - left)}%`;
    bar.hidden = right < 0 || left > 100;
    amount.textContent = duration(span.duration);
    // The figure stands where there is room: behind the bar, else before it, else on it.
    const room = right <= 84 ? "behind" : left > 16 ? "before" : "inside";
    amount.style.left = room === "behind" ? `${Math.max(0, right)}%` : "";
    amount.style.right = room === "behind" ? "" : `${Math.max(0, 100 - (room === "before" ? left : right))}%`;
    amount.classList.toggle("inside", room === "inside");
    while (track.childElementCount > 2) track.lastElementChild?.remove();
    if (showCritical) {
      for (const part of critical.get(place) ?? []) {
        const line = h("i", { class: "critical" });
        const at = share(part.start);
        line.style.left = `${at}%`;
        line.style.width = `${share(part.start + part.duration) - at}%`;
        track.append(line);
      }
    }
  }

  /** @param {number} time */
  function share(time) {
    return Math.max(-1, Math.min(101, (time - from) / (to - from) * 100));
  }

  function drawRuler() {
    const width = times.clientWidth;
    if (!trace || width === 0) return;
    const scaleBy = devicePixelRatio;
    canvas.width = width * scaleBy;
    canvas.height = 20 * scaleBy;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.scale(scaleBy, scaleBy);
    const style = getComputedStyle(times);
    const colours = new Map(["tone-0", "tone-1", "tone-2", "tone-3", "tone-4"].map((tone, i) =>
      [tone, resolve(style, ["--gateway", "--upstream", "--client", "--other", "--ink-3"][i])]));
    const rows = Math.min(trace.spans.length, 2000);
    const high = Math.max(0.5, Math.min(2.5, 20 / rows));
    for (let i = 0; i < rows; i++) {
      const span = trace.spans[i];
      context.fillStyle = colours.get(tones.get(span.service) ?? "tone-4") ?? "gray";
      context.fillRect((span.start - begin) / (end - begin) * width, i * 20 / rows, Math.max(1, span.duration / (end - begin) * width), high);
    }
    for (const old of times.querySelectorAll(".tick")) old.remove();
    for (const time of ticks(from, to, width / 110)) {
      const tick = h("span", { class: "tick" }, duration(time));
      tick.style.left = `${share(time)}%`;
      if (share(time) < 93) times.append(tick);
    }
    const zoomed = from !== begin || to !== end;
    whole.disabled = !zoomed;
    brush.hidden = !zoomed;
    brush.style.left = `${(from - begin) / (end - begin) * 100}%`;
    brush.style.width = `${(to - from) / (end - begin) * 100}%`;
  }

  /** @param {CSSStyleDeclaration} style @param {string} name */
  function resolve(style, name) {
    // A custom property holds light-dark(…) as it was written; as a colour of an element it is computed.
    brush.style.color = `var(${name})`;
    const colour = getComputedStyle(brush).color;
    brush.style.color = "";
    return colour || style.color;
  }

  /** @param {number} nextFrom @param {number} nextTo */
  function zoom(nextFrom, nextTo) {
    const least = Math.max((end - begin) / 1e5, 1e-4);
    let size = Math.min(end - begin, Math.max(least, nextTo - nextFrom));
    if (size > (end - begin) * 0.999) size = end - begin;
    from = size === end - begin ? begin : Math.max(begin, Math.min(end - size, nextFrom));
    to = size === end - begin ? end : from + size;
    list.redraw();
    drawRuler();
  }

  /** @param {number} factor */
  function scale(factor) {
    const span = trace.spans[list.rows[list.chosen] ?? -1];
    const middle = span ? Math.min(to, Math.max(from, span.start + span.duration / 2)) : (from + to) / 2;
    zoom(middle - (middle - from) * factor, middle + (to - middle) * factor);
  }

  /** @param {number} part */
  function pan(part) {
    zoom(from + (to - from) * part, to + (to - from) * part);
  }

  function zoomToChosen() {
    const span = trace.spans[list.rows[list.chosen] ?? -1];
    if (span) zoom(span.start - span.duration * 0.05, span.start + span.duration * 1.05);
  }

  /** Dragging over the ruler chooses the time that is shown. */
  function brushing() {
    let start = -1;
    /** @param {PointerEvent} event */
    const at = (event) => {
      const box = times.getBoundingClientRect();
      const part = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
      // Over the small picture it is the whole trace's time, over the figures that of the stretch in view.
      return event.clientY - box.top < 22 ? begin + part * (end - begin) : from + part * (to - from);
    };
    times.addEventListener("pointerdown", (event) => {
      start = at(event);
      times.setPointerCapture(event.pointerId);
    });
    times.addEventListener("pointerup", (event) => {
      if (start < 0) return;
      const stop = at(event);
      if (Math.abs(stop - start) > (to - from) / 200) zoom(Math.min(start, stop), Math.max(start, stop));
      start = -1;
    });
    times.addEventListener("dblclick", () => zoom(begin, end));
  }

  function turnPath() {
    showCritical = !showCritical;
    path.setAttribute("aria-pressed", String(showCritical));
    list.redraw();
  }

  /** @param {number} by */
  function step(by) {
    list.element.focus({ preventScroll: true });
    list.choose(Math.min(list.rows.length - 1, Math.max(0, list.chosen + by)));
  }

  /** @param {number} place @param {boolean} [quiet] */
  function choose(place, quiet = false) {
    if (place < 0) return;
    // What is folded away is unfolded first.
    let changed = false;
    for (let i = 0; i < place; i++) {
      if (ends[i] > place && folded.delete(trace.spans[i].id)) changed = true;
    }
    if (changed) layOut();
    list.choose(list.rows.indexOf(place), quiet);
    if (quiet) chosen(trace.spans[place], false);
  }

  /** @param {1 | -1} by */
  function toError(by) {
    const n = trace.spans.length;
    const now = list.rows[list.chosen] ?? (by > 0 ? -1 : n);
    for (let i = 1; i <= n; i++) {
      const place = (now + by * i + 2 * n) % n;
      if (trace.spans[place].status === "error") return choose(place);
    }
  }

  /** @param {Event} event */
  function foldByClick(event) {
    const button = /** @type {HTMLElement} */ (event.currentTarget);
    turnFold(Number(button.dataset.place));
  }

  /** @param {number} place */
  function turnFold(place) {
    const { id } = trace.spans[place];
    if (!folded.delete(id)) folded.add(id);
    layOut();
  }

  function foldAll() {
    trace.spans.forEach((span, i) => {
      if (span.depth > 0 && ends[i] > i + 1) folded.add(span.id);
    });
    layOut();
  }

  function unfoldAll() {
    folded.clear();
    layOut();
  }

  /** @param {KeyboardEvent} event */
  function foldByKey(event) {
    const place = list.rows[list.chosen];
    if (place === undefined || event.target !== list.element) return;
    const { id, depth } = trace.spans[place];
    const parent = ends[place] > place + 1;
    if (event.key === "ArrowRight") {
      if (folded.has(id)) turnFold(place);
      else if (parent) choose(place + 1);
    } else if (event.key === "ArrowLeft") {
      if (parent && !folded.has(id)) turnFold(place);
      else choose(trace.spans.findLastIndex((span, i) => i < place && span.depth < depth));
    } else if (event.key === " ") {
      if (parent) turnFold(place);
    } else return;
    event.preventDefault();
  }

  return { element, show, choose: (/** @type {number} */ place) => choose(place) };
}
