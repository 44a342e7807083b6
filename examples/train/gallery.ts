/** Lists of pictures with their captions. */

import type { ImageTextPair } from "clipwright";

const MOST_CHARACTERS = 80;

function item({ image, text }: ImageTextPair, note: string): HTMLLIElement {
  const picture = Object.assign(document.createElement("img"), { alt: "", width: 64, height: 64 });
  picture.src = URL.createObjectURL(image instanceof Blob ? image : new Blob([image as Uint8Array<ArrayBuffer>]));
  picture.addEventListener("load", () => URL.revokeObjectURL(picture.src), { once: true });
  const caption = text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
  const li = document.createElement("li");
  li.append(picture, caption, Object.assign(document.createElement("span"), { className: "score", textContent: note }));
  return li;
}

/** Shows pairs in a list, each with the cosine of its picture and caption. */
export function showPairs(list: HTMLElement, pairs: readonly { pair: ImageTextPair; score: number }[]): void {
  list.replaceChildren(...pairs.map(({ pair, score }) => item(pair, score.toFixed(2))));
}
