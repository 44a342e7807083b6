import { label } from "../../label.js";

export const dynamic = "force-dynamic";
export const GET = async () => new Response(await label("./public/model", "./public/photo.jpg"));
