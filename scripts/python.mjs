/** Environments of Python for tests: each in a folder of its own in the cache, made once from pinned requirements. */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fail, mustRun, timed } from "./jobs.mjs";
import { aptInstall, CACHE, findProgram } from "./setup.mjs";

/** The oldest that scale/ runs on. */
const MINOR = 10;

/** Path of a Python that can make environments. */
async function findPython() {
  const works = (python) =>
    python !== undefined &&
    spawnSync(python, ["-c", `import ensurepip, sys; sys.exit(sys.version_info < (3, ${MINOR}))`]).status === 0;
  const needed = `Python 3.${MINOR} or newer with venv is needed: install python3 (Debian: apt-get install python3-venv)`;
  const found = findProgram("python3");
  if (works(found)) return found;
  await aptInstall(["python3", "python3-venv"], needed);
  const installed = findProgram("python3");
  return works(installed) ? installed : fail(needed);
}

/** Path of Python in an environment with the packages of a file of requirements, which pip installs with these options. */
export async function setUpPython(requirements, options = []) {
  const text = readFileSync(requirements, "utf8");
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 12);
  const name = basename(requirements, ".txt").replace("requirements", "python");
  const folder = join(CACHE, `${name}-${hash}`);
  const python = join(folder, "bin", "python");
  const stamp = join(folder, ".complete");
  if (existsSync(stamp)) return python;
  rmSync(folder, { recursive: true, force: true });
  const base = await findPython();
  await timed(`installing the packages of ${basename(requirements)}`, async () => {
    await mustRun(base, ["-m", "venv", folder], { orElse: `${base} could not make ${folder}: its message is above` });
    await mustRun(
      python,
      ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...options, "-r", requirements],
      {
        orElse: "pip could not install the packages: its message is above",
      },
    );
  });
  writeFileSync(stamp, text);
  return python;
}
