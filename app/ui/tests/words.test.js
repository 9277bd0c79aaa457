import assert from "node:assert/strict";
import { test } from "node:test";

import { spacesAfter } from "../js/lib/words.js";

test("spacesAfter follows the text of each script", () => {
  assert.deepEqual(spacesAfter("Hello there, you.", ["Hello", "there,", "you."]), [true, true, false]);
  assert.deepEqual(spacesAfter("今天我很高兴。", ["今", "天", "我", "很高", "兴。"]), [
    false,
    false,
    false,
    false,
    false,
  ]);
  assert.deepEqual(spacesAfter("สวัสดี ครับ", ["สวัส", "ดี", "ครับ"]), [false, true, false]);
  assert.deepEqual(spacesAfter("مرحبا يا صديقي", ["مرحبا", "يا", "صديقي"]), [true, true, false]);
  assert.deepEqual(spacesAfter("", []), []);
});

test("spacesAfter puts spaces between words that are not those of the text", () => {
  assert.deepEqual(spacesAfter("one two", ["ein", "zwei"]), [true, true]);
});
