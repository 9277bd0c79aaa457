import js from "@eslint/js";
import globals from "globals";

const WORKLET = "js/lib/microphone-worklet.js";
const WORKLET_GLOBALS = {
  AudioWorkletProcessor: "readonly",
  registerProcessor: "readonly",
  sampleRate: "readonly",
};

export default [
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  {
    rules: {
      "arrow-body-style": "error",
      curly: ["error", "multi-line"],
      eqeqeq: "error",
      "no-shadow": "error",
      "no-var": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  { files: ["js/**"], ignores: [WORKLET], languageOptions: { globals: globals.browser } },
  { files: ["js/initial-theme.js"], languageOptions: { sourceType: "script" } },
  { files: [WORKLET], languageOptions: { globals: WORKLET_GLOBALS } },
  { files: ["tests/**"], languageOptions: { globals: globals.node } },
];
