/** Tables as spreadsheets, pandas and scripts write them. */

import { type CaptionTableOptions, captionTable, type ImageTextPair } from "clipwright";
import { describe, expect, test } from "vitest";
import { fixture, json } from "../support";

/** `picture: caption` of each pair, and the messages of those that are none. */
async function read(table: Parameters<typeof captionTable>[0], options: CaptionTableOptions = {}): Promise<string[]> {
  const out = [];
  const pairs: AsyncIterable<ImageTextPair> = captionTable(table, { images: () => new Uint8Array(), ...options });
  for await (const { key, text, moreTexts = [], error } of pairs) {
    out.push(error ? `${error.code}: ${error.message}` : `${key}: ${[text, ...moreTexts].join(" / ")}`);
  }
  return out;
}

const named = (content: string | Uint8Array<ArrayBuffer>, name: string) => new File([content], name);

describe("tables that were laid here as users had them", async () => {
  const expected: Record<string, string[]> = await json("cases/caption-tables/expected.json");
  const table = async (name: string) => named(await fixture(`cases/caption-tables/${name}`), name);

  test.each(Object.entries(expected).filter(([, captions]) => Array.isArray(captions)))(
    "%s",
    async (name, captions) => {
      expect(await read(await table(name))).toEqual(captions.map((caption, i) => `p${i}.png: ${caption}`));
    },
  );

  test("latin1.csv", async () => {
    expect(await read(await table("latin1.csv"))).toEqual([
      'invalid-dataset: row 2: expected text in UTF-8, got what is probably windows-1252: { encoding: "windows-1252" } decodes it',
    ]);
    expect(await read(await table("latin1.csv"), { encoding: "latin1" })).toEqual(["p0.png: café in München"]);
  });

  test("unquoted-comma.csv", async () => {
    expect(await read(await table("unquoted-comma.csv"))).toEqual([
      'invalid-dataset: row 2: expected 2 fields, as the header has, got 3: "p0.png", "a red apple", " on a table"; a field that holds the separator stands in quotes',
      "p1.png: a pear",
    ]);
  });
});
