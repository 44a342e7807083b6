/** Strips credentials from URLs: the rest names the file, in the cache and in messages. */

/** Names of query parameters that hold credentials or signatures: those of S3, Google, CloudFront, Alibaba, Akamai. */
const CREDENTIAL =
  /^(x-(amz|goog|oss)-.+|.*token|.*signature|.*credential|.*accesskeyid|googleaccessid|key-pair-id|policy|expires|sig|auth|authorization|api[-_]?key|password|secret|hdnts|hmac)$/i;
/** Azure's: too short to be recognised unless `sig` is among the parameters. */
const AZURE = /^(sv|sr|se|st|sp|spr|sip|ss|srt|sdd|sks?|ske|skt|skv|skoid|sktid|saoid|suoid|scid|ses)$/i;

function keyOf(parameter: string): string {
  const key = parameter.split("=", 1)[0] ?? "";
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

/**
 * Strips credentials from a query. A file keeps its name in the cache when it is signed anew, and neither the cache nor a
 * message holds a secret.
 */
export function queryWithoutCredentials(query: string): string {
  const parameters = query.replace(/^\?/, "").split("&").filter(Boolean);
  const isAzure = parameters.some((parameter) => keyOf(parameter) === "sig");
  const kept = parameters.filter(
    (parameter) => !CREDENTIAL.test(keyOf(parameter)) && !(isAzure && AZURE.test(keyOf(parameter))),
  );
  return kept.length > 0 ? `?${kept.join("&")}` : "";
}

/** Strips credentials and the fragment from a URL. */
export function withoutCredentials(url: string): string {
  const [rest = ""] = url.split("#", 1);
  const at = rest.indexOf("?");
  return at < 0 ? rest : rest.slice(0, at) + queryWithoutCredentials(rest.slice(at));
}
