// Undoes a change of e-mail address, and sets a new password afterwards. The token of the mail's link is in the fragment, which
// browsers send to no server; the person decides with a button, since programs that follow
// links of mails press none.
import { explain, send } from "./session.js";

const $ = (id) => document.getElementById(id);

const DONE = "The old address is back, and all logins of the account have ended. Whoever changed the address knew your password, so choose another one: the code for it was just sent to your address.";
const CHANGED = "The new password is set. Log in with it.";
const WRONG_CODE = "The address or the code is wrong, or the code is older than ten minutes. Ask the shop for a new one to reset your password.";
const NO_TOKEN = "This link is incomplete. Open it from the mail again, or copy the whole of it.";
const SPENT = "This link does not work any more: it was used already, or it is older than 7 days, or the change was undone by another one. If the old address is not back, ask the shop for help.";

function say(text, isBad) {
  $("message").textContent = text;
  $("message").className = isBad ? "bad" : "well";
}

// The link cannot be used again, so its token stays in no history.
function finish(text, isBad, isUndone) {
  history.replaceState(null, "", location.pathname);
  $("about").hidden = $("undo").hidden = true;
  $("password").hidden = !isUndone;
  say(text, isBad);
}

async function undo() {
  $("undo").disabled = true;
  say("", false);
  const response = await send("POST", "/v1/users/email-change/undo", { token: location.hash.slice(1) });
  $("undo").disabled = false;
  if (response.ok) finish(DONE, false, true);
  else if ([400, 401, 404, 410, 422].includes(response.status)) finish(SPENT, true, false);
  else say(`The change is not undone yet. ${explain(response)}`, true);
}

async function setPassword(event) {
  event.preventDefault();
  const body = Object.fromEntries(new FormData($("password")));
  const response = await send("POST", "/v1/users/password-reset/confirm", body);
  if (response.ok) finish(CHANGED, false, false);
  else if (response.status === 401) say(WRONG_CODE, true);
  else say(`The password is not set yet. ${explain(response)}`, true);
}

function show() {
  const hasToken = location.hash.length > 1;
  $("about").hidden = $("undo").hidden = !hasToken;
  say(hasToken ? "" : NO_TOKEN, true);
}

$("undo").onclick = undo;
$("password").onsubmit = setPassword;
addEventListener("hashchange", show);
show();
