/** Rules that options are checked by. */

import { tagOf } from "../../workers/protocol/bytes.js";
import { describeType, describeValue } from "./describe.js";

/** A check of one value. */
export interface Rule {
  /** What the value must be, for messages. */
  readonly expected: string;
  accepts(value: unknown): boolean;
  /** Rules of the options inside the value. */
  readonly schema?: Rules;
  /** Describes a refused value. @default `describeValue` */
  got?(value: unknown): string;
  /** Names that other libraries give the option, in lower case, without underscores. */
  readonly aliases?: readonly string[];
  /** Whether the option must be given. */
  readonly required?: boolean;
  /** Whether the value is a string, so that messages need not say so. */
  readonly text?: boolean;
}

/** Rules by option name. */
export type Rules = Readonly<Record<string, Rule>>;

/** A rule whose accepted values are exactly of type `T`. */
export interface RuleFor<T> extends Rule {
  /** Phantom: makes `T` invariant, never set. */
  readonly type?: (value: T) => T;
}

/** One rule for each option of `O`. A missing rule, or one of another type, does not compile. */
export type Schema<O> = {
  readonly [K in keyof O]-?: Partial<Pick<O, K>> extends Pick<O, K>
    ? RuleFor<Exclude<O[K], undefined>>
    : RuleFor<O[K]> & { required: true };
};

const isNumber = (value: unknown): value is number => typeof value === "number";
const isObject = (value: unknown) => typeof value === "object" && value !== null;
/** Whether a value is a plain object or a module namespace, of any realm. */
export const isPlainObject = (value: unknown) => isObject(value) && ["Object", "Module"].includes(tagOf(value));

/** A number that `fits` accepts. */
export const number = (expected: string, fits: (value: number) => boolean): RuleFor<number> => ({
  expected,
  accepts: (value) => isNumber(value) && fits(value),
});
/** Largest integer that the core takes: it counts in 32 bits. */
const MAX_U32 = 0xffff_ffff;
/** An integer from `least` to 2³² − 1. */
export const integerFrom = (least: 0 | 1): RuleFor<number> =>
  number(least === 1 ? "a whole number above 0" : "a whole number, 0 or more", (value) => {
    return Number.isInteger(value) && value >= least && value <= MAX_U32;
  });
/** An integer above 0 that the core does not count with, so that 32 bits are no limit. */
export const positiveInteger = number("a whole number above 0", (value) => Number.isSafeInteger(value) && value > 0);
/** A `u32` in Rust, so that it means the same there. Its largest value is written out, so that bundlers can drop the rule. */
export const seed = number("a whole number from 0 to 4294967295", (value) => integerFrom(0).accepts(value));
export const positive = number("a finite number above 0", (value) => Number.isFinite(value) && value > 0);
export const nonNegative = number("a finite number, 0 or more", (value) => Number.isFinite(value) && value >= 0);
/** A number in [0, 1); the message contains the option's name. */
export const fraction = (name: string) => number(`0 ≤ ${name} < 1`, (value) => value >= 0 && value < 1);
export const flag: RuleFor<boolean> = { expected: "true or false", accepts: (value) => typeof value === "boolean" };
/** A string that is not empty. */
export const text = (expected: string): RuleFor<string> => ({
  expected,
  accepts: (value) => typeof value === "string" && value !== "",
  text: true,
});

/** One of the given values. */
export function oneOf<const T extends string | boolean>(...values: T[]): RuleFor<T> {
  const last = values.at(-1);
  const expected = values.length < 2 ? `${last}` : `${values.slice(0, -1).join(", ")} or ${last}`;
  return { expected, accepts: (value) => values.some((known) => known === value), text: true };
}

/** Two numbers in ascending order, the first above 0. */
export const range = (expected: string, most: number): RuleFor<readonly [number, number]> => ({
  expected,
  accepts: (value) => {
    if (!Array.isArray(value) || value.length !== 2 || !value.every(isNumber)) return false;
    const [from, to] = value as [number, number];
    return from > 0 && from <= to && to <= most;
  },
});

/** A plain object whose contents are checked elsewhere. */
export const object = <T extends object>(expected: string): RuleFor<T> => ({ expected, accepts: isPlainObject });

/** A typed array by its class's name, of any realm. */
export const typedArray = <T extends ArrayBufferView>(name: string): RuleFor<T> => ({
  expected: `a ${name}`,
  accepts: (value) => ArrayBuffer.isView(value) && tagOf(value) === name,
});

/** Options inside an option. */
export const nested = <O>(schema: Schema<O>): RuleFor<O> => ({
  expected: `an object with ${Object.keys(schema).join(", ")}`,
  accepts: isPlainObject,
  schema: schema as Rules,
});

/** An array whose items are checked elsewhere. */
export const list = <T>(expected: string): RuleFor<readonly T[]> => ({ expected, accepts: Array.isArray });

const firstNonString = (list: readonly unknown[]) => list.findIndex((one) => typeof one !== "string");

/** An array of strings. */
export const strings: RuleFor<readonly string[]> = {
  expected: "strings",
  accepts: (value) => Array.isArray(value) && firstNonString(value) === -1,
  got: (value) => {
    if (!Array.isArray(value)) return describeValue(value);
    const at = firstNonString(value);
    return `${describeType(value[at])} at ${at}`;
  },
};

/** An object whose values are strings. */
export const stringRecord: RuleFor<Record<string, string>> = {
  expected: "an object of strings",
  accepts: (value) => isPlainObject(value) && Object.values(value as object).every((one) => typeof one === "string"),
};

export const callback = <F extends (...args: never) => unknown>(): RuleFor<F> => ({
  expected: "a function",
  accepts: (value) => typeof value === "function",
});

/** An `AbortSignal` of any realm. */
export const signal: RuleFor<AbortSignal> = {
  expected: "an AbortSignal",
  aliases: ["abortsignal"],
  accepts: (value) =>
    isObject(value) &&
    typeof (value as AbortSignal).aborted === "boolean" &&
    "addEventListener" in (value as AbortSignal),
};

/** Any value: it is checked where it is used, before anything crosses to the worker. */
export const unchecked = <T>(): RuleFor<T> => ({ expected: "a value", accepts: () => true });

/** No value: the option cannot be given beside another one. */
export const excludedBy = (other: string): RuleFor<never> => ({
  expected: `no value beside ${other}`,
  accepts: () => false,
});

/** Adds names that other libraries give the option, so that a message knows which one is meant. */
export const alsoCalled = <R extends Rule>(aliases: string, rule: R): R => ({ ...rule, aliases: aliases.split(" ") });

/** Makes an option mandatory. */
export const required = <T>(rule: RuleFor<T>): RuleFor<T> & { required: true } => ({ ...rule, required: true });
