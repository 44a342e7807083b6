/** Which icons the icon model is trained on: licences, captions, splits. */

import { describe, expect, test } from "vitest";
import { isHeldOutName, isHeldOutSet, isPermissive, pairsOf } from "../../examples/icons/select.mjs";

const icon = { body: '<path d="M0 0h1v1z"/>' };

/** The first of some texts that a rule holds out, or does not. */
const first = (rule: (text: string) => boolean, is: boolean) =>
  Array.from({ length: 1000 }, (_, index) => `name ${index}`).find((text) => rule(text) === is) as string;

const byAuthor = (rule: boolean) => ({
  author: { name: first((name) => isHeldOutSet({ author: { name } }), rule) },
});

/** A set with icons of these names, which is trained on. */
const set = (names: string[], more: object = {}) => ({
  prefix: "shapes",
  info: byAuthor(false),
  icons: Object.fromEntries(names.map((name) => [name, icon])),
  ...more,
});

const captions = (names: string[], more?: object) =>
  Object.fromEntries([...pairsOf(set(names, more))].map(({ name, captions }) => [name, captions]));

const heldOut = first(isHeldOutName, true);
const trained = first(isHeldOutName, false);
const asName = (words: string) => words.replaceAll(" ", "-");

test.each([
  ["MIT", true],
  ["CC0-1.0", true],
  ["CC-BY-4.0", true],
  ["CC-BY-SA-4.0", false],
  ["CC-BY-NC-4.0", false],
  ["OFL-1.1", false],
  ["GPL-3.0-or-later", false],
  [undefined, false],
])("a set under %s may be used: %s", (spdx, may) => {
  expect(isPermissive({ license: { spdx } })).toBe(may);
  expect(isPermissive({})).toBe(false);
});

describe("captions", () => {
  test("are the name, with the style in words and without the size", () => {
    const suffixes = { "": "Regular", "24-filled": "24 Filled", "16-filled": "16 Filled", outline: "Outline" };
    expect(captions(["alarm-clock", "home-16-filled", "home-24-filled", "home-outline"], { suffixes })).toEqual({
      "alarm-clock": ["alarm clock"],
      "home-16-filled": ["home filled"],
      "home-outline": ["home outline"],
    });
    expect(captions(["sharp-key"], { prefixes: { sharp: "Sharp" } })).toEqual({ "sharp-key": ["key sharp"] });
    expect(captions(["sun"], { prefix: "shapes-color" })).toEqual({ sun: ["sun color"] });
  });

  test("are aliases, too, but not those that turn or mirror the icon", () => {
    const aliases = {
      trolley: { parent: "cart" },
      barrow: { parent: "trolley" },
      "cart-back": { parent: "cart", hFlip: true },
      back: { parent: "cart-back" },
      lost: { parent: "nothing" },
    };
    expect(captions(["cart"], { aliases })).toEqual({ cart: ["cart", "trolley", "barrow"] });
  });

  test("are the name with its categories", () => {
    const categories = { "Food / Drink": ["tea"], ArtificialIntelligence: ["tea"] };
    expect(captions(["tea"], { categories })).toEqual({ tea: ["tea", "tea, food drink, artificial intelligence"] });
  });
});

describe("splits", () => {
  test("a held-out name is in no training caption, in whichever style and set, nor as an alias", () => {
    const names = [trained, heldOut].map(asName);
    const more = { suffixes: { fill: "Fill" }, aliases: { [`${names[1]}-fill`]: { parent: names[0] } } };
    const pairs = [...pairsOf(set([...names, `${names[1]}-fill`], more))];
    expect(pairs.map(({ split }) => split)).toEqual(["train", "heldout-names", "heldout-names"]);
    expect(pairs[0]?.captions).toEqual([trained]);
  });

  test("all sets of an author are held out, or none", () => {
    const pairs = [...pairsOf(set([trained, heldOut].map(asName), { info: byAuthor(true) }))];
    const splits = pairs.map(({ split }) => split);
    expect(splits).toEqual(["heldout-sets", "heldout-sets"]);
  });

  test("held-out icons are asked for by their names alone", () => {
    const pairs = [...pairsOf(set([asName(heldOut)], { categories: { Food: [asName(heldOut)] } }))];
    expect(pairs[0]?.captions).toEqual([heldOut]);
  });
});
