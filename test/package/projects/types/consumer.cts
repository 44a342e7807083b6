import { Clip, type ClipErrorCode } from "clipwright";
import { Clip as OnlyEncoding } from "clipwright/encode";

export const load = (model: string): Promise<Clip> => Clip.load(model);
export const code: ClipErrorCode = "aborted";
export const same = (model: string): Promise<Clip> => OnlyEncoding.load(model);
