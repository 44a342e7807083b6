/** Filters as SQL over a column of JSON. */

import type { Test } from "./filter.js";

const COMPARE = { $gt: ">", $gte: ">=", $lt: "<", $lte: "<=" };

/** The rows of a field: itself, or the elements of a list. An object has none that a filter could compare. */
const ELEMENTS = "SELECT 1 FROM json_each(metadata, ?) e WHERE json_type(metadata, ?) <> 'object' AND";

type Parameter = string | number;

/** Returns a condition on the column `metadata`; appends the values of its parameters. */
export function toSql(test: Test, parameters: Parameter[]): string {
  if ("all" in test || "any" in test) {
    const parts = "all" in test ? test.all : test.any;
    if (parts.length === 0) return "all" in test ? "1" : "0";
    return `(${parts.map((part) => toSql(part, parameters)).join("all" in test ? " AND " : " OR ")})`;
  }
  // a missing field makes a comparison false, and its contrary true: no condition here is ever NULL
  if ("not" in test) return `NOT ${toSql(test.not, parameters)}`;
  const path = `$${test.path.map((name) => `."${name}"`).join("")}`;
  if ("exists" in test) {
    parameters.push(path);
    return `(json_type(metadata, ?) IS ${test.exists ? "NOT " : ""}NULL)`;
  }
  parameters.push(path, path);
  const type = (value: unknown) => (typeof value === "string" ? "e.type = 'text'" : "e.type IN ('integer', 'real')");
  if ("compare" in test) {
    parameters.push(test.to);
    return `EXISTS (${ELEMENTS} ${type(test.to)} AND e.atom ${COMPARE[test.compare]} ?)`;
  }
  const equal = test.in.map((value) => {
    if (value === null || typeof value === "boolean") return `e.type = '${value}'`;
    parameters.push(value);
    return `(${type(value)} AND e.atom = ?)`;
  });
  return `EXISTS (${ELEMENTS} (${equal.join(" OR ") || "0"}))`;
}
