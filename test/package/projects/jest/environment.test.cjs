const { readFileSync } = require("node:fs");
const { Clip, captionTable, isClipError } = require("clipwright");

let clip;
beforeAll(async () => {
  clip = await Clip.load("./model");
});

test("takes the bytes, files and signals of the test's environment, and gives its arrays", async () => {
  const { data } = await clip.encodeImage("./photo.jpg");
  expect(data).toBeInstanceOf(Float32Array);
  const bytes = readFileSync("./photo.jpg");
  const forms = [
    bytes,
    new Uint8Array(bytes),
    new Uint8Array(bytes).buffer,
    new Blob([bytes]),
    new File([bytes], "a.jpg"),
  ];
  for (const photo of forms) expect((await clip.encodeImage(photo)).data).toEqual(data);
  const files = ["config.json", "model.safetensors"].map((name) => new File([readFileSync(`./model/${name}`)], name));
  const phases = [];
  const onProgress = ({ phase }) => phases.push(phase);
  const other = await Clip.load(files, { towers: "image", onProgress, signal: new AbortController().signal });
  expect((await other.encodeImage(bytes)).data).toEqual(data);
  expect(phases).toContain("load");
  for await (const { text, image } of captionTable(new Blob(["file_name,text\nphoto.jpg,a cat\n"]))) {
    expect([text, image]).toEqual(["a cat", "photo.jpg"]);
  }
});

test("a path is a path, and errors are the test's own", async () => {
  const error = await clip.encodeImage("./no-photo.jpg").catch((error) => error);
  expect(error).toBeInstanceOf(Error);
  expect(isClipError(error)).toBe(true);
  expect(error).toMatchObject({ code: "source-unreadable", message: expect.stringContaining("./no-photo.jpg") });
});
