import { readFileSync } from "node:fs";
import { Clip, captionTable } from "clipwright";
import { expect, test } from "vitest";

test("takes the bytes and files of the test's environment, and gives its arrays", async () => {
  const clip = await Clip.load("./model");
  const { data } = await clip.encodeImage("./photo.jpg");
  expect(data).toBeInstanceOf(Float32Array);
  const bytes = readFileSync("./photo.jpg");
  for (const photo of [bytes, new Uint8Array(bytes), new Blob([bytes]), new File([bytes], "a.jpg")]) {
    expect((await clip.encodeImage(photo)).data).toEqual(data);
  }
  for await (const { text, image } of captionTable(new Blob(["file_name,text\nphoto.jpg,a cat\n"]))) {
    expect([text, image]).toEqual(["a cat", "photo.jpg"]);
  }
});
