/**
 * Set-ups of users, with their versions: the one place where these are pinned.
 *
 * A project is a folder: `files` of `projects/`, one over the other, with texts replaced by `replace`, beside the packages of `install`
 * and the packed tarball. The model and the photo are in its folder `public`. Its rows share it.
 * A row runs its `steps`, then shows its answer in one of these ways:
 * - `serve`: the folder that is served to Chromium, with what its page needs: `isolated` for threads, `path` for another page;
 * - `start`: the command of a server, which gets its port in `$PORT`; `path` is the page;
 * - `extension`: the page of an extension; `panel` where a click opens the side panel;
 * - `run`: a command that prints the answer;
 * - nothing: the steps must succeed, which is all that a compiler can show.
 *
 * A built page may not hold what trains, unless its row has `deploysAll`.
 *
 * `elsewhere` is an address in the project's files whose place another origin takes: it has `node_modules` and the model.
 *
 * `versions` are the packages that the table names, if not the first of those installed. `config` is the one line that the set-up needs
 * beyond what it needs without clipwright.
 */

/** Some tools need a newer Node than clipwright: npm has it as a package. */
const NODE_22 = "22.23.3";

const page = ["shared", "page"];
const pages = { files: page, public: "public" };

/** Vite: before 8 its server moves the scripts of packages, and loses their other files, and its builds hold what trains. */
function vite(major, version, more = []) {
  const config = major < 8 && { config: `optimizeDeps: { exclude: ["clipwright"] }` };
  const start = "vite --host 127.0.0.1 --strictPort --port $PORT";
  return {
    name: `vite-${major}`,
    ...pages,
    files: config ? [...page, "vite-before-8"] : page,
    install: { vite: version },
    rows: [
      {
        name: `vite-${major}-build`,
        title: `Vite ${major}, build`,
        steps: ["vite build"],
        serve: "dist",
        deploysAll: major < 8,
      },
      { name: `vite-${major}-dev`, title: `Vite ${major}, dev`, start, ...config },
      ...more,
    ],
  };
}

/** A compiler, named by what may break: the minor version, too, before 6. */
function typescript(version) {
  const [major, minor] = version.split(".");
  const name = Number(major) < 6 ? `${major}.${minor}` : major;
  const modules = ["esnext --moduleResolution bundler", "node16", "nodenext"];
  const steps = ["ES2022,DOM", "ES2022"].flatMap((lib) =>
    modules.map((module) => `tsc --lib ${lib} --module ${module}`),
  );
  return {
    name: `typescript-${name}`,
    files: ["types"],
    install: { typescript: version },
    rows: [{ name: `typescript-${name}`, title: `TypeScript ${name}`, steps }],
  };
}

/** Where pages without a bundler find the package: folders of an extension, too. */
const PACKED = "/node_modules/clipwright";
const CDN = "https://cdn.jsdelivr.net/npm";
const importMap = (folder) => ({ config: `{ "imports": { "clipwright": "${folder}/dist/index.js" } }` });
/** Extensions forbid Wasm, and import maps. */
const MANIFEST = { config: `"extension_pages": "script-src 'self' 'wasm-unsafe-eval'"` };

/** The entry without what trains, in place of the whole package. */
const ENCODE = { '"clipwright"': '"clipwright/encode"' };

/** Bundlers that leave `new URL` as it is need the files beside the bundle. */
const COPY = "cd node_modules/clipwright && cp -r dist/workers dist/wasm assets ../../dist";

export const PROJECTS = [
  {
    name: "node",
    files: ["shared", "node"],
    public: ".",
    install: { deno: "2.9.6", bun: "1.4.5" },
    rows: [
      { name: "node-esm", title: "Node, `import`", versions: ["node"], run: "node main.js" },
      { name: "node-cjs", title: "Node, `require`", versions: ["node"], run: "node main.cjs" },
      { name: "deno", title: "Deno", run: "deno run --allow-all main.js" },
      { name: "bun", title: "Bun", versions: ["bun"], run: "bun main.js" },
    ],
  },
  {
    name: "encode-node",
    files: ["shared", "node"],
    public: ".",
    install: {},
    replace: ENCODE,
    rows: [
      { name: "encode-node", title: "`clipwright/encode`, Node", versions: ["node"], run: "node main.js" },
      { name: "encode-cjs", title: "`clipwright/encode`, `require`", versions: ["node"], run: "node main.cjs" },
    ],
  },
  vite(8, "8.3.8", [
    {
      name: "vite-8-isolated",
      title: "Vite 8, an isolated page",
      steps: ["vite build"],
      serve: "dist",
      isolated: true,
      fetches: /threads/,
    },
  ]),
  vite(7, "7.3.8"),
  vite(6, "6.4.6"),
  vite(5, "5.4.21"),
  {
    name: "encode-page",
    ...pages,
    install: { vite: "5.4.21" },
    replace: ENCODE,
    rows: [{ name: "encode-page", title: "`clipwright/encode`, Vite 5, build", steps: ["vite build"], serve: "dist" }],
  },
  {
    name: "own-worker",
    ...pages,
    files: [...page, "own-worker"],
    install: { vite: "8.3.8", webpack: "5.113.0", "webpack-cli": "7.3.1" },
    rows: [
      {
        name: "own-worker-vite",
        title: "The app's own worker, Vite 8",
        versions: ["vite"],
        steps: ["vite build"],
        serve: "dist",
      },
      {
        name: "own-worker-webpack",
        title: "The app's own worker, webpack 5",
        versions: ["webpack"],
        steps: ["webpack --mode production --entry ./main.js --output-path out", "cp index.html out"],
        serve: "out",
      },
    ],
  },
  {
    name: "webpack",
    files: page,
    install: { webpack: "5.113.0", "webpack-cli": "7.3.1" },
    rows: [
      {
        name: "webpack",
        title: "webpack 5",
        steps: ["webpack --mode production --entry ./main.js", "cp index.html dist"],
        serve: "dist",
      },
    ],
  },
  {
    name: "rollup",
    files: page,
    install: { rollup: "4.68.8", "@rollup/plugin-node-resolve": "16.0.3" },
    rows: [
      {
        name: "rollup",
        title: "Rollup with node-resolve",
        steps: ["rollup main.js --dir dist --plugin node-resolve", "cp index.html dist", COPY],
        config: COPY,
        serve: "dist",
        deploysAll: true,
      },
    ],
  },
  {
    name: "esbuild",
    files: page,
    install: { esbuild: "0.28.2" },
    rows: [
      {
        name: "esbuild",
        title: "esbuild",
        steps: ["esbuild main.js --bundle --format=esm --minify --outdir=dist", "cp index.html dist", COPY],
        config: COPY,
        serve: "dist",
        deploysAll: true,
      },
    ],
  },
  {
    name: "parcel",
    files: page,
    install: { parcel: "2.16.4" },
    rows: [{ name: "parcel", title: "Parcel 2", steps: ["parcel build index.html"], serve: "dist" }],
  },
  {
    name: "next",
    files: ["shared", "next"],
    public: "public",
    install: { next: "16.4.6", react: "19.3.1", "react-dom": "19.3.1" },
    rows: [
      {
        name: "next-client",
        title: "Next 16, a client component",
        config: `serverExternalPackages: ["clipwright"]`,
        steps: ["next build"],
        start: "next start --port $PORT",
      },
      {
        name: "next-route",
        title: "Next 16, a route handler",
        start: "next start --port $PORT",
        path: "/api",
        config: `serverExternalPackages: ["clipwright"]`,
      },
      {
        name: "next-standalone",
        title: "Next 16, standalone output",
        steps: ["NEXT_OUTPUT=standalone next build", "cp -r public .next/standalone"],
        start: "cd .next/standalone && node server.js",
        path: "/api",
        config: `serverExternalPackages: ["clipwright"]`,
      },
    ],
  },
  {
    name: "server",
    files: ["shared", "node", "server"],
    public: ".",
    install: { esbuild: "0.28.2", webpack: "5.113.0", "webpack-cli": "7.3.1" },
    rows: [
      {
        name: "esbuild-server",
        title: "A server, esbuild",
        steps: [
          "esbuild main.js --bundle --platform=node --format=esm --outfile=dist/esbuild.js --external:clipwright",
        ],
        run: "node dist/esbuild.js",
        config: "--external:clipwright",
      },
      {
        name: "webpack-server",
        title: "A server, webpack 5",
        versions: ["webpack"],
        steps: ["webpack"],
        run: "node dist/webpack.cjs",
        config: `externals: { clipwright: "node-commonjs clipwright" }`,
      },
    ],
  },
  {
    name: "sveltekit",
    files: ["shared", "sveltekit"],
    public: "static",
    install: {
      "@sveltejs/kit": "3.2.0",
      "@sveltejs/adapter-node": "6.0.1",
      "@sveltejs/vite-plugin-svelte": "7.3.1",
      svelte: "5.57.3",
      node: NODE_22,
      vite: "8.3.8",
    },
    rows: [
      { name: "sveltekit-page", title: "SvelteKit 3, a page", steps: ["vite build"], start: "node build" },
      { name: "sveltekit-server", title: "SvelteKit 3, a server route", start: "node build", path: "/api" },
    ],
  },
  {
    name: "astro",
    files: ["shared", "astro"],
    public: "public",
    install: { astro: "7.3.5", node: NODE_22 },
    rows: [{ name: "astro", title: "Astro 7", steps: ["astro build"], serve: "dist" }],
  },
  {
    name: "no-bundler",
    files: [...page, "no-bundler"],
    install: {},
    rows: [
      { name: "no-bundler", title: "No bundler", serve: ".", ...importMap(PACKED) },
      {
        name: "no-bundler-isolated",
        title: "No bundler, an isolated page",
        ...importMap(PACKED),
        serve: ".",
        isolated: true,
        fetches: /threads/,
      },
    ],
  },
  {
    name: "cdn",
    files: [...page, "cdn"],
    install: {},
    rows: [
      {
        name: "cdn",
        title: "A CDN, which is another origin",
        serve: ".",
        elsewhere: CDN,
        ...importMap(`${CDN}/clipwright`),
      },
      {
        name: "cdn-isolated",
        title: "A CDN, an isolated page",
        serve: ".",
        elsewhere: CDN,
        ...importMap(`${CDN}/clipwright`),
        isolated: true,
        fetches: /threads/,
      },
    ],
  },
  {
    name: "extension",
    files: [...page, "extension"],
    public: ".",
    install: {},
    replace: { '"clipwright"': `"${PACKED}/dist/index.js"` },
    rows: [
      { name: "extension-page", title: "Chrome extension, a page", extension: "index.html", ...MANIFEST },
      {
        name: "extension-fetched",
        title: "Chrome extension, model fetched",
        extension: "fetched.html",
        ...MANIFEST,
        elsewhere: "https://models.example",
      },
      {
        name: "extension-offscreen",
        title: "Chrome extension, an offscreen document",
        extension: "ask-offscreen.html",
        ...MANIFEST,
      },
      {
        name: "extension-panel",
        title: "Chrome extension, the side panel",
        extension: "open-panel.html",
        ...MANIFEST,
        panel: true,
      },
    ],
  },
  {
    name: "jest",
    files: ["shared", "jest"],
    public: ".",
    install: { jest: "30.5.2", "jest-environment-jsdom": "30.5.2" },
    rows: [
      { name: "jest-cjs", title: "Jest 30, CommonJS", run: "jest test.cjs" },
      { name: "jest-esm", title: "Jest 30, ESM", run: "NODE_OPTIONS=--experimental-vm-modules jest label.test.mjs" },
      { name: "jest-jsdom", title: "Jest 30, jsdom", run: "jest --env jsdom test.cjs" },
      {
        name: "jest-esm-jsdom",
        title: "Jest 30, ESM and jsdom",
        run: "NODE_OPTIONS=--experimental-vm-modules jest --config jsdom.config.json label.test.mjs",
        config: `testEnvironmentOptions: { customExportConditions: ["node"] }`,
      },
    ],
  },
  {
    name: "vitest",
    files: ["shared", "vitest"],
    public: ".",
    install: { vitest: "5.1.2", vite: "8.3.8", node: NODE_22, jsdom: "31.0.1", "happy-dom": "21.0.4" },
    rows: ["node", "jsdom", "happy-dom"].map((environment) => ({
      name: `vitest-${environment}`,
      title: `Vitest 5, ${environment}`,
      run: `vitest run --environment ${environment} --test-timeout 60000`,
    })),
  },
  ...["5.4.5", "5.6.3", "5.8.3", "6.0.3", "7.0.2"].map(typescript),
];
