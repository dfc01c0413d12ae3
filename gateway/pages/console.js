// The console: the manual work of staff and admins, over the public API.
// All text is inserted as text nodes, never as markup; tokens live as long as the tab.
"use strict";

const $ = (id) => document.getElementById(id);

function element(name, about = {}, ...children) {
  const made = Object.assign(document.createElement(name), about);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function say(text, isBad = false) {
  $("message").textContent = text;
  $("message").className = isBad ? "bad" : "";
}

// ---- API client ----

const session = {
  get: () => JSON.parse(sessionStorage.getItem("session") ?? "null"),
  set: (pair) => sessionStorage.setItem("session", JSON.stringify(pair)),
  end: () => sessionStorage.removeItem("session"),
};

async function send(method, path, body, headers = {}) {
  const token = session.get()?.access_token;
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

let renewing = null;

async function renew() {
  const refresh_token = session.get()?.refresh_token;
  if (!refresh_token) return false;
  const response = await fetch("/v1/sessions/refresh", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ refresh_token }),
  });
  if (response.ok) session.set({ ...session.get(), ...(await response.json()) });
  return response.ok;
}

// Sends a request, refreshes an expired token once, and throws the text of a problem.
async function call(method, path, body, headers) {
  let response = await send(method, path, body, headers);
  if (response.status === 401 && session.get()) {
    renewing ??= renew().finally(() => (renewing = null));
    if (await renewing) response = await send(method, path, body, headers);
  }
  if (response.status === 401) {
    session.end();
    show();
  }
  const result = response.status === 204 ? null : await response.json();
  if (response.ok) return result;
  const faults = (result.errors ?? []).map((one) => `${one.pointer}: ${one.detail}`);
  throw new Error([result.title, result.detail, ...faults].filter(Boolean).join(" · "));
}

const query = (values) => {
  const pairs = Object.entries(values).filter(([, value]) => value);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
};

// ---- Components ----

const money = ({ amount, currency }) => {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
};
const when = (time) => (time ? new Date(time).toLocaleString() : "");
const size = (bytes) => (bytes === undefined ? "" : `${(bytes / 2 ** 20).toFixed(1)} MiB`);
const span = (seconds) =>
  seconds === undefined ? "" : new Date(seconds * 1000).toISOString().slice(11, 19).replace(/^/, seconds >= 86400 ? `${Math.floor(seconds / 86400)} d ` : "");

function table(heads, rows) {
  const cell = (kind) => (content) => {
    const isFigure = typeof content === "number";
    const made = element(kind, { className: isFigure ? "figure" : "" });
    made.append(content ?? "");
    return made;
  };
  const head = element("tr", {}, ...heads.map(cell("th")));
  const body = rows.map((row) => element("tr", {}, ...row.map(cell("td"))));
  if (!rows.length) body.push(element("tr", {}, element("td", { colSpan: heads.length, className: "note", textContent: "No entries." })));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

// A button that performs an action, shows the outcome, and reloads the view.
function action(label, work) {
  const button = element("button", { type: "button", textContent: label });
  button.onclick = async () => {
    button.disabled = true;
    try {
      if ((await work()) === false) return;
      await show();
      say(`${label}: done.`);
    } catch (error) {
      say(`${label}: ${error.message}`, true);
    } finally {
      button.disabled = false;
    }
  };
  return button;
}

// A list with filters, loaded page by page.
function list(path, filters, heads, row) {
  const values = {};
  const rows = element("div");
  const more = element("div");
  const found = [];
  const load = async (cursor) => {
    try {
      const page = await call("GET", path + query({ ...values, limit: 50, cursor }));
      if (!cursor) found.length = 0;
      found.push(...page.items.map(row));
      rows.replaceChildren(table(heads, found));
      more.replaceChildren();
      if (page.next_cursor) {
        const button = element("button", { type: "button", textContent: "More" });
        button.onclick = () => load(page.next_cursor);
        more.append(button);
      }
      say("");
    } catch (error) {
      say(error.message, true);
    }
  };
  const bar = element("form", { className: "bar" }, ...filters);
  bar.onsubmit = (event) => {
    event.preventDefault();
    for (const field of bar.elements) if (field.name) values[field.name] = field.value;
    load();
  };
  if (filters.length) bar.append(element("button", { textContent: "Show" }));
  load();
  return element("section", {}, bar, rows, more);
}

const field = (name, placeholder) => element("input", { name, placeholder, ariaLabel: placeholder });
const choice = (name, options) =>
  element("select", { name, ariaLabel: name }, ...["", ...options].map((value) => element("option", { value, textContent: value || `any ${name}` })));

// ---- Views ----

async function overview() {
  const { services } = await call("GET", "/v1/status");
  const all = Object.entries(services);
  const state = (one) => element("span", { className: one.state === "ready" ? "well" : "bad", textContent: one.state, title: one.why ?? (one.missing ?? []).join("; ") });
  const cache = (one) => (one.cache?.hit_rate == null ? "" : `${(one.cache.hit_rate * 100).toFixed(1)} % of ${one.cache.hits + one.cache.misses}`);
  const rows = all.map(([name, one]) => [name, state(one), one.version, span(one.uptime_seconds), one.log?.tail, one.parked, size(one.store_bytes), cache(one)]);
  const follows = all.flatMap(([name, one]) => (one.followers ?? []).map((it) => [name, it.source, it.name, it.state, it.cursor, it.lag, it.parked, it.why]));
  return element(
    "section",
    {},
    element("h1", { textContent: "Overview" }),
    table(["service", "state", "version", "uptime", "events", "dead letters", "store", "cache hits"], rows),
    element("h2", { textContent: "Followers" }),
    table(["service", "source", "follower", "state", "cursor", "lag", "dead letters", "reason"], follows),
  );
}

const step = (order, name, body) =>
  action(name, () => call("POST", `/v1/orders/${order.id}/${name}`, body, { "Idempotency-Key": crypto.randomUUID() }));

function asked(order, name) {
  return action(name, () => {
    const reason = prompt(`Reason to ${name} ${order.id}?`);
    return reason === null ? false : call("POST", `/v1/orders/${order.id}/${name}`, { reason }, { "Idempotency-Key": crypto.randomUUID() });
  });
}

const steps = {
  pending: (order) => [asked(order, "cancel")],
  confirmed: (order) => [step(order, "pay"), asked(order, "cancel")],
  paid: (order) => [step(order, "ship", {}), asked(order, "cancel"), asked(order, "refund")],
  shipped: (order) => [step(order, "deliver"), asked(order, "refund")],
  delivered: (order) => [asked(order, "refund")],
};

const orders = () =>
  list(
    "/v1/orders",
    [choice("status", ["pending", "confirmed", "rejected", "paid", "shipped", "delivered", "cancelled", "refunded"]), field("user_id", "user_…")],
    ["placed", "order", "items", "total", "status", ""],
    (order) => [
      when(order.created_at),
      element("code", { textContent: order.id }),
      order.items.map((item) => `${item.quantity} × ${item.title}`).join(", "),
      money(order.total),
      order.status,
      element("span", {}, ...(steps[order.status]?.(order) ?? [])),
    ],
  );

const products = () =>
  list(
    "/v1/products",
    [choice("status", ["published", "draft", "archived"]), field("brand", "brand"), field("category", "category")],
    ["sku", "title", "price", "status", "available", ""],
    (product) => [
      element("code", { textContent: product.sku }),
      product.title,
      money(product.price),
      product.status,
      product.available ? "yes" : "no",
      action("stock", async () => {
        const now = await call("GET", `/v1/products/${product.id}/stock`);
        const text = prompt(`${product.title}: ${now.on_hand} on hand, ${now.reserved} reserved. Units to add (negative to remove)?`);
        if (!text) return false;
        return call("POST", `/v1/products/${product.id}/stock`, { delta: Number(text), reason: "console" }, { "Idempotency-Key": crypto.randomUUID() });
      }),
    ],
  );

const users = () =>
  list("/v1/users", [field("email", "e-mail")], ["since", "user", "e-mail", "name", "roles", "status", ""], (user) => [
    when(user.created_at),
    element("code", { textContent: user.id }),
    user.email,
    user.name,
    user.roles.join(", "),
    user.status,
    user.status === "active"
      ? action("disable", () => (confirm(`Disable ${user.email}?`) ? call("PATCH", `/v1/users/${user.id}`, { status: "disabled" }) : false))
      : action("enable", () => call("PATCH", `/v1/users/${user.id}`, { status: "active" })),
  ]);

const events = () =>
  list("/v1/events", [choice("source", ["users", "products", "orders", "notifications"]), field("kind", "order.placed")], ["time", "kind", "id", "data", "by"], (event) => [
    when(event.at),
    event.kind,
    element("code", { textContent: event.id }),
    element("pre", { textContent: JSON.stringify(event.data) }),
    event.by,
  ]);

const deadLetters = () =>
  list("/v1/events/dead-letters", [], ["since", "service", "event", "reason", ""], (one) => [
    when(one.parked_at),
    one.service,
    element("pre", { textContent: `${one.event.kind} ${one.event.id}` }),
    one.reason,
    element(
      "span",
      {},
      action("retry", () => call("POST", `/v1/events/dead-letters/${one.id}/retry`)),
      action("discard", () => (confirm(`Discard the event ${one.event.id} permanently?`) ? call("DELETE", `/v1/events/dead-letters/${one.id}`) : false)),
    ),
  ]);

const VIEWS = { overview, orders, products, users, events, "dead-letters": deadLetters };
const FOR_ADMINS = ["overview", "users", "events", "dead-letters"];

// ---- Page ----

async function show() {
  const user = session.get()?.user;
  $("login").hidden = Boolean(user);
  $("views").hidden = !user;
  $("who").replaceChildren();
  $("views").replaceChildren();
  if (!user) return $("view").replaceChildren();
  const isAdmin = user.roles.includes("admin");
  const open = Object.keys(VIEWS).filter((name) => isAdmin || !FOR_ADMINS.includes(name));
  const current = open.includes(location.hash.slice(1)) ? location.hash.slice(1) : open[0];
  for (const name of open) {
    const button = element("button", { type: "button", textContent: name.replace("-", " ") });
    if (name === current) button.setAttribute("aria-current", "page");
    button.onclick = () => (location.hash === `#${name}` ? show() : (location.hash = name));
    $("views").append(button);
  }
  const leave = element("button", { type: "button", textContent: "Log out" });
  leave.onclick = async () => {
    await send("DELETE", "/v1/sessions/current").catch(() => null);
    session.end();
    show();
  };
  $("who").append(`${user.name} `, leave);
  try {
    $("view").replaceChildren(await VIEWS[current]());
  } catch (error) {
    say(error.message, true);
  }
}

$("login").onsubmit = async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  try {
    session.end();
    const pair = await call("POST", "/v1/sessions", Object.fromEntries(form));
    if (!pair.user.roles.some((role) => role === "staff" || role === "admin")) {
      return say("This account is a customer's; the console is for staff and admins.", true);
    }
    session.set(pair);
    event.target.reset();
    say("");
    show();
  } catch (error) {
    say(error.message, true);
  }
};

window.onhashchange = show;
show();
