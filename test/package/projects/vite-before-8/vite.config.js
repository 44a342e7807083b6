export default { optimizeDeps: { exclude: ["clipwright"] } };
