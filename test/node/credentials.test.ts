/** Which parts of an address identify the file, and which only authorize the download. */

import { expect, test } from "vitest";
// not part of the API: the name of a file in the cache and in messages
import { withoutCredentials } from "../../workers/loading/sources/credentials.js";

test.each([
  ["https://x/m/", "https://x/m/"],
  ["https://x/m/#part", "https://x/m/"],
  ["https://x/m?v=2#part", "https://x/m?v=2"],
  ["https://x/m?token=a", "https://x/m"],
  ["https://x/m?v=2&access_token=a&w=%20", "https://x/m?v=2&w=%20"],
  ["https://x/m?tokenizer=a&sigma=1&author=b&keys=c", "https://x/m?tokenizer=a&sigma=1&author=b&keys=c"],
  // S3, Google, CloudFront, older S3
  [
    "https://x/m?X-Amz-Algorithm=A&X-Amz-Credential=B&X-Amz-Date=C&X-Amz-Expires=1&X-Amz-Signature=D&versionId=7",
    "https://x/m?versionId=7",
  ],
  ["https://x/m?X-Goog-Signature=a&X-Goog-Date=b&generation=3", "https://x/m?generation=3"],
  ["https://x/m?Expires=1&Signature=a&Key-Pair-Id=b&Policy=c", "https://x/m"],
  ["https://x/m?AWSAccessKeyId=a&Signature=b&Expires=1", "https://x/m"],
  // Azure's short names are removed only beside its signature
  ["https://x/m?sv=2024&st=a&se=b&sr=c&sp=r&sig=d&snapshot=e", "https://x/m?snapshot=e"],
  ["https://x/m?sv=2024&sr=c", "https://x/m?sv=2024&sr=c"],
  // a name in another spelling, and a malformed one
  ["https://x/m?%74oken=a&%=b", "https://x/m?%=b"],
])("%s", (address, expected) => {
  expect(withoutCredentials(address)).toBe(expected);
});
