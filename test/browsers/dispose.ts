/** WebKit has neither `using` nor its symbols: those that compilers of `using` take instead, as an app would define them. */

for (const name of ["dispose", "asyncDispose"]) {
  if (!(name in Symbol)) Object.defineProperty(Symbol, name, { value: Symbol.for(`Symbol.${name}`) });
}
