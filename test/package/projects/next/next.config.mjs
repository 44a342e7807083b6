export default {
  serverExternalPackages: ["clipwright"],
  output: process.env.NEXT_OUTPUT,
};
