// The login of this browser, and the requests that are sent with it.
//
// One login is shared by all tabs, in localStorage. sessionStorage would be copied into a
// duplicated tab, and the server takes a refresh token that two tabs use for a stolen one.
//
// Invariants: one tab at a time renews the login; only logging out and the server's refusal
// to renew it (401, 403) end it.

const LOGIN = "login";
const LEASE = "renewal";

// The server answers a spent refresh token alike for 10 s. A renewal whose response was lost is
// repeated within that time, so the two timeouts and the wait between them stay near it.
const RENEWAL_TIMEOUT_MS = 4_000;
const RETRY_WAIT_MS_MAX = 3_000;
// Longer than a renewal takes, so that only a closed tab loses its lease.
const LEASE_MS = 12_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function stored(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

// The tokens and the user of the login; `null` without one.
export const login = () => stored(LOGIN);

const changed = () => dispatchEvent(new Event("loginchange"));

function keep(pair) {
  localStorage.setItem(LOGIN, JSON.stringify(pair));
  changed();
}

// Removes the login from this browser; the server is not asked.
export function forget() {
  localStorage.removeItem(LOGIN);
  changed();
}

// Another tab logged in, out, or renewed the login.
addEventListener("storage", (event) => {
  if (event.key === LOGIN || event.key === null) changed();
});

// A random UUID (version 4). `getRandomValues` exists over plain HTTP as well.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// ---- Requests ----

// Sends a request. A shop that cannot be reached is a response with the status 0.
export async function send(method, path, body, { token, timeout, headers = {} } = {}) {
  headers = { ...headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signal = timeout && AbortSignal.timeout(timeout);
  try {
    const response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    return { ok: response.ok, status: response.status, retryAfter: response.headers.get("Retry-After"), content: parsed(text) };
  } catch {
    return { ok: false, status: 0, retryAfter: null, content: null };
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// What went wrong, for people.
export function explain({ status, retryAfter, content }) {
  if (status === 0) return "The shop cannot be reached. Check the connection and try again.";
  const faults = (content?.errors ?? []).map((one) => `${one.pointer}: ${one.detail}`);
  const title = content?.title ?? `The shop answered with the status ${status}`;
  const later = Number(retryAfter) > 0 && `try again in ${retryAfter} s`;
  return [title, content?.detail, ...faults, later].filter(Boolean).join(" · ");
}

// A response that is not what was asked for.
class Refused extends Error {
  constructor(response) {
    super(explain(response));
    this.response = response;
  }
}

// Sends a request with the login's access token, renews an expired one once, and returns the
// content. Throws an error whose message is for people.
export async function call(method, path, body, headers) {
  const token = login()?.access_token;
  let response = await send(method, path, body, { token, headers });
  if (response.status === 401 && token) {
    renewing ??= exclusively(() => renew(token)).finally(() => (renewing = null));
    response = await send(method, path, body, { token: await renewing, headers });
  }
  if (response.ok) return response.content;
  throw new Refused(response);
}

// Keys of commands whose outcome is unknown, by command. A command that is repeated sends its
// key again, so it takes effect once.
const unsettled = new Map();

// Sends a command under an Idempotency-Key.
export async function command(path, body) {
  const name = `${path} ${JSON.stringify(body)}`;
  if (!unsettled.has(name)) unsettled.set(name, uuid());
  try {
    const content = await call("POST", path, body, { "Idempotency-Key": unsettled.get(name) });
    unsettled.delete(name);
    return content;
  } catch (error) {
    const { status, content } = error.response ?? { status: 0 };
    const isInFlight = content?.type?.endsWith("/idempotency-key-in-flight");
    if (status >= 400 && status < 500 && !isInFlight) unsettled.delete(name);
    throw error;
  }
}

// ---- Renewal ----

let renewing = null;

const over = () => new Error("Your login has ended. Log in again.");

// Returns an access token newer than `spent`: one that another tab got, or a new one.
async function renew(spent) {
  const pair = login();
  if (!pair) throw over();
  if (pair.access_token !== spent) return pair.access_token;
  let response = await askForRenewal(pair);
  const wait = response.retryAfter === null ? 1_000 : Number(response.retryAfter) * 1_000;
  if (mayPass(response) && wait <= RETRY_WAIT_MS_MAX) {
    await pause(wait);
    response = await askForRenewal(pair);
  }
  if (mayPass(response)) throw new Error(`Your login could not be renewed, and is kept. ${explain(response)}`);
  const latest = login();
  if (latest?.refresh_token !== pair.refresh_token) {
    // Another tab logged out meanwhile, or in again.
    if (latest) return latest.access_token;
    throw over();
  }
  if (!response.ok) {
    forget();
    throw over();
  }
  keep({ ...pair, ...response.content });
  return response.content.access_token;
}

const askForRenewal = ({ refresh_token }) => send("POST", "/v1/sessions/refresh", { refresh_token }, { timeout: RENEWAL_TIMEOUT_MS });

// Whether a renewal failed for a reason that may pass.
const mayPass = ({ ok, status }) => !ok && status !== 401 && status !== 403;

// Runs `work` in one tab at a time.
async function exclusively(work) {
  if (navigator.locks) return navigator.locks.request(LEASE, work);
  // Without Web Locks, which plain HTTP does not have: a lease in localStorage. A tab that
  // another one overtakes renews as well, which the server answers alike.
  const owner = uuid();
  const latest = Date.now() + LEASE_MS;
  while (Date.now() < latest) {
    const left = (stored(LEASE)?.until ?? 0) - Date.now();
    if (left > 0 && left <= LEASE_MS) {
      await pause(100);
      continue;
    }
    localStorage.setItem(LEASE, JSON.stringify({ owner, until: Date.now() + LEASE_MS }));
    await pause(50 + Math.random() * 100);
    if (stored(LEASE)?.owner === owner) break;
  }
  try {
    return await work();
  } finally {
    if (stored(LEASE)?.owner === owner) localStorage.removeItem(LEASE);
  }
}

// ---- Logging in and out ----

const isStaff = (user) => user.roles.some((role) => role === "staff" || role === "admin");

// Whether a response is the problem of that name.
export const isProblem = (response, name) => response?.content?.type === `/problems/${name}`;

// Logs in with `{ email, password }`. Where a second factor is enrolled this returns a challenge,
// and `{ challenge, code }` goes on. The login of an account that may not use the console is ended
// again.
export async function logIn(credentials) {
  const response = await send("POST", "/v1/sessions", credentials);
  if (isProblem(response, "second-factor")) return response.content.challenge;
  if (!response.ok) throw new Refused(response);
  const pair = response.content;
  if (isStaff(pair.user)) {
    keep(pair);
    return null;
  }
  const ended = await send("DELETE", "/v1/sessions/current", undefined, { token: pair.access_token });
  const rest = ended.ok ? "" : ` The login at the shop could not be ended: ${explain(ended)}`;
  throw new Error(`This account is a customer's; the console is for staff and admins.${rest}`);
}

// Ends the login at the server, then in this browser. An expired access token is renewed first,
// since an expired one ends nothing.
export async function logOut() {
  try {
    await call("DELETE", "/v1/sessions/current");
  } catch (error) {
    // Without a login it has ended already.
    if (login()) throw error;
  }
  forget();
}
