/** Prepared statements by their text. */

/** Most statements that are kept: filters have as many texts as shapes. */
const MAX = 64;

/** Statements that are prepared once and used again; the oldest ones are let go of. */
export class Statements<Statement> {
  readonly #kept = new Map<string, Statement>();
  readonly #prepare: (sql: string) => Statement;
  readonly #finalize: (statement: Statement) => void;

  constructor(prepare: (sql: string) => Statement, finalize: (statement: Statement) => void = () => undefined) {
    this.#prepare = prepare;
    this.#finalize = finalize;
  }

  /** Returns the statement of a text. */
  get(sql: string): Statement {
    const kept = this.#kept.get(sql);
    if (kept) return kept;
    const [oldest] = this.#kept;
    if (oldest && this.#kept.size >= MAX) {
      this.#kept.delete(oldest[0]);
      this.#finalize(oldest[1]);
    }
    const statement = this.#prepare(sql);
    this.#kept.set(sql, statement);
    return statement;
  }

  /** Lets go of all. */
  clear(): void {
    for (const statement of this.#kept.values()) this.#finalize(statement);
    this.#kept.clear();
  }
}
