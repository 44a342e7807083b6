/** Which part of an address names the file: in the cache a file keeps its name when it is signed anew, and no secret is written. */

/**
 * Names of query parameters that sign or authorize: S3, Google, CloudFront, Alibaba, Tencent, Huawei, Akamai, Cloudflare, nginx's
 * secure_link, Backblaze, Bunny and Azure's functions.
 */
const CREDENTIAL =
  /^(x-(amz|goog|oss|obs|cos)-.+|q-(sign-algorithm|ak|sign-time|key-time|header-list|url-param-list|signature)|.*token|token_path|.*signature|.*credential|.*accesskey(id)?|googleaccessid|key-pair-id|policy|expires|sig|hmac|jwt|verify|auth|authorization|(.*[-_])?api[-_]?key|.*password|.*secret|hdn(ts|ea)|wt)$/i;
/** Azure's: too short to be recognised unless `sig` is among the parameters. */
const AZURE = /^(sv|sr|se|st|sp|spr|sip|ss|srt|sdd|sks?|ske|skt|skv|skoid|sktid|saoid|suoid|scid|ses)$/i;
/** Names that say which file, or which version of it. Their values are no secret. */
const NAMING =
  /^(v|ver|version|version-?id|generation|rev|revision|ref|at|commit|branch|tag|snapshot|alt|raw|dl|download|file|filename|path|name|model|format|library)$/i;
/** What stands for a value that is not written. */
const DIGEST = /^~[\da-f]{14}$/;

function keyOf(parameter: string): string {
  const key = parameter.split("=", 1)[0] ?? "";
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

/** Hashes a text to 53 bits (cyrb53, public domain): too few to tell a token from. */
function digest(text: string): string {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return `~${(4294967296 * (2097151 & b) + (a >>> 0)).toString(16).padStart(14, "0")}`;
}

/**
 * Returns a query as the cache names it: without credentials; with a digest in place of any value that could be one, for an
 * unknown parameter may tell two files apart.
 */
export function queryWithoutCredentials(query: string): string {
  const parameters = query.replace(/^\?/, "").split("&").filter(Boolean);
  const isAzure = parameters.some((parameter) => keyOf(parameter) === "sig");
  const kept = parameters.flatMap((parameter) => {
    const key = keyOf(parameter);
    if (CREDENTIAL.test(key) || (isAzure && AZURE.test(key))) return [];
    const at = parameter.indexOf("=");
    const value = parameter.slice(at + 1);
    // a parameter without a name may be the token itself
    if (at < 0) return NAMING.test(key) ? [parameter] : [DIGEST.test(key) ? key : digest(parameter)];
    return [NAMING.test(key) || DIGEST.test(value) ? parameter : `${parameter.slice(0, at)}=${digest(value)}`];
  });
  return kept.length > 0 ? `?${kept.join("&")}` : "";
}

/** Strips user, password, credentials and the fragment from an address. */
export function withoutCredentials(url: string): string {
  const [rest = ""] = url.replace(/^([a-z][a-z\d+.-]*:\/\/)[^/?#]*@/i, "$1").split("#", 1);
  const at = rest.indexOf("?");
  return at < 0 ? rest : rest.slice(0, at) + queryWithoutCredentials(rest.slice(at));
}
