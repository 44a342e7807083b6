/** Tables whose file names look like addresses, or like parts of them. */

import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClipTrainer, captionTable, imageFolder, type PairSource } from "clipwright";
import { expect, test } from "vitest";
import { fixture, tinyConfig } from "../support";

const names = ["a#1.png", "50%25off.png", "what?.png", "photo-12:30.png", "sub dir/ü.png"];
const table = fixture("captions/names.csv");
const picture = fixture("cases/caption-tables/p0.png");

/** Whether the image of each pair exists and can be decoded. */
async function train(pairs: PairSource): Promise<void> {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  const { value } = await trainer.fit(pairs, { epochs: 1, batchSize: names.length }).next();
  expect(value?.batchSize).toBe(names.length);
  trainer.dispose();
}

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
