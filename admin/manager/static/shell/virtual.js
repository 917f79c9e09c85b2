import { h } from "./dom.js";

/**
 * A list of any length of which only what is seen exists as elements. All rows are equally high. Arrow keys, Home, End
 * and Page keys move the chosen row, Enter opens it; the elements stay the same while rows scroll through them.
 *
 * @template R
 * @typedef {object} ListOptions
 * @property {string} label for screen readers
 * @property {"grid" | "treegrid"} role
 * @property {number} rowHeight in pixels
 * @property {() => HTMLElement} makeRow a row without content
 * @property {(element: HTMLElement, row: R, index: number) => void} fillRow
 * @property {(row: R) => string} key what a row is recognised by when rows move
 * @property {(row: R, event: Event) => void} [open] by Enter, a double click, or a click where `openOnClick` is set
 * @property {boolean} [openOnClick]
 * @property {(row: R | undefined) => void} [choose]
 * @property {() => void} [scrolled]
 */

/** @template R */
export class VirtualList {
  /** @type {R[]} */ #rows = [];
  /** @type {Map<number, HTMLElement>} */ #shown = new Map();
  /** @type {HTMLElement[]} */ #spare = [];
  #chosen = "";
  #framed = false;
  #prefix = `row${Math.random().toString(36).slice(2, 8)}`;

  /** @param {ListOptions<R>} options @param {AbortSignal} signal */
  constructor(options, signal) {
    this.options = options;
    this.space = h("div", { class: "virtual-space", role: "rowgroup" });
    this.element = h("div", {
      class: "virtual", role: options.role, tabindex: "0", "aria-label": options.label,
      onscroll: () => { this.#draw(); options.scrolled?.(); },
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    }, this.space);
    this.element.addEventListener("click", (event) => this.#click(event, options.openOnClick ?? false));
    this.element.addEventListener("dblclick", (event) => this.#click(event, true));
    const resized = new ResizeObserver(() => this.#draw());
    resized.observe(this.element);
    signal.addEventListener("abort", () => resized.disconnect());
  }

  get rows() { return this.#rows; }

  /** The index of the chosen row, or -1. */
  get chosen() { return this.#chosen ? this.#rows.findIndex((row) => this.options.key(row) === this.#chosen) : -1; }

  /**
   * Shows these rows. Where the list is not at its top, what is seen stays where it is when `added` rows came in front.
   *
   * @param {R[]} rows
   * @param {number} [added]
   */
  set(rows, added = 0) {
    this.#rows = rows;
    this.element.setAttribute("aria-rowcount", String(rows.length));
    this.space.style.height = `${rows.length * this.options.rowHeight}px`;
    if (added > 0 && this.element.scrollTop > 0) this.element.scrollTop += added * this.options.rowHeight;
    this.redraw();
  }

  /** Fills what is seen anew, in the next frame. */
  redraw() {
    if (this.#framed) return;
    this.#framed = true;
    requestAnimationFrame(() => {
      this.#framed = false;
      this.#draw(true);
    });
  }

  /** @param {number} index @param {boolean} [quiet] */
  choose(index, quiet = false) {
    const row = this.#rows[index];
    this.#chosen = row === undefined ? "" : this.options.key(row);
    if (row !== undefined) this.reveal(index);
    this.#draw(true);
    if (!quiet) this.options.choose?.(row);
  }

  /** @param {number} index */
  reveal(index) {
    const top = index * this.options.rowHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.options.rowHeight > scrollTop + clientHeight) {
      this.element.scrollTop = top + this.options.rowHeight - clientHeight;
    }
  }

  /** @param {boolean} [anew] fill rows that are shown already, too */
  #draw(anew = false) {
    const height = this.options.rowHeight;
    const from = Math.max(0, Math.floor(this.element.scrollTop / height) - 4);
    const to = Math.min(this.#rows.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / height) + 4);
    for (const [index, element] of this.#shown) {
      if (index >= from && index < to) continue;
      this.#shown.delete(index);
      this.#spare.push(element);
    }
    for (let index = from; index < to; index++) {
      let element = this.#shown.get(index);
      if (element && !anew) continue;
      if (!element) {
        element = this.#spare.pop() ?? this.options.makeRow();
        element.classList.add("virtual-row");
        element.setAttribute("role", "row");
        element.id = `${this.#prefix}-${index}`;
        element.style.transform = `translateY(${index * height}px)`;
        element.dataset.index = String(index);
        element.setAttribute("aria-rowindex", String(index + 1));
        element.classList.remove("appear");
        this.#shown.set(index, element);
        if (!element.isConnected) this.space.append(element);
      }
      const row = this.#rows[index];
      element.setAttribute("aria-selected", String(this.#chosen !== "" && this.options.key(row) === this.#chosen));
      this.options.fillRow(element, row, index);
    }
    for (const element of this.#spare) element.remove();
    const chosen = this.chosen;
    if (this.#shown.has(chosen)) this.element.setAttribute("aria-activedescendant", `${this.#prefix}-${chosen}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.options.rowHeight) - 1);
    const chosen = this.chosen;
    const steps = /** @type {Record<string, number>} */ ({
      ArrowDown: chosen + 1, ArrowUp: chosen - 1, PageDown: chosen + page, PageUp: chosen - page,
      Home: 0, End: this.#rows.length - 1,
    });
    if (event.key in steps && this.#rows.length > 0) {
      event.preventDefault();
      this.choose(Math.min(this.#rows.length - 1, Math.max(0, steps[event.key])));
    } else if (event.key === "Enter" && chosen >= 0) {
      event.preventDefault();
      this.options.open?.(this.#rows[chosen], event);
    }
  }

  /** @param {MouseEvent} event @param {boolean} open */
  #click(event, open) {
    if (!(event.target instanceof Element) || event.target.closest("button, a, input")) return;
    const element = /** @type {HTMLElement | null} */ (event.target.closest(".virtual-row"));
    if (!element || getSelection()?.toString()) return;
    const index = Number(element.dataset.index);
    this.choose(index);
    if (open) this.options.open?.(this.#rows[index], event);
  }
}
