// Undoes a change of e-mail address. The token of the mail's link is in the fragment, which
// browsers send to no server; the person decides with a button, since programs that follow
// links of mails press none.
import { explain, send } from "./session.js";

const $ = (id) => document.getElementById(id);

const DONE = "The old address is back, and all logins of the account have ended. Choose a new password next: ask the shop for a code to reset it, which is sent to this address.";
const NO_TOKEN = "This link is incomplete. Open it from the mail again, or copy the whole of it.";
const SPENT = "This link does not work any more: it was used already, or it is older than 7 days, or the change was undone by another one. If the old address is not back, ask the shop for help.";

function say(text, isBad) {
  $("message").textContent = text;
  $("message").className = isBad ? "bad" : "well";
}

// The link cannot be used again, so its token stays in no history.
function finish(text, isBad) {
  history.replaceState(null, "", location.pathname);
  $("about").hidden = $("undo").hidden = true;
  say(text, isBad);
}

async function undo() {
  $("undo").disabled = true;
  say("", false);
  const response = await send("POST", "/v1/users/email-change/undo", { token: location.hash.slice(1) });
  $("undo").disabled = false;
  if (response.ok) finish(DONE, false);
  else if ([400, 401, 404, 410, 422].includes(response.status)) finish(SPENT, true);
  else say(`The change is not undone yet. ${explain(response)}`, true);
}

function show() {
  const hasToken = location.hash.length > 1;
  $("about").hidden = $("undo").hidden = !hasToken;
  say(hasToken ? "" : NO_TOKEN, true);
}

$("undo").onclick = undo;
addEventListener("hashchange", show);
show();
