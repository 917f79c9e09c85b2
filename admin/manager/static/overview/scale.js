/**
 * The end of an axis: the next of 1, 2, 2.5, 5, 10 times a power of ten.
 *
 * @param {number} value
 */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((step) => step * power >= value * (1 - 1e-9)) ?? 10) * power;
}

/**
 * The commands of a line through points.
 *
 * @param {number[]} values
 * @param {(index: number) => number} x
 * @param {(value: number) => number} y
 * @param {boolean} gaps whether 0 is no value
 */
export function line(values, x, y, gaps) {
  let path = "";
  let down = false;
  values.forEach((value, i) => {
    if (gaps && value === 0) {
      down = false;
      return;
    }
    path += `${down ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    // A point without neighbours is seen, too.
    if (!down && (i === values.length - 1 || (gaps && values[i + 1] === 0))) path += "h0.01";
    down = true;
  });
  return path;
}

/**
 * Columns of nodes from left to right: each one behind all that call it, as far as no circle prevents that.
 *
 * @param {string[]} ids
 * @param {{ from: string, to: string }[]} edges
 * @returns {string[][]}
 */
export function columns(ids, edges) {
  const column = new Map(ids.map((id) => [id, 0]));
  // With a circle it would go on for ever; as many rounds as nodes are enough without one.
  for (let round = 0; round < Math.min(ids.length, 12); round++) {
    let moved = false;
    for (const { from, to } of edges) {
      const wanted = (column.get(from) ?? 0) + 1;
      if (from !== to && wanted > (column.get(to) ?? 0) && wanted < ids.length) {
        column.set(to, wanted);
        moved = true;
      }
    }
    if (!moved) break;
  }
  /** @type {string[][]} */
  const result = [];
  for (const id of ids) (result[column.get(id) ?? 0] ??= []).push(id);
  return result.filter((one) => one !== undefined);
}
