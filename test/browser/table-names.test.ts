/** Tables on a page whose file names look like parts of addresses. */

import { captionTable } from "clipwright";
import { expect, test } from "vitest";
import { fixture } from "../support";

async function imagesOf(table: Parameters<typeof captionTable>[0]): Promise<string[]> {
  const out = [];
  for await (const { image } of captionTable(table)) out.push(String(image));
  return out;
}

test("names are files beside the table, or beside the page where the table has no address", async () => {
  const place = "/test/fixtures/captions/";
  const names = ["a%231.png", "50%2525off.png", "what%3F.png", "photo-12%3A30.png", "sub%20dir/%C3%BC.png"];
  const at = (base: string, query = "") => names.map((name) => `${new URL(name, base)}${query}`);
  const base = `${location.origin}${place}`;
  expect(await imagesOf(`${place}names.csv`)).toEqual(at(base));
  expect(await imagesOf(`${place}names.csv?token=a%26b`)).toEqual(at(base, "?token=a%26b"));
  expect(await imagesOf(await fetch(`${place}names.csv`))).toEqual(at(base));
  expect(await imagesOf(await fixture("captions/names.csv"))).toEqual(at(document.baseURI));
});
