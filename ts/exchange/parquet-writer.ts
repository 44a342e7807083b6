/** Writes Parquet, by hyparquet-writer: <https://github.com/hyparam/hyparquet-writer>. */

import type { SchemaElement } from "hyparquet";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import type { ColumnType } from "./metadata-columns.js";

/** Rows a group, which readers unpack at once. */
const GROUP = 1 << 14;

/** A column in memory. */
export interface ColumnValues {
  name: string;
  type: ColumnType;
  /** Whether each row has a value. */
  required?: boolean;
  values: readonly unknown[];
}

const PHYSICAL: Readonly<Record<ColumnType, Partial<SchemaElement>>> = {
  BOOLEAN: { type: "BOOLEAN" },
  INT64: { type: "INT64" },
  DOUBLE: { type: "DOUBLE" },
  STRING: { type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" } },
  // the older name of the type would have the writer stringify it
  JSON: { type: "BYTE_ARRAY", logical_type: { type: "JSON" } },
};

/** Writes a table of `rows` rows, with notes about it. */
export function writeParquet(
  rows: number,
  columns: readonly ColumnValues[],
  notes: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const schema = columns.map(
    ({ name, type, required }): SchemaElement => ({
      name,
      ...PHYSICAL[type],
      repetition_type: required ? "REQUIRED" : "OPTIONAL",
    }),
  );
  const writer = new ByteWriter(1 << 20);
  const kvMetadata = Object.entries(notes).map(([key, value]) => ({ key, value }));
  const parquet = new ParquetWriter({
    writer,
    schema: [{ name: "schema", num_children: columns.length }, ...schema],
    kvMetadata,
    createdBy: "clipwright",
  });
  for (let from = 0; from < rows; from += GROUP) {
    const columnData = columns.map(({ name, type, values }) => {
      const group = values.slice(from, from + GROUP);
      const data = type === "JSON" ? group.map((text) => text && encoder.encode(text as string)) : group;
      return { name, data };
    });
    parquet.write({ columnData, rowGroupSize: GROUP });
  }
  parquet.finish();
  return writer.getBytes() as Uint8Array<ArrayBuffer>;
}
