import { Clip, type ClipErrorCode } from "clipwright";

export const load = (model: string): Promise<Clip> => Clip.load(model);
export const code: ClipErrorCode = "aborted";
