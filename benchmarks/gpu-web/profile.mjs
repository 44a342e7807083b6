/**
 * Counts the calls that a library makes to WebGPU and times each dispatch by timestamps: every dispatch gets a compute pass of its
 * own. Slower than without, so times are for shares only. A worker answers "read" on the BroadcastChannel `gpu-profile` and starts
 * again at zero.
 */

import { isMainThread } from "node:worker_threads";

/** Timestamps that one command buffer can hold. */
const CAPACITY = 4096;
const CALLS = {
  GPUDevice: ["createBindGroup", "createBuffer", "createComputePipeline", "createComputePipelineAsync"],
  GPUQueue: ["submit", "writeBuffer"],
  GPUBuffer: ["mapAsync"],
};

let counts = {};
let times = new Map();
let pending = [];
const count = (name, by = 1) => {
  counts[name] = (counts[name] ?? 0) + by;
};

/** Wraps a method: `make(original)` returns the new one. */
const wrap = (type, method, make) => {
  const { prototype } = globalThis[type];
  const original = prototype[method];
  prototype[method] = make(original);
};

const codes = new WeakMap();
const names = new WeakMap();
const devices = new WeakMap();
const encoders = new WeakMap();

/** Source of each shader, by the name of its pipeline. */
const shaders = new Map();

/** Name of a pipeline: its label, or the length of its shader where that is only `main`. */
function nameOf({ label, compute }) {
  const code = codes.get(compute.module) ?? "";
  const name = label && label !== "main" ? label : `${compute.entryPoint ?? "main"}, ${code.length} characters`;
  shaders.set(name, code);
  return name;
}

/** A compute pass that opens a real one for each dispatch. */
function timedPass(encoder, open) {
  const state = encoders.get(encoder);
  let pipeline;
  const groups = new Map();
  const dispatch =
    (method) =>
    (...size) => {
      const first = 2 * state.dispatches.length;
      const timed = state.set && first + 1 < CAPACITY;
      const timestampWrites = timed && {
        querySet: state.set,
        beginningOfPassWriteIndex: first,
        endOfPassWriteIndex: first + 1,
      };
      const pass = open(timed ? { timestampWrites } : {});
      pass.setPipeline(pipeline);
      for (const args of groups.values()) pass.setBindGroup(...args);
      pass[method](...size);
      pass.end();
      if (timed) state.dispatches.push(names.get(pipeline) ?? "unknown");
      count("dispatch");
    };
  return {
    setPipeline: (next) => {
      pipeline = next;
    },
    setBindGroup: (...args) => {
      groups.set(args[0], args);
    },
    dispatchWorkgroups: dispatch("dispatchWorkgroups"),
    dispatchWorkgroupsIndirect: dispatch("dispatchWorkgroupsIndirect"),
    pushDebugGroup() {},
    popDebugGroup() {},
    insertDebugMarker() {},
    end() {},
  };
}

/** Copies the timestamps of a command buffer to where they can be read. */
function resolve(encoder) {
  const { device, set, dispatches } = encoders.get(encoder);
  if (!set || dispatches.length === 0) return;
  const size = 16 * dispatches.length;
  const make = (usage) => device.createBuffer({ size, usage });
  const [on, read] = [
    make(GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC),
    make(GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ),
  ];
  encoder.resolveQuerySet(set, 0, 2 * dispatches.length, on, 0);
  encoder.copyBufferToBuffer(on, 0, read, 0, size);
  pending.push({ read, dispatches, set, on });
}

async function collect() {
  const now = pending;
  pending = [];
  for (const { read, dispatches, set, on } of now) {
    await read.mapAsync(GPUMapMode.READ);
    const stamps = new BigUint64Array(read.getMappedRange());
    for (const [i, name] of dispatches.entries()) {
      const total = times.get(name) ?? { dispatches: 0, us: 0 };
      total.dispatches += 1;
      total.us += Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e3;
      times.set(name, total);
    }
    for (const made of [read, on, set]) made.destroy();
  }
}

/** Returns counts and times since the last call. */
export async function readProfile() {
  await collect();
  const used = [...times.keys()].map((name) => [name, shaders.get(name)]);
  const read = { counts, times: Object.fromEntries(times), shaders: Object.fromEntries(used) };
  counts = {};
  times = new Map();
  return read;
}

/** Wraps WebGPU's methods; before the first device is opened. */
export function profile() {
  for (const [type, methods] of Object.entries(CALLS))
    for (const method of methods)
      wrap(
        type,
        method,
        (original) =>
          function (...args) {
            count(method);
            if (method === "writeBuffer") count("bytes written", args[4] ?? args[2].byteLength);
            const made = original.apply(this, args);
            if (method === "createComputePipeline") names.set(made, nameOf(args[0]));
            if (method === "createComputePipelineAsync") made.then((pipeline) => names.set(pipeline, nameOf(args[0])));
            return made;
          },
      );
  wrap(
    "GPUDevice",
    "createShaderModule",
    (original) =>
      function (descriptor) {
        const module = original.call(this, descriptor);
        codes.set(module, descriptor.code);
        return module;
      },
  );
  wrap(
    "GPUAdapter",
    "requestDevice",
    (original) =>
      async function (descriptor = {}) {
        const wanted = this.features.has("timestamp-query") ? ["timestamp-query"] : [];
        const requiredFeatures = [...new Set([...(descriptor.requiredFeatures ?? []), ...wanted])];
        const device = await original.call(this, { ...descriptor, requiredFeatures });
        devices.set(device, wanted.length > 0);
        return device;
      },
  );
  wrap(
    "GPUDevice",
    "createCommandEncoder",
    (original) =>
      function (...args) {
        const encoder = original.apply(this, args);
        const set = devices.get(this) ? this.createQuerySet({ type: "timestamp", count: CAPACITY }) : undefined;
        encoders.set(encoder, { device: this, set, dispatches: [] });
        return encoder;
      },
  );
  wrap(
    "GPUCommandEncoder",
    "beginComputePass",
    (original) =>
      function () {
        count("pass");
        return timedPass(this, (descriptor) => original.call(this, descriptor));
      },
  );
  wrap(
    "GPUCommandEncoder",
    "finish",
    (original) =>
      function (...args) {
        resolve(this);
        return original.apply(this, args);
      },
  );
  if (isMainThread) return;
  const channel = new BroadcastChannel("gpu-profile");
  channel.onmessage = async ({ data }) => {
    if (data === "read") channel.postMessage(await readProfile());
  };
  channel.unref();
}
