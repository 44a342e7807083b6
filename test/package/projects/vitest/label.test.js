import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { label } from "./label.js";

test("labels a photo", async () => {
  const text = await label("./model", "./photo.jpg");
  expect(await label("./model", readFileSync("./photo.jpg"))).toBe(text);
  console.log(text);
});
