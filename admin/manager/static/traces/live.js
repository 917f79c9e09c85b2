import { get } from "../server/client.js";

/**
 * @typedef {import("../server/model.js").Summary} Summary
 * @typedef {import("../server/model.js").State} State
 * @typedef {import("../server/model.js").List} List
 */

/** How many traces the page keeps; older ones leave it. */
export const most = 10_000;

/**
 * The newest traces that match a filter, kept up to date by the stream. It tells of changes once a frame at most.
 */
export class LiveTraces {
  /** @type {Summary[]} newest first */
  rows = [];
  /** @type {"connecting" | "live" | "lost"} */
  connection = "connecting";
  /** @type {State | null} */
  state = null;
  /** Traces that came while it was paused. */
  waiting = 0;
  /** The search ended before it had looked at everything. */
  partial = false;

  #filter = "";
  #next = "";
  #paused = false;
  #framed = false;
  #loading = false;
  #floor = 0;
  /** @type {Map<string, Summary>} */ #known = new Map();
  /** @type {Map<string, Summary>} what came since the last frame, or while paused, in the order of arrival */ #fresh = new Map();
  /** @type {EventSource | null} */ #stream = null;
  /** @type {AbortController} */ #loads = new AbortController();

  /**
   * @param {(added: number) => void} changed gets how many rows came in front
   * @param {AbortSignal} signal
   */
  constructor(changed, signal) {
    this.changed = changed;
    this.signal = signal;
    signal.addEventListener("abort", () => this.#close());
  }

  get paused() { return this.#paused; }
  get filter() { return this.#filter; }

  /**
   * Starts anew with a filter. Fails where the filter cannot be read.
   *
   * @param {string} filter
   */
  async load(filter) {
    this.#close();
    const { signal } = this.#loads = new AbortController();
    const list = /** @type {List} */ (await get(`/api/traces?limit=200&filter=${encodeURIComponent(filter)}`, signal));
    if (signal.aborted || this.signal.aborted) return;
    this.#filter = filter;
    this.#floor = 0;
    this.#next = list.next;
    this.partial = list.partial;
    this.waiting = 0;
    this.#fresh.clear();
    this.rows = list.traces;
    this.#known = new Map(this.rows.map((row) => [row.id, row]));
    this.#listen(list.resume);
    this.changed(0);
  }

  /** Loads what is older than the last row. */
  async more() {
    if (this.#loading || !this.#next || this.rows.length >= most) return;
    this.#loading = true;
    const { signal } = this.#loads;
    try {
      const query = `limit=500&filter=${encodeURIComponent(this.#filter)}&before=${encodeURIComponent(this.#next)}`;
      const list = /** @type {List} */ (await get(`/api/traces?${query}`, signal));
      if (signal.aborted) return;
      const older = list.traces.filter((row) => !this.#known.has(row.id));
      for (const row of older) this.#known.set(row.id, row);
      this.rows = this.rows.concat(older).slice(0, most);
      this.#next = list.next;
      this.partial = list.partial;
      this.changed(0);
    } finally {
      this.#loading = false;
    }
  }

  pause() {
    this.#paused = true;
  }

  /** Goes on, with what came in the meantime. */
  resume() {
    this.#paused = false;
    this.waiting = 0;
    this.#take();
  }

  /** Empties the list; the store keeps what it has. */
  clear() {
    this.#floor = Math.max(this.#floor, ...this.rows.map((row) => row.number));
    this.rows = [];
    this.#known.clear();
    this.#fresh.clear();
    this.#next = "";
    this.waiting = 0;
    this.changed(0);
  }

  /** @param {string} after */
  #listen(after) {
    const query = new URLSearchParams({ filter: this.#filter, after });
    const stream = this.#stream = new EventSource(`/api/traces/stream?${query}`);
    stream.addEventListener("open", () => this.#connected("live"));
    stream.addEventListener("error", () => {
      this.#connected("lost");
      // A refusal ends it for good; the next attempt shows why.
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => this.#again(stream), 3000);
    });
    stream.addEventListener("trace", (event) => this.#came(JSON.parse(event.data)));
    stream.addEventListener("state", (event) => {
      this.state = JSON.parse(event.data);
      this.changed(0);
    });
    stream.addEventListener("reset", () => void this.load(this.#filter).catch(() => this.#connected("lost")));
  }

  /** @param {EventSource} stream */
  #again(stream) {
    if (this.#stream !== stream) return;
    this.load(this.#filter).catch(() => setTimeout(() => this.#again(stream), 3000));
  }

  /** @param {LiveTraces["connection"]} connection */
  #connected(connection) {
    if (this.connection === connection) return;
    this.connection = connection;
    this.changed(0);
  }

  /** @param {Summary} trace */
  #came(trace) {
    if (trace.number <= this.#floor) return;
    if (!this.#known.has(trace.id) && !this.#fresh.has(trace.id)) this.waiting += this.#paused ? 1 : 0;
    this.#fresh.set(trace.id, trace);
    // What is not seen need not be kept beyond what the list takes.
    if (this.#fresh.size > most) this.#fresh.delete(/** @type {string} */ (this.#fresh.keys().next().value));
    if (this.#framed) return;
    this.#framed = true;
    // A tab in the background gets no frames.
    const next = document.hidden ? (/** @type {() => void} */ f) => setTimeout(f, 500) : requestAnimationFrame;
    next(() => {
      this.#framed = false;
      if (this.#paused) this.changed(0);
      else this.#take();
    });
  }

  #take() {
    if (this.signal.aborted) return;
    /** @type {Summary[]} */
    const added = [];
    let replaced = false;
    for (const [id, trace] of this.#fresh) {
      if (this.#known.has(id)) replaced = true;
      else added.push(trace);
      this.#known.set(id, trace);
    }
    this.#fresh.clear();
    let rows = replaced ? this.rows.map((row) => this.#known.get(row.id) ?? row) : this.rows;
    if (added.length > 0) {
      added.reverse();
      rows = added.concat(rows);
      for (const gone of rows.splice(most)) this.#known.delete(gone.id);
    }
    this.rows = rows;
    this.changed(added.length);
  }

  #close() {
    this.#loads.abort();
    this.#stream?.close();
    this.#stream = null;
  }
}
