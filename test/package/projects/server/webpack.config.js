export default {
  target: "node",
  mode: "production",
  entry: "./main.cjs",
  output: { filename: "webpack.cjs" },
  externals: { clipwright: "node-commonjs clipwright" },
};
