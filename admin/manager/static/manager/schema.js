/**
 * Kong's schemas as /schemas/… gives them: a list of objects with one key each, the field's name.
 *
 * @typedef {object} Field
 * @property {string} type string, integer, number, boolean, array, set, map, record, foreign, any, function
 * @property {boolean} [required]
 * @property {unknown} [default]
 * @property {string} [description]
 * @property {unknown[]} [one_of]
 * @property {[number, number]} [between]
 * @property {number} [gt]
 * @property {Field} [elements]
 * @property {Field} [keys]
 * @property {Field} [values]
 * @property {Record<string, Field>[]} [fields]
 * @property {Record<string, Field>[]} [shorthand_fields]
 * @property {string} [reference]
 * @property {boolean} [encrypted]
 * @property {boolean} [referenceable]
 * @property {boolean} [auto]
 * @property {unknown} [eq]
 * @property {unknown} [deprecation]
 *
 * @typedef {{ fields: Record<string, Field>[], name?: string }} Schema
 */

/**
 * @param {Record<string, Field>[]} [fields]
 * @returns {[string, Field][]}
 */
export function fieldsOf(fields = []) {
  return fields.map((one) => Object.entries(one)[0]).filter(Boolean);
}

/**
 * @param {Schema} schema
 * @param {string} name
 */
export function fieldOf(schema, name) {
  return fieldsOf(schema.fields).find(([n]) => n === name)?.[1];
}

/**
 * The value that a field has when nothing is given; records are made of their fields' values.
 *
 * @param {Field} field
 * @returns {unknown}
 */
export function defaultOf(field) {
  if (field.type === "record") {
    const given = /** @type {Record<string, unknown>} */ (field.default ?? {});
    return Object.fromEntries(fieldsOf(field.fields).map(([name, sub]) => [name, name in given ? given[name] : defaultOf(sub)]));
  }
  return field.default ?? null;
}

/** @param {unknown} a @param {unknown} b */
export function same(a, b) {
  return canonical(a) === canonical(b);
}

/** @param {unknown} value @returns {string} */
function canonical(value) {
  return JSON.stringify(value, (_, v) => (v && typeof v === "object" && !Array.isArray(v)
    ? Object.fromEntries(Object.entries(v).filter(([, x]) => x !== null).sort(([x], [y]) => (x < y ? -1 : 1))) : v)) ?? "null";
}

/**
 * What of a value has to be written: what is not the default. undefined: nothing.
 *
 * @param {Field} field
 * @param {unknown} value
 * @param {unknown} [basis] the default in this place
 * @returns {unknown}
 */
export function essential(field, value, basis = defaultOf(field)) {
  if (value === null || value === undefined) return undefined;
  if (field.type === "record") {
    const defaults = /** @type {Record<string, unknown>} */ (basis ?? {});
    const given = /** @type {Record<string, unknown>} */ (value);
    const entries = fieldsOf(field.fields)
      .map(([name, sub]) => [name, essential(sub, given[name], name in defaults ? defaults[name] : defaultOf(sub))])
      .filter(([, v]) => v !== undefined);
    return entries.length > 0 ? Object.fromEntries(entries) : undefined;
  }
  return same(value, basis) ? undefined : value;
}
