import type { IncomingMessage, ServerResponse } from "node:http";

export function modelServer(request: IncomingMessage, response: ServerResponse, next?: () => void): void;
