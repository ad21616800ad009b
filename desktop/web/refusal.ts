/** Refused requests: status, code and a sentence that says the next step. */
import type { NestErrorCode } from '../../proto/model/error.ts';

export interface Refusal {
  readonly status: number;
  readonly code: NestErrorCode;
  readonly message: string;
}

export const refusals = {
  host: {
    status: 421,
    code: 'ORIGIN_REFUSED',
    message: 'This console answers to its own address only. Use the link printed when it was started.',
  },
  method: { status: 405, code: 'BRIDGE_PROTOCOL', message: 'Only GET and HEAD are served here.' },
  address: { status: 414, code: 'INPUT_INVALID', message: 'The address is too long.' },
  origin: { status: 403, code: 'ORIGIN_REFUSED', message: 'Another page may not use this console. Open it by its own link.' },
  token: {
    status: 403,
    code: 'TOKEN_INVALID',
    message: 'This link was used before or belongs to another run. It works once, in one browser: start the console again for a new one.',
  },
  session: {
    status: 401,
    code: 'BRIDGE_REFUSED',
    message: 'This browser has no session with the console. Use the link printed by npm start.',
  },
  missing: { status: 404, code: 'NOT_FOUND', message: 'There is nothing at this address. Open the console at its first page.' },
  connections: {
    status: 429,
    code: 'LIMIT_REACHED',
    message: 'This browser holds too many connections to the console. Close a tab, then try again.',
  },
} as const satisfies Record<string, Refusal>;

/** A small page for a person who followed a wrong link. Texts are ours alone: nothing of the request is repeated. */
export const refusalPage = ({ status, code, message }: Refusal, nonce: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Nest console</title>
<style nonce="${nonce}">
html{color-scheme:dark}body{margin:0;min-height:100vh;display:grid;place-items:center;background:#0f172a;color:#fef3c7;font:16px/1.5 Inter,system-ui,sans-serif}
main{max-width:32rem;padding:2rem;background:#1e293b;border:1px solid #334155;border-radius:8px}h1{margin:0 0 .5rem;color:#fbbf24;font-size:1.25rem}p{margin:0}small{display:block;margin-top:1rem;color:#cbb27a}
</style>
</head>
<body><main><h1>Nest console</h1><p>${message}</p><small>${status} ${code}</small></main></body>
</html>
`;

/** Goes on to the console inside the same origin: a cookie of SameSite=Strict is not sent along a redirect that began on another site. */
export const onwardPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>Nest console</title></head><body><a href="/">Open the console</a></body></html>
`;
