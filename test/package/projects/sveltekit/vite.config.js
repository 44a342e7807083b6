import adapter from "@sveltejs/adapter-node";
import { sveltekit } from "@sveltejs/kit/vite";

// compressing every Wasm module takes minutes
export default { plugins: [sveltekit({ adapter: adapter({ precompress: false }) })] };
