/** Addresses: file names in them, and what in them is secret. */

/** An address with its user and password, its path, and its query and fragment. Punctuation after it is the message's. */
const ADDRESS =
  /\b([a-z][a-z\d+.-]*:\/\/)(?:[^\s/?#"'<>]*@)?([^\s?#"'<>]*)([?#][^\s"'<>]*?)?(?=[:,;)\]]*(?:[\s"'<>]|$))/gi;
/** A parameter that is clearly a secret, in an address that is not recognised: relative, or malformed. */
const PARAMETER = /([?&][\w.%-]*(?:token|signature|secret|password|credential|key|sig|auth)=)[^\s&"'<>]+/gi;

/** Removes user, password, query and fragment from the addresses in a message: no list of names would know every secret. */
export const withoutSecrets = (message: string): string =>
  message
    .replace(ADDRESS, (_, scheme: string, path: string, rest = "") => scheme + path + (rest.length > 1 ? "?…" : ""))
    .replace(PARAMETER, "$1…");

/** Decodes the percent escapes of a path, except malformed ones, whose `%` stands for itself. */
export function decodeEscapes(path: string): string {
  return path.replace(/(?:%[\da-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return escapes;
    }
  });
}

/** Encodes the path of a file for an address: `#`, `?`, `%` and `\` are part of its name. */
export const encodePath = (path: string): string =>
  path
    .replace(/\p{Cs}/gu, "\ufffd")
    .split("/")
    .map(encodeURIComponent)
    .join("/");

/** Moves user and password, which `fetch` refuses in an address, to the header that says the same. */
export function splitUser(address: string): { address: string; headers: Record<string, string> } {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (!url || (url.username === "" && url.password === "")) return { address, headers: {} };
  const user = new TextEncoder().encode(`${decodeEscapes(url.username)}:${decodeEscapes(url.password)}`);
  url.username = "";
  url.password = "";
  return { address: url.href, headers: { Authorization: `Basic ${btoa(String.fromCharCode(...user))}` } };
}
