/*
 * Talking to the server: one function, one kind of failure. Answers are trusted to have the shapes of
 * docs/protocols.md; a failure is always a Problem, whose text can be shown to a person as it is.
 */

export interface FieldProblem {
  field?: string;
  message: string;
  code?: string;
}

export class Problem extends Error {
  readonly status: number; /* 0 = the server did not answer */
  readonly detail: string;
  readonly fields: FieldProblem[];
  readonly requestId: string;

  constructor(status: number, title: string, detail = '', fields: FieldProblem[] = [], requestId = '') {
    super(title);
    this.name = 'Problem';
    this.status = status;
    this.detail = detail;
    this.fields = fields;
    this.requestId = requestId;
  }

  /* What went wrong with one field, or '' when nothing did. */
  of(field: string): string {
    return this.fields.find((problem) => problem.field === field)?.message ?? '';
  }
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, 'Something went wrong in this page', error instanceof Error ? error.message : String(error));
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

type Listener = () => void;
let onSignedOut: Listener = () => undefined;

/* The shell hears of every 401, whichever page asked. */
export function whenSignedOut(listener: Listener): void {
  onSignedOut = listener;
}

export interface Options {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  body?: unknown;
  query?: Record<string, string | number | undefined>;
  signal?: AbortSignal;
  quiet401?: boolean;
}

function readProblem(status: number, body: unknown, requestId: string): Problem {
  const object = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const text = (key: string): string => (typeof object[key] === 'string' ? (object[key] as string) : '');
  const fields = (Array.isArray(object.errors) ? object.errors : [])
    .filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null)
    .map((item) => ({
      field: typeof item.field === 'string' ? item.field : undefined,
      message: typeof item.message === 'string' ? item.message : 'Not accepted',
      code: typeof item.code === 'string' ? item.code : undefined,
    }));
  const title = text('title') || text('error_description') || `The server answered ${status}`;
  return new Problem(status, title, text('detail'), fields, requestId);
}

export function withQuery(path: string, query: Options['query'] = {}): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') pairs.set(name, String(value));
  }
  const text = pairs.toString();
  return text ? `${path}?${text}` : path;
}

/* What a page asks for while nobody touches it is no sign of a person: it alone does not keep the session alive. */
const UNTOUCHED_MS = 60_000;
let touched = Date.now();
if (typeof window !== 'undefined') {
  for (const kind of ['pointerdown', 'keydown', 'wheel']) {
    window.addEventListener(kind, () => (touched = Date.now()), { capture: true, passive: true });
  }
}

export async function api<T>(path: string, options: Options = {}): Promise<T> {
  const method = options.method ?? 'GET';
  const headers: Record<string, string> = { accept: 'application/json' };
  if (method !== 'GET') headers['x-oculi-request'] = '1';
  if (Date.now() - touched > UNTOUCHED_MS) headers['x-oculi-auto'] = '1';
  if (options.body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(withQuery(path, options.query), {
      method,
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: options.signal,
      credentials: 'same-origin',
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem(0, 'The server cannot be reached', 'Check that oculid is running and that this machine has a route to it.');
  }
  const requestId = response.headers.get('x-request-id') ?? '';
  const text = await response.text();
  let body: unknown;
  try {
    body = text === '' ? undefined : JSON.parse(text);
  } catch {
    body = undefined;
    if (response.ok) throw new Problem(response.status, 'The server sent something that is not JSON', '', [], requestId);
  }
  if (!response.ok) {
    if (response.status === 401 && !options.quiet401) onSignedOut();
    throw readProblem(response.status, body, requestId);
  }
  return body as T;
}
