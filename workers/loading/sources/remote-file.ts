/** What a server says about a file: its size, its version, and which bytes an answer holds. */

import { ClipError } from "../../protocol/error.js";
import { isEncoded, lengthOf } from "./read-body.js";

/** What tells the versions of a file apart. Either may be missing, or hidden from pages of another origin. */
export interface Version {
  etag: string | undefined;
  /** `Last-Modified`, in seconds at best. */
  modified?: string | undefined;
}

/** A file on a server. */
export interface RemoteFile extends Version {
  /** Its URL without credentials. */
  url: string;
  /** Its length in bytes, as the server or the file itself says. */
  size: number;
  /** SHA-256 in hexadecimal, if the server names it. */
  sha256: string | undefined;
  /** Whether the size is the file's own word: then the server does not check that the answer is complete. */
  isDeclared?: boolean;
  /** Whether the server's answers to requests of ranges are of no use. */
  isPlain?: boolean;
}

/** Another version of a file arrived than was read before, or nothing says that it is the same: reading must begin again. */
export class FileChanged extends ClipError {
  constructor(url: string, problem: string) {
    super("source-unreadable", `${url}: ${problem}: load it again`);
  }
}

const isStrong = (etag: string) => !etag.startsWith("W/");
const opaque = (etag: string) => etag.replace(/^W\//, "");

/** Whether two versions of a file are known to be different. Only equal strong ETags say that all bytes are the same. */
export function differs(a: Version, b: Version): boolean {
  if (a.etag !== undefined && b.etag !== undefined) {
    if (opaque(a.etag) !== opaque(b.etag)) return true;
    if (isStrong(a.etag) && isStrong(b.etag)) return false;
  }
  return a.modified !== undefined && b.modified !== undefined && a.modified !== b.modified;
}

/** Whether a change of the file would be noticed. */
export const hasVersion = ({ etag, modified }: Version): boolean => etag !== undefined || modified !== undefined;

/** An answer to a request for a file. */
export class Answer implements Version {
  readonly etag: string | undefined;
  readonly modified: string | undefined;
  /** SHA-256 of the file in hexadecimal. */
  readonly sha256: string | undefined;
  /** Length of the file; `undefined` if the answer does not say. */
  readonly size: number | undefined;
  /** Offset of the first byte. */
  readonly begin: number | undefined;
  /** Whether the bytes are those of the file, from the offset that was asked for or from its start. */
  readonly isUsable: boolean;

  constructor(response: Response, begin: number) {
    const { headers, status } = response;
    // an ETag may be anything; the Hub documents this one to be the SHA-256
    const linked = headers.get("x-linked-etag");
    this.etag = linked ?? headers.get("etag") ?? undefined;
    this.modified = headers.get("last-modified") ?? undefined;
    this.sha256 = /^"?([0-9a-f]{64})"?$/.exec(linked ?? "")?.[1];
    if (status !== 206) {
      this.begin = 0;
      this.size = lengthOf(response);
      this.isUsable = status !== 416;
      return;
    }
    const range = headers.get("content-range");
    const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/i.exec(range ?? "") ?? [];
    // pages do not see another origin's Content-Range, unless it exposes it
    this.begin = range === null && response.type === "cors" ? begin : from === undefined ? undefined : Number(from);
    this.size = total === undefined || total === "*" ? undefined : Number(total);
    // a part of a compressed file is no part of the file, and several parts have headers between them
    this.isUsable = this.begin === begin && !isEncoded(response);
  }
}
