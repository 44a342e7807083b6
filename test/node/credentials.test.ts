/** Which parts of an address identify the file, and which only authorize the download. */

import { expect, test } from "vitest";
// not part of the API: the name of a file in the cache and in messages
import { withoutCredentials } from "../../workers/loading/sources/credentials.js";

test.each([
  ["https://x/m/", "https://x/m/"],
  ["https://x/m/#part", "https://x/m/"],
  ["https://x/m?v=2#part", "https://x/m?v=2"],
  ["https://x/m?token=a", "https://x/m"],
  ["https://me:secret@x/m/", "https://x/m/"],
  ["https://x/m?v=2&access_token=a&ref=%20", "https://x/m?v=2&ref=%20"],
  // S3, Google, CloudFront, older S3
  [
    "https://x/m?X-Amz-Algorithm=A&X-Amz-Credential=B&X-Amz-Date=C&X-Amz-Expires=1&X-Amz-Signature=D&versionId=7",
    "https://x/m?versionId=7",
  ],
  ["https://x/m?X-Goog-Signature=a&X-Goog-Date=b&generation=3", "https://x/m?generation=3"],
  ["https://x/m?Expires=1&Signature=a&Key-Pair-Id=b&Policy=c", "https://x/m"],
  ["https://x/m?q-sign-algorithm=sha1&q-ak=a&q-sign-time=1;2&q-signature=b&versionId=4", "https://x/m?versionId=4"],
  // nginx's secure_link and Cloudflare's
  ["https://x/m?expires=1&verify=a-b&v=3", "https://x/m?v=3"],
  ["https://x/m?AWSAccessKeyId=a&Signature=b&Expires=1", "https://x/m"],
  // Azure's short names are removed only beside its signature
  ["https://x/m?sv=2024&st=a&se=b&sr=c&sp=r&sig=d&snapshot=e", "https://x/m?snapshot=e"],
  // a name in another spelling, and a malformed one
  ["https://x/m?%74oken=a&%72ef=b", "https://x/m?%72ef=b"],
])("%s", (address, expected) => {
  expect(withoutCredentials(address)).toBe(expected);
  expect(withoutCredentials(expected)).toBe(expected);
});

test("values of unknown parameters tell files apart, and are not written", () => {
  const names = ["k=a", "k=b", "k=", "a", "b", "tokenizer=a", "sigma=1", "author=b", "keys=c", "sv=2024&sr=c", "%=b"];
  const stripped = names.map((name) => withoutCredentials(`https://x/m?${name}`));
  expect(new Set(stripped).size).toBe(names.length);
  for (const [i, name] of stripped.entries()) {
    expect(name).toMatch(/^https:\/\/x\/m\?([\w%]+=)?~[\da-f]{14}(&sr=~[\da-f]{14})?$/);
    expect(withoutCredentials(name)).toBe(name);
    expect(withoutCredentials(`https://x/m?${names[i]}&token=t#f`)).toBe(name);
  }
});
