import js from "@eslint/js";
import globals from "globals";

// The types are tsc's business; these rules find what types do not.
const rules = {
  ...js.configs.recommended.rules,
  "array-callback-return": "error",
  "consistent-return": "off",
  "curly": ["error", "multi-line"],
  "eqeqeq": "error",
  "no-constructor-return": "error",
  "no-else-return": "off",
  "no-eval": "error",
  "no-implicit-globals": "error",
  "no-new-func": "error",
  "no-promise-executor-return": "off",
  "no-restricted-properties": ["error",
    { property: "innerHTML", message: "The page parses no HTML." },
    { property: "outerHTML", message: "The page parses no HTML." },
    { property: "insertAdjacentHTML", message: "The page parses no HTML." }],
  "no-restricted-syntax": ["error", { selector: "CallExpression[callee.property.name='write'][callee.object.name='document']", message: "The page parses no HTML." }],
  "no-self-compare": "error",
  "no-shadow": ["error", { builtinGlobals: false }],
  "no-template-curly-in-string": "error",
  "no-unmodified-loop-condition": "error",
  "no-unreachable-loop": "error",
  "no-useless-concat": "error",
  "no-useless-rename": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
  "prefer-template": "error",
  "quotes": ["error", "double", { avoidEscape: true }],
  "radix": "error",
  "require-atomic-updates": "off",
};

export default [
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  // Tests run in Node.js, and what they evaluate runs in the page.
  { files: ["**/*.js"], ignores: ["**/static/**"], languageOptions: { globals: { ...globals.node, ...globals.browser } }, rules },
  { files: ["**/static/**/*.js"], languageOptions: { globals: globals.browser }, rules },
  // Loaded as a script, before the first paint.
  { files: ["**/static/shell/theme.js"], languageOptions: { sourceType: "script" } },
];
