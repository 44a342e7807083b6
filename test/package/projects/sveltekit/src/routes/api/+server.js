import { label } from "../../../label.js";

export const GET = async () => new Response(await label("./static/model", "./static/photo.jpg"));
