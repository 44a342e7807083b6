"use client";
import { useEffect, useState } from "react";
import { label } from "../label.js";

export default function Page() {
  const [text, setText] = useState("");
  useEffect(() => void label("/model/", "/photo.jpg").then(setText), []);
  return <p>{text}</p>;
}
