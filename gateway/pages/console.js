// The console: the manual work of staff and admins, over the public API.
// All text is inserted as text nodes, never as markup.
import { MINOR_DIGITS } from "./currencies.js";
import { call, command, explain, forget, isProblem, logIn, login, logOut, send } from "./session.js";

const $ = (id) => document.getElementById(id);

function element(name, about = {}, ...children) {
  const made = Object.assign(document.createElement(name), about);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function button(label, onclick) {
  return element("button", { type: "button", textContent: label, onclick });
}

// Shows a message, and buttons to go on from it.
function say(text, ...buttons) {
  $("message").className = "";
  $("message").replaceChildren(text, ...buttons);
}

function complain(text, ...buttons) {
  say(text, ...buttons);
  $("message").className = "bad";
}

// Shows an error, and while there is a login a button that tries again.
function fail(error, again) {
  complain(error.message, ...(login() ? [button("Try again", again)] : []));
}

const query = (values) => {
  const pairs = Object.entries(values).filter(([, value]) => value);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
};

// ---- Components ----

// An amount with the digits of ISO 4217; those of `Intl` are CLDR's and differ.
const money = ({ amount, currency }) => {
  const digits = MINOR_DIGITS[currency] ?? 2;
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits });
  return format.format(amount / 10 ** digits);
};
const when = (time) => (time ? new Date(time).toLocaleString() : "");
const size = (bytes) => (bytes === undefined ? "" : `${(bytes / 2 ** 20).toFixed(1)} MiB`);
const span = (seconds) =>
  seconds === undefined ? "" : new Date(seconds * 1000).toISOString().slice(11, 19).replace(/^/, seconds >= 86400 ? `${Math.floor(seconds / 86400)} d ` : "");

// The head of a column of figures.
const figure = (text) => ({ text, className: "figure" });

const cells = (kind, heads, contents) =>
  heads.map(({ className = "" }, at) => {
    const made = element(kind, { className });
    made.append(contents[at] ?? "");
    return made;
  });

function row(heads, contents) {
  return element("tr", {}, ...cells("td", heads, contents));
}

// A table that scrolls within itself, and its body.
function table(heads, rows) {
  const body = element("tbody", {}, ...rows);
  const head = element("tr", {}, ...cells("th", heads, heads.map((head) => head.text ?? head)));
  const whole = element("div", { className: "scroll" }, element("table", {}, element("thead", {}, head), body));
  if (!rows.length) body.append(element("tr", {}, element("td", { colSpan: heads.length, className: "note", textContent: "No entries." })));
  return { whole, body };
}

// A button that does some work, shows its outcome, and then reads again what it changed.
function action(label, work, readAgain) {
  const made = button(label, async () => {
    made.disabled = true;
    try {
      if ((await work()) === false) return;
      say(`${label}: done.`);
      await readAgain().catch((error) => complain(`${label}: done, but the result could not be read. ${error.message}`));
    } catch (error) {
      complain(`${label}: ${error.message}`);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

// A list with filters, loaded page by page. `show` makes the contents of a row; `one` is the
// path of an entry. After an action its row alone is read again, so filters and pages stay;
// entries without a path of their own are all read again.
function list({ path, filters = [], heads, show, one }) {
  const values = {};
  const rows = element("div");
  const more = element("div");
  let body = null;

  const line = (entry) => {
    const made = element("tr");
    const readAgain = async () => (one ? fill(await call("GET", one(entry))) : load());
    const fill = (entry) => made.replaceChildren(...cells("td", heads, show(entry, readAgain)));
    fill(entry);
    return made;
  };
  const load = async (cursor) => {
    try {
      const page = await call("GET", path + query({ ...values, limit: 50, cursor }));
      if (cursor) {
        body.append(...page.items.map(line));
      } else {
        const made = table(heads, page.items.map(line));
        body = made.body;
        rows.replaceChildren(made.whole);
      }
      more.replaceChildren();
      if (page.next_cursor) {
        const next = button("More", () => {
          next.disabled = true;
          load(page.next_cursor);
        });
        more.append(next);
      }
    } catch (error) {
      more.replaceChildren();
      fail(error, () => (say(""), load(cursor)));
    }
  };
  const bar = element("form", { className: "bar" }, ...filters);
  bar.onsubmit = (event) => {
    event.preventDefault();
    for (const field of bar.elements) if (field.name) values[field.name] = field.value;
    say("");
    load();
  };
  if (filters.length) bar.append(element("button", { textContent: "Show" }));
  load();
  return [bar, rows, more];
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
  const mail = (one) => (one.mail ? `${one.mail.queued ?? "?"} queued${one.mail.failing_since ? `, ${one.mail.last_failure.why}` : ""}` : "");
  const heads = ["service", "state", "version", figure("uptime"), figure("events"), figure("dead letters"), figure("store"), figure("cache hits"), "mail", "warnings"];
  const rows = all.map(([name, one]) => [name, state(one), one.version, span(one.uptime_seconds), one.log?.tail, one.parked, size(one.store_bytes), cache(one), mail(one), (one.warnings ?? []).join("; ")]);
  const followHeads = ["service", "source", "follower", "state", figure("cursor"), figure("lag"), figure("dead letters"), "reason"];
  const follows = all.flatMap(([name, one]) => (one.followers ?? []).map((it) => [name, it.source, it.name, it.state, it.cursor, it.lag, it.parked, it.why]));
  const filled = (heads, rows) => table(heads, rows.map((contents) => row(heads, contents))).whole;
  return [filled(heads, rows), element("h2", { textContent: "Followers" }), filled(followHeads, follows)];
}

const STEPS = {
  pending: ["cancel"],
  confirmed: ["pay", "cancel", "parcel"],
  paid: ["ship", "cancel", "refund", "parcel", "undo"],
  shipped: ["deliver", "refund", "parcel", "undo"],
  delivered: ["refund", "undo"],
};

// The steps that are open to an order. One with a payment method can be shipped before it is paid.
function steps({ status, payment_status, payment_method }) {
  const usual = STEPS[status] ?? [];
  if (payment_status !== "unpaid") return usual;
  if (status === "confirmed") return payment_method ? ["ship", ...usual] : usual;
  return usual.map((name) => (name === "refund" ? "pay" : name));
}

const OPTIONAL = " (may stay empty)";
// What a step asks for: the fields of its body.
const QUESTIONS = {
  pay: { reference: `Reference of the payment${OPTIONAL}`, method: `How it was paid, such as transfer${OPTIONAL}` },
  ship: { carrier: `Carrier${OPTIONAL}`, tracking: `Number of the parcel${OPTIONAL}` },
  parcel: { carrier: "Carrier, if it changes", tracking: "Number of the parcel, if it changes" },
  cancel: { reason: "Reason to cancel" },
  refund: { amount: "Amount to refund; all that is left, if empty", reason: "Reason to refund" },
  undo: { reason: "Reason to undo the last step" },
  note: { text: "Note, which only staff see" },
};

// The answers to questions, without the empty ones; `null` once one is cancelled.
function ask(questions, about) {
  const answers = {};
  for (const [name, question] of Object.entries(questions)) {
    const text = prompt(`${about}: ${question}`);
    if (text === null) return null;
    if (text.trim()) answers[name] = text.trim();
  }
  return answers;
}

// An amount that somebody typed, in minor units.
function minorUnits(text, currency) {
  const amount = Math.round(Number(text.replace(",", ".")) * 10 ** (MINOR_DIGITS[currency] ?? 2));
  if (!Number.isSafeInteger(amount)) throw new Error(`"${text}" is no amount such as 9.99`);
  return amount;
}

function take(order, name) {
  const body = ask(QUESTIONS[name] ?? {}, `${name} ${named(order)}`);
  if (body === null) return false;
  const path = `/v1/orders/${order.id}`;
  if (name === "parcel") return call("PATCH", path, body);
  if (name === "note") return command(`${path}/notes`, body);
  if (body.amount) body.amount = minorUnits(body.amount, order.total.currency);
  return command(`${path}/${name}`, body);
}

const step = (order, name, readAgain) => action(name, () => take(order, name), readAgain);

// What people call an order by.
const named = (order) => order.number ?? order.id;

// The fields of an address, as they stand on a parcel; those of old orders have other names.
const ADDRESS = ["name", "company", "line1", "line2", "postal_code", "city", "region", "country", "phone"];

// Who ordered, and where to.
const buyer = ({ buyer, shipping_address: address }) => {
  const fields = address && [...ADDRESS, ...Object.keys(address).filter((name) => !ADDRESS.includes(name))];
  const to = fields?.map((name) => address[name]).filter(Boolean).join(", ");
  return [buyer && `${buyer.name} <${buyer.email}>`, to].filter(Boolean).join(" · ");
};

// Where the order is, and its money.
const standing = ({ status, payment_status, payment_method, cancel_requested_at, refund_pending }) =>
  [
    status,
    payment_status !== status && payment_status.replace("_", " "),
    payment_status === "unpaid" && payment_method && `by ${payment_method.replace("_", " ")}`,
    status === "paid" && cancel_requested_at && "its buyer asks to cancel it",
    refund_pending && `${money(refund_pending)} on the way back`,
  ]
    .filter(Boolean)
    .join(", ");

const parcel = ({ carrier, tracking, tracking_url }) => {
  const text = [carrier, tracking].filter(Boolean).join(" ");
  return tracking_url ? element("a", { href: tracking_url, rel: "noreferrer", textContent: text }) : text;
};

const orders = () =>
  list({
    path: "/v1/orders",
    one: (order) => `/v1/orders/${order.id}`,
    filters: [
      field("q", "number, name or e-mail"),
      choice("status", ["pending", "confirmed", "rejected", "paid", "shipped", "delivered", "cancelled", "refunded"]),
      field("product_id", "prod_…"),
      field("created_from", "from 2026-11-01"),
      field("created_to", "before 2026-12-01"),
      choice("sort", ["-created_at", "created_at", "-total", "total"]),
    ],
    heads: ["placed", "order", "buyer", "items", figure("total"), "status", "parcel", ""],
    show: (order, readAgain) => [
      when(order.created_at),
      element("span", { title: order.id, textContent: named(order) }),
      buyer(order),
      order.items.map((item) => `${item.quantity} × ${item.title}`).join(", "),
      money(order.total),
      standing(order),
      parcel(order),
      element("span", {}, ...[...steps(order), "note"].map((name) => step(order, name, readAgain))),
    ],
  });

const payments = () =>
  list({
    path: "/v1/payments/unmatched",
    heads: ["received", "why", figure("amount"), "order", "reference", "message"],
    show: (one) => [
      when(one.received_at),
      one.reason.replace("_", " "),
      one.amount ? money(one.amount) : "",
      element("code", { textContent: one.order_id ?? "" }),
      element("code", { textContent: one.reference ?? "" }),
      [one.type, one.message_id].filter(Boolean).join(" "),
    ],
  });

async function adjustStock(product) {
  const { on_hand, reserved } = await call("GET", `/v1/products/${product.id}/stock`);
  const text = prompt(`${product.title}: ${on_hand} on hand, ${reserved} reserved. Units to add (negative to remove)?`);
  if (!text) return false;
  return command(`/v1/products/${product.id}/stock`, { delta: Number(text), reason: "console" });
}

const products = () =>
  list({
    path: "/v1/products",
    one: (product) => `/v1/products/${product.id}`,
    filters: [choice("status", ["published", "draft", "archived"]), field("brand", "brand"), field("category", "category")],
    heads: ["sku", "title", figure("price"), "status", "available", ""],
    show: (product, readAgain) => [
      element("code", { textContent: product.sku }),
      product.title,
      money(product.price),
      product.status,
      product.available ? "yes" : "no",
      action("stock", () => adjustStock(product), readAgain),
    ],
  });

const users = () =>
  list({
    path: "/v1/users",
    one: (user) => `/v1/users/${user.id}`,
    filters: [field("email", "e-mail")],
    heads: ["since", "user", "e-mail", "name", "roles", "status", ""],
    show: (user, readAgain) => [
      when(user.created_at),
      element("code", { textContent: user.id }),
      user.email,
      user.name,
      user.roles.join(", "),
      user.status,
      user.status === "active"
        ? action("disable", () => (confirm(`Disable ${user.email}?`) ? call("PATCH", `/v1/users/${user.id}`, { status: "disabled" }) : false), readAgain)
        : action("enable", () => call("PATCH", `/v1/users/${user.id}`, { status: "active" }), readAgain),
    ],
  });

const events = () =>
  list({
    path: "/v1/events",
    filters: [choice("source", ["users", "products", "orders", "notifications"]), field("kind", "order.placed")],
    heads: ["time", "kind", "id", "data", "by"],
    show: (event) => [when(event.at), event.kind, element("code", { textContent: event.id }), element("pre", { textContent: JSON.stringify(event.data) }), [event.by, event.via].filter(Boolean).join(" via ")],
  });

const deadLetters = () =>
  list({
    path: "/v1/events/dead-letters",
    heads: ["since", "service", "event", "reason", ""],
    show: (one, readAgain) => [
      when(one.parked_at),
      one.service,
      element("pre", { textContent: `${one.event.kind} ${one.event.id}` }),
      one.reason,
      element(
        "span",
        {},
        action("retry", () => call("POST", `/v1/events/dead-letters/${one.id}/retry`), readAgain),
        action("discard", () => (confirm(`Discard the event ${one.event.id} permanently?`) ? call("DELETE", `/v1/events/dead-letters/${one.id}`) : false), readAgain),
      ),
    ],
  });

// Reads the view again, and the count with it.
const readAgainAll = async () => show();

const inbox = () => [
  action("mark all as read", () => call("POST", "/v1/notifications/read"), readAgainAll),
  ...list({
    path: "/v1/notifications",
    filters: [element("select", { name: "unread", ariaLabel: "messages" }, new Option("all messages", ""), new Option("unread messages", "true"))],
    heads: ["message", ""],
    show: (entry) => [
      element(
        "div",
        {},
        element("strong", { textContent: entry.title }),
        element("p", { className: "text", textContent: entry.body }),
        element("p", { className: "note", textContent: `${when(entry.created_at)} · ${entry.kind}` }),
      ),
      entry.read_at ? "" : action("mark as read", () => call("POST", `/v1/notifications/${entry.id}/read`), readAgainAll),
    ],
  }),
];

// What keys may do, and what only those of an admin may.
const SCOPES = ["catalogue:read", "catalogue:write", "orders:read", "orders:write", "customers:read", "reports:read"];
const ADMIN_SCOPES = ["events:read"];

const labelled = (text, input) => element("label", {}, text, input);

const box = (name, value) => element("label", { className: "box" }, element("input", { type: "checkbox", name, value }), value);

// The form that makes a key. Its secret is shown once, and nowhere again.
function keyForm() {
  const scopes = login().user.roles.includes("admin") ? [...SCOPES, ...ADMIN_SCOPES] : SCOPES;
  const form = element(
    "form",
    { className: "wide" },
    labelled("Program that uses it", element("input", { name: "name", maxLength: 100, required: true })),
    element("fieldset", {}, element("legend", { textContent: "What it may do" }), ...scopes.map((scope) => box("scopes", scope))),
    labelled("Last day, if it ends by itself", element("input", { name: "last_day", type: "date" })),
    labelled("Your password", element("input", { name: "current_password", type: "password", autocomplete: "current-password", required: true })),
    element("button", { textContent: "Make the key" }),
  );
  form.onsubmit = async (event) => {
    event.preventDefault();
    const given = new FormData(form);
    const last = given.get("last_day");
    const body = { name: given.get("name"), scopes: given.getAll("scopes"), current_password: given.get("current_password") };
    if (last) body.expires_at = new Date(`${last}T23:59:59`).toISOString();
    say("");
    try {
      const { name, secret } = await call("POST", "/v1/api-keys", body);
      await show();
      say(`The key of ${name}. It is shown only now: `, element("code", { textContent: secret }));
    } catch (error) {
      complain(error.message);
    }
  };
  return form;
}

const apiKeys = () => [
  ...list({
    path: "/v1/api-keys",
    heads: ["made", "program", "may", "made by", "ends", "last used", ""],
    show: (key) => [
      when(key.created_at),
      key.name,
      key.scopes.join(", "),
      element("code", { textContent: key.user_id }),
      when(key.expires_at),
      when(key.last_used_at),
      action("revoke", () => (confirm(`Revoke the key of ${key.name}? It stops working within a second.`) ? call("DELETE", `/v1/api-keys/${key.id}`) : false), readAgainAll),
    ],
  }),
  element("h2", { textContent: "A new key" }),
  keyForm(),
];

const VIEWS = {
  overview: { title: "Overview", make: overview, isForAdmins: true },
  orders: { title: "Orders", make: orders },
  payments: { title: "Unmatched payments", make: payments },
  inbox: { title: "Inbox", make: inbox },
  products: { title: "Products", make: products },
  users: { title: "Users", make: users, isForAdmins: true },
  "api-keys": { title: "API keys", make: apiKeys },
  events: { title: "Events", make: events, isForAdmins: true },
  "dead-letters": { title: "Dead letters", make: deadLetters, isForAdmins: true },
};

// ---- Page ----

// The number of the latest call of `show`; an earlier one that is still loading shows nothing.
let shows = 0;
// The user whose login the page shows.
let shown = null;
// What the password got where a second factor is asked for; `null` before and after.
let challenge = null;

async function show() {
  const turn = ++shows;
  const user = login()?.user;
  shown = user?.id ?? null;
  $("login").hidden = true;
  $("second-step").hidden = true;
  $("set-up").hidden = !setUpToken();
  $("bar").hidden = !user || Boolean(setUpToken());
  $("view").replaceChildren();
  if (setUpToken()) {
    document.title = "Set up · konbini";
    return $("set-up").querySelector("input").focus();
  }
  document.title = "Log in · konbini";
  if (!user) return showStep();
  challenge = null;
  const isAdmin = user.roles.includes("admin");
  const open = Object.keys(VIEWS).filter((name) => isAdmin || !VIEWS[name].isForAdmins);
  const current = open.includes(location.hash.slice(1)) ? location.hash.slice(1) : open[0];
  const { title, make } = VIEWS[current];
  document.title = `${title} · konbini`;
  $("who").textContent = user.name;
  $("views").replaceChildren(
    ...open.map((name) => {
      const made = button(VIEWS[name].title, () => (location.hash === `#${name}` ? navigate() : (location.hash = name)));
      made.dataset.view = name;
      if (name === current) made.setAttribute("aria-current", "page");
      return made;
    }),
  );
  countUnread();
  // On a narrow screen the buttons scroll.
  $("views").querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  try {
    const content = await make();
    if (turn === shows) $("view").replaceChildren(element("h1", { textContent: title }), ...content);
  } catch (error) {
    // The error that ended the login has begun another turn, which shows the form.
    if (turn === shows || !login()) fail(error, navigate);
  }
}

// Shows the number of unread notifications in the name of their view.
async function countUnread() {
  const name = $("views").querySelector("[data-view=inbox]");
  if (!name || !login()) return;
  try {
    const { unread_count: count } = await call("GET", "/v1/notifications?limit=1");
    name.textContent = count ? `${VIEWS.inbox.title} (${count})` : VIEWS.inbox.title;
  } catch {
    // The count is left as it is; the view says what is wrong.
  }
}

// While the page is looked at, new ones are counted once a minute.
setInterval(() => document.hidden || countUnread(), 60_000);

function navigate() {
  say("");
  show();
}

async function leave() {
  say("Logging out …");
  try {
    await logOut();
    say("You are logged out.");
  } catch (error) {
    const here = () => (forget(), say("The login is removed from this browser; at the shop it goes on until it expires."));
    complain(`You are still logged in. ${error.message}`, button("Try again", leave), button("Remove it from this browser only", here));
  }
}

$("leave").onclick = leave;

// Sends a step of the login and shows the next one.
async function submit(event) {
  event.preventDefault();
  const form = event.target;
  const fields = Object.fromEntries(new FormData(form));
  say("");
  try {
    challenge = await logIn(challenge === null ? fields : { ...fields, challenge });
    form.reset();
  } catch (error) {
    if (isProblem(error.response, "wrong-challenge")) challenge = null;
    complain(error.message);
  }
  if (!login()) showStep();
}

// The token of a set-up link. It is in the fragment, which browsers send to no server.
const setUpToken = () => (location.hash.startsWith("#setup=") ? location.hash.slice("#setup=".length) : null);

// Makes the first admin and logs in as that.
async function setUp(event) {
  event.preventDefault();
  const form = event.target;
  const account = Object.fromEntries(new FormData(form));
  say("");
  const response = await send("POST", "/v1/setup", { ...account, token: setUpToken() });
  if (!response.ok) {
    complain(explain(response));
    if (!isProblem(response, "set-up")) return;
  }
  // The link does nothing any more, so its token stays in no history.
  history.replaceState(null, "", location.pathname);
  form.reset();
  try {
    if (response.ok) challenge = await logIn({ email: account.email, password: account.password });
  } catch (error) {
    complain(`The admin was made. ${error.message}`);
  }
  show();
}

$("set-up").onsubmit = setUp;

// Shows the form of the step that the login is at.
function showStep() {
  $("login").hidden = challenge !== null;
  $("second-step").hidden = challenge === null;
  const form = challenge === null ? $("login") : $("second-step");
  form.querySelector("input").focus();
}

$("login").onsubmit = submit;
$("second-step").onsubmit = submit;
$("restart").onclick = () => {
  challenge = null;
  say("");
  showStep();
};

// A renewed login changes nothing that the page shows.
addEventListener("loginchange", () => {
  if ((login()?.user.id ?? null) !== shown) show();
});
addEventListener("hashchange", navigate);
show();
