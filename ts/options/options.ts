/**
 * Options, checked by name, type and range before anything crosses to the worker: there, a name that nobody reads goes
 * unnoticed, and what is no text harms the core's memory.
 */

import { tagOf } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import { describe } from "./describe.js";
import { invalidOption } from "./invalid-option.js";
import { nearName } from "./near-name.js";

/** What a value must be. */
export interface Rule {
  /** In words, for messages. */
  readonly expected: string;
  accepts(value: unknown): boolean;
  /** Of an object with options of its own. */
  readonly schema?: Rules;
  /** What a message says that it got. */
  got?(value: unknown): string;
  /** Whether it must be there. */
  readonly needed?: boolean;
  /** Whether it is text, so that a message need not say that it got some. */
  readonly text?: boolean;
}

/** Rules by the options' names. */
export type Rules = Readonly<Record<string, Rule>>;

/** A rule for values of a type, no wider and no narrower. */
export interface Kind<T> extends Rule {
  /** Never there. */
  readonly type?: (value: T) => T;
}

/** A rule for each option of `O`: one that is forgotten, or of another type, does not compile. */
export type Schema<O> = {
  readonly [K in keyof O]-?: Partial<Pick<O, K>> extends Pick<O, K>
    ? Kind<Exclude<O[K], undefined>>
    : Kind<O[K]> & { needed: true };
};

const isNumber = (value: unknown): value is number => typeof value === "number";
const isObject = (value: unknown) => typeof value === "object" && value !== null;
/** Whether a value is an object of names and values. */
export const plain = (value: unknown) => isObject(value) && ["Object", "Module"].includes(tagOf(value));

/** A number; `fits` says which. */
export const number = (expected: string, fits: (value: number) => boolean): Kind<number> => ({
  expected,
  accepts: (value) => isNumber(value) && fits(value),
});
/** Most that a whole number may be: the core counts in 32 bits. */
const MOST = 0xffff_ffff;
/** A whole number from 0 or 1 on. */
export const whole = (least: 0 | 1): Kind<number> =>
  number(least === 1 ? "a whole number above 0" : "a whole number, 0 or more", (value) => {
    return Number.isInteger(value) && value >= least && value <= MOST;
  });
/** A size that memory alone limits. */
export const size = number("a whole number above 0", (value) => Number.isSafeInteger(value) && value > 0);
/** A seed must mean the same in Rust: 32 bits without a sign. */
export const seed = number(`a whole number from 0 to ${MOST}`, (value) => whole(0).accepts(value));
export const above0 = number("a finite number above 0", (value) => Number.isFinite(value) && value > 0);
export const from0 = number("a finite number, 0 or more", (value) => Number.isFinite(value) && value >= 0);
/** A share of something, below all of it; the message holds the option's name. */
export const below1 = (name: string) => number(`0 ≤ ${name} < 1`, (value) => value >= 0 && value < 1);
export const flag: Kind<boolean> = { expected: "true or false", accepts: (value) => typeof value === "boolean" };
/** Text that is not empty. */
export const text = (expected: string): Kind<string> => ({
  expected,
  accepts: (value) => typeof value === "string" && value !== "",
  text: true,
});

/** One of a few values. */
export function oneOf<const T extends string | boolean>(...values: T[]): Kind<T> {
  const last = values.at(-1);
  const expected = values.length < 2 ? `${last}` : `${values.slice(0, -1).join(", ")} or ${last}`;
  return { expected, accepts: (value) => values.some((known) => known === value), text: true };
}

/** Two numbers in order, the first above 0. */
export const range = (expected: string, most: number): Kind<readonly [number, number]> => ({
  expected,
  accepts: (value) => {
    if (!Array.isArray(value) || value.length !== 2 || !value.every(isNumber)) return false;
    const [from, to] = value as [number, number];
    return from > 0 && from <= to && to <= most;
  },
});

/** An object that is looked into elsewhere. */
export const object = <T extends object>(expected: string): Kind<T> => ({ expected, accepts: plain });

/** Numbers in an array of that type, of whichever realm. */
export const typed = <T extends ArrayBufferView>(name: string): Kind<T> => ({
  expected: `a ${name}`,
  accepts: (value) => ArrayBuffer.isView(value) && tagOf(value) === name,
});

/** Options within an option. */
export const group = <O>(schema: Schema<O>): Kind<O> => ({
  expected: `an object with ${Object.keys(schema).join(", ")}`,
  accepts: plain,
  schema: schema as Rules,
});

/** A list that is looked into elsewhere. */
export const list = <T>(expected: string): Kind<readonly T[]> => ({ expected, accepts: Array.isArray });

const firstOther = (list: readonly unknown[]) => list.findIndex((one) => typeof one !== "string");

/** A list of texts. */
export const strings: Kind<readonly string[]> = {
  expected: "strings",
  accepts: (value) => Array.isArray(value) && firstOther(value) === -1,
  got: (value) => (Array.isArray(value) ? `${describe(value[firstOther(value)])} at ${firstOther(value)}` : got(value)),
};

/** Text by names. */
export const texts: Kind<Record<string, string>> = {
  expected: "an object of strings",
  accepts: (value) => plain(value) && Object.values(value as object).every((one) => typeof one === "string"),
};

export const callback = <F extends (...args: never) => unknown>(): Kind<F> => ({
  expected: "a function",
  accepts: (value) => typeof value === "function",
});

export const signal: Kind<AbortSignal> = {
  expected: "an AbortSignal",
  accepts: (value) =>
    isObject(value) &&
    typeof (value as AbortSignal).aborted === "boolean" &&
    "addEventListener" in (value as AbortSignal),
};

/** What is checked where it is used, still on this side of the worker. */
export const elsewhere = <T>(): Kind<T> => ({ expected: "a value", accepts: () => true });

/** What has no place beside another option. */
export const none = (beside: string): Kind<never> => ({ expected: `none beside ${beside}`, accepts: () => false });

/** An option that must be given. */
export const needed = <T>(kind: Kind<T>): Kind<T> & { needed: true } => ({ ...kind, needed: true });

/** A value in a message. */
export function got(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(excerpt(value));
  if (typeof value === "bigint") return `the bigint ${excerpt(String(value))}`;
  if (Array.isArray(value)) return value.length <= 4 && value.every(isNumber) ? `[${value.join(", ")}]` : "an array";
  return value === null || ["object", "function", "symbol"].includes(typeof value) ? describe(value) : String(value);
}

/** @throws ClipError `invalid-option` for a value that is none of the kind */
export function check(name: string, value: unknown, rule: Rule): void {
  if (rule.accepts(value)) return;
  const given = rule.got?.(value) ?? `${typeof value === "string" && !rule.text ? "the string " : ""}${got(value)}`;
  throw invalidOption(name, rule.expected, given);
}

function read(call: string, path: string, options: object, rules: Rules): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  // what a class passes on to its objects counts, too
  for (const name in options) {
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined) continue;
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (!rule) throw unknownOption(call, path, name, value, rules);
    check(`${path}${name}`, value, rule);
    given[name] = rule.schema ? read(call, `${path}${name}.`, value as object, rule.schema) : value;
  }
  for (const [name, rule] of Object.entries(rules)) {
    if (rule.needed && given[name] === undefined) check(`${path}${name}`, undefined, { ...rule, accepts: () => false });
  }
  return given;
}

function unknownOption(call: string, path: string, name: string, value: unknown, rules: Rules): ClipError {
  const near = nearName(name, value, rules);
  const advice = near ? `; did you mean ${path}${near}?` : "";
  const whose = path === "" ? call : `${path.slice(0, -1)} of ${call}`;
  const names = Object.keys(rules).sort().join(", ");
  return new ClipError(
    "invalid-option",
    `invalid option ${path}${excerpt(name)}: expected one of ${whose}'s (${names}), got none of that name${advice}`,
  );
}

/**
 * The options of a call, each as its schema says; those that are `undefined` are left out.
 *
 * @throws ClipError `invalid-option` for one that the call does not have, with the name that may have been meant, and for
 * a value that is of another type or out of its range
 */
export function checked<O>(call: string, options: O, schema: Schema<O>): O {
  if (options === undefined) return {} as O;
  if (!plain(options)) {
    const given = `${typeof options === "string" ? "the string " : ""}${got(options)}`;
    throw new ClipError("invalid-option", `invalid options of ${call}: expected an object, got ${given}`);
  }
  return read(call, "", options as object, schema as Rules) as O;
}
