/**
 * Checks options by name, type and range before anything crosses to the worker: there, a misspelt name would go unnoticed, and
 * a value of another type would corrupt the core's memory.
 */

import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import { describeValue } from "./describe.js";
import { didYouMean } from "./did-you-mean.js";
import { invalidOption } from "./invalid-option.js";
import { isPlainObject, type Rule, type Rules, type Schema } from "./rules.js";

const asText = (value: unknown) => `${typeof value === "string" ? "the string " : ""}${describeValue(value)}`;

/** @throws ClipError `invalid-option` for a value that the rule refuses */
export function check(name: string, value: unknown, rule: Rule): void {
  if (rule.accepts(value)) return;
  throw invalidOption(name, rule.expected, rule.got?.(value) ?? (rule.text ? describeValue(value) : asText(value)));
}

/** @throws ClipError `count-mismatch` unless there are as many `items` as `others` */
export function checkCount(items: string, count: number, others: string, expected: number): void {
  if (count === expected) return;
  throw new ClipError(
    "count-mismatch",
    `count mismatch: expected as many ${items} as ${others} (${expected}), got ${count}`,
  );
}

/**
 * Returns the options of a call without those that are `undefined`.
 *
 * @param call - name of the call, for messages
 * @throws ClipError `invalid-option` for a name that the call does not have, with the name that may have been meant, and for a
 * value of another type or out of range
 */
export function checkOptions<O>(call: string, options: O, schema: Schema<O>): O {
  if (options === undefined) return {} as O;
  if (!isPlainObject(options)) {
    throw new ClipError("invalid-option", `invalid options of ${call}: expected an object, got ${asText(options)}`);
  }
  return read(call, "", options as object, schema as Rules) as O;
}

function read(call: string, path: string, options: object, rules: Rules): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  // for…in: inherited options count, too
  for (const name in options) {
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined) continue;
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (!rule) throw unknownOption(call, path, name, value, rules);
    check(`${path}${name}`, value, rule);
    given[name] = rule.schema ? read(call, `${path}${name}.`, value as object, rule.schema) : value;
  }
  for (const [name, rule] of Object.entries(rules)) {
    if (rule.required && given[name] === undefined)
      check(`${path}${name}`, undefined, { ...rule, accepts: () => false });
  }
  return given;
}

function unknownOption(call: string, path: string, name: string, value: unknown, rules: Rules): ClipError {
  const near = didYouMean(name, value, rules);
  const question = near ? ` did you mean ${path}${near}?` : "";
  const owner = path === "" ? call : `${path.slice(0, -1)} of ${call}`;
  const names = Object.keys(rules).sort().join(", ");
  return new ClipError("invalid-option", `unknown option ${path}${excerpt(name)}:${question} ${owner} takes ${names}`);
}
