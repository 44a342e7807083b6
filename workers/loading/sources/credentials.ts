/** What of an address tells which file it is, and what is only the permission to fetch it. */

/** Names of the parts of a query that are secret, or others tomorrow: those of S3, Google, CloudFront, Alibaba, Akamai. */
const PERMISSION =
  /^(x-(amz|goog|oss)-.+|.*token|.*signature|.*credential|.*accesskeyid|googleaccessid|key-pair-id|policy|expires|sig|auth|authorization|api[-_]?key|password|secret|hdnts|hmac)$/i;
/** Azure's, too short to be told without their `sig`. */
const AZURE = /^(sv|sr|se|st|sp|spr|sip|ss|srt|sdd|sks?|ske|skt|skv|skoid|sktid|saoid|suoid|scid|ses)$/i;

function keyOf(part: string): string {
  const key = part.split("=", 1)[0] ?? "";
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

/**
 * A query without what only permits: the same file has the same name in the cache when its signature is another, and neither the
 * cache nor a message holds a secret.
 */
export function queryWithoutCredentials(query: string): string {
  const parts = query.replace(/^\?/, "").split("&").filter(Boolean);
  const isAzure = parts.some((part) => keyOf(part) === "sig");
  const kept = parts.filter((part) => !PERMISSION.test(keyOf(part)) && !(isAzure && AZURE.test(keyOf(part))));
  return kept.length > 0 ? `?${kept.join("&")}` : "";
}

/** An address without what only permits, and without a fragment. */
export function withoutCredentials(address: string): string {
  const [rest = ""] = address.split("#", 1);
  const at = rest.indexOf("?");
  return at < 0 ? rest : rest.slice(0, at) + queryWithoutCredentials(rest.slice(at));
}
