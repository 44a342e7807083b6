/** Tables whose file names look like addresses, or like parts of them. */

import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ClipTrainer, captionTable, imageFolder, type PairSource } from "clipwright";
import { expect, test } from "vitest";
// not part of the API: Windows' paths cannot be opened here
import { pathOf } from "../../ts/inputs/location.js";
import { fixture, tinyConfig } from "../support";

const names = ["a#1.png", "50%25off.png", "what?.png", "photo-12:30.png", "sub dir/ü.png"];
const table = fixture("captions/names.csv");
const picture = fixture("cases/caption-tables/p0.png");

/** Whether the image of each of `count` pairs exists and can be decoded. */
async function trainOn(count: number, pairs: PairSource): Promise<void> {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  const { value } = await trainer.fit(pairs, { epochs: 1, batchSize: count }).next();
  expect(value?.batchSize).toBe(count);
  trainer.dispose();
}
const train = (pairs: PairSource) => trainOn(names.length, pairs);

async function imagesOf(...given: Parameters<typeof captionTable>): Promise<(string | undefined)[]> {
  const out = [];
  for await (const { image, error } of captionTable(...given)) out.push(error ? undefined : String(image));
  return out;
}

async function onDisk(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "clipwright-names-"));
  await mkdir(join(folder, "sub dir"));
  for (const name of names) await writeFile(join(folder, name), await picture);
  await writeFile(join(folder, "metadata.csv"), await table);
  return folder;
}

test("on disk names are files beside the table, in a picked folder, or in the working directory", async () => {
  const folder = await onDisk();
  const path = join(folder, "metadata.csv");
  expect(await imagesOf(path)).toEqual(names.map((name) => join(folder, name)));
  await train(() => captionTable(path));
  await train(() => captionTable(path, { images: folder }));
  await train(() => imageFolder(folder));
  expect(await imagesOf(await table)).toEqual(names);
});

test("absolute addresses and paths stay unchanged", async () => {
  const whole = [
    "https://a.example/x%20y.png?z#1",
    "data:image/png;base64,AA==",
    "/pictures/a:b.png",
    "C:\\a.png",
    "s3://a/b.png",
  ];
  const rows = new Blob([`url\ttext\n${whole.map((name) => `${name}\tx`).join("\n")}`]);
  expect(await imagesOf(rows)).toEqual(whole);
  const here = await mkdtemp(join(tmpdir(), "clipwright-names-"));
  await writeFile(join(here, "t.tsv"), new Uint8Array(await rows.arrayBuffer()));
  expect(await imagesOf(join(here, "t.tsv"))).toEqual(whole);
});

test("at an address names are files beside the table; its query is sent to the same server only", async () => {
  const files = new Map<string, Uint8Array>(names.map((name) => [`/pictures/${name}`, new Uint8Array()]));
  const [rows, bytes] = [await table, await picture];
  const server = createServer(({ url = "" }, response) => {
    const { pathname, searchParams } = new URL(url, "http://localhost");
    const path = decodeURIComponent(pathname);
    if (searchParams.get("token") !== "a&b") response.writeHead(403).end();
    else if (path === "/pictures/t.csv") response.end(rows);
    else if (path === "/pictures/others.csv") response.end(`url,text\n${others.join(",x\n")},x\n`);
    else if (files.has(path)) response.end(bytes);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const others = [
    "https://a.example/x.png?y=1",
    "//a.example/x.png",
    `${base}/y.png`,
    "../z.png",
    "file:///etc/passwd",
    "s3://a/b.png",
  ];
  try {
    const encoded = names.map((name) => name.split("/").map(encodeURIComponent).join("/"));
    const source = `${base}/pictures/t.csv?token=a%26b`;
    expect(await imagesOf(source)).toEqual(encoded.map((name) => `${base}/pictures/${name}?token=a%26b`));
    expect(await imagesOf(await fetch(source))).toEqual(encoded.map((name) => `${base}/pictures/${name}?token=a%26b`));
    await train(() => captionTable(source));
    expect(await imagesOf(`${base}/pictures/others.csv?token=a%26b`)).toEqual([
      "https://a.example/x.png?y=1",
      "http://a.example/x.png",
      `${base}/y.png`,
      `${base}/z.png?token=a%26b`,
      undefined,
      undefined,
    ]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("in the working directory files may be named like addresses, and a table may have # in its name", async () => {
  const folder = await mkdtemp(join(tmpdir(), "clipwright-names-"));
  const odd = ["data:1,2.png", "blob:null-3.png", "file:4.png", "a\\b.png", "data:5.png"];
  for (const name of odd) await writeFile(join(folder, name), await picture);
  await writeFile(join(folder, "metadata.csv"), `file_name,text\n${odd.map((name) => `"${name}",x`).join("\n")}\n`);
  await writeFile(join(folder, "t#1?.jsonl"), JSON.stringify({ file_name: "a\\b.png", text: "x" }));
  const home = process.cwd();
  process.chdir(folder);
  try {
    for (const place of [".", "./"]) await trainOn(odd.length, () => imageFolder(place));
    await trainOn(odd.length, () => captionTable("metadata.csv", { images: "." }));
    expect(await imagesOf("t#1?.jsonl")).toEqual(["a\\b.png"]);
    expect(await imagesOf(pathToFileURL("t#1?.jsonl"))).toEqual([join(process.cwd(), "a\\b.png")]);
  } finally {
    process.chdir(home);
  }
});

test.each([
  ["file:///C:/a%20b/%23.png", "C:/a b/#.png"],
  ["file://server/share/a%3F.png", "//server/share/a?.png"],
  ["file:///tmp/100%/%41.png", "/tmp/100%/A.png"],
  ["file:///tmp/%ff/%C3%BC.png", "/tmp/%ff/ü.png"],
])("the path of %s is %s", (address, path) => {
  expect(pathOf(new URL(address))).toBe(path);
});
