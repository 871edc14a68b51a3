// The page: which view is shown, what is live, and what the user does.
import { frameAccess, lookWho, maySee } from "./access.js";
import { ask, el, forget, link, number, spoken, speak, t } from "./page.js";
import { overviewView, trouble } from "./overview.js";
import { accountView, borrowerView } from "./account.js";
import { auditView, learnerView, lettersView, rulesView, sender } from "./admin.js";

const main = document.querySelector("#main");
const state = document.querySelector("#state");
let overview = null;
let shown = 0;

const again = sender(() => show(false));
const VIEWS = {
  "": [() => overview ?? ask("/api/overview"), overviewView],
  account: [(id) => ask(`/api/accounts/${encodeURIComponent(id)}`), accountView],
  borrower: [(id) => ask(`/api/borrowers/${encodeURIComponent(id)}`), borrowerView],
  rules: [(on) => ask(`/api/rules${on ? `?on=${encodeURIComponent(on)}` : ""}`), rulesView],
  learner: [() => ask("/api/learner"), learnerView],
  letters: [() => ask("/api/letters"), (l) => lettersView(l, again)],
  audit: [(who) => ask(`/api/audit?who=${encodeURIComponent(who)}`), auditView],
  // Whoever is opened goes on record as looked at, so nobody is opened by a guess.
  search: [search, (found) => foundView(route()[1], found)],
};

const route = () => {
  const [, view = "", id = ""] = location.hash.split("/");
  return [VIEWS[view] ? view : "", decodeURIComponent(id)];
};

async function show(moved) {
  const [view, id] = route();
  const turn = ++shown;
  if (moved) forget();
  const [load, draw] = VIEWS[view];
  let parts;
  try {
    parts = draw(await load(id));
  } catch (error) {
    parts = [el("h1", {}, id || t("away")), el("p.bad", { role: "alert" }, error.message)];
  }
  if (turn !== shown) return;
  const open = new Set([...main.querySelectorAll("details[open] > summary")].map((s) => s.textContent));
  main.replaceChildren(...parts.filter(Boolean));
  // What somebody had opened stays open when the same view is drawn again.
  if (!moved) for (const s of main.querySelectorAll("details > summary")) if (open.has(s.textContent)) s.parentElement.open = true;
  document.title = `${main.querySelector("h1").textContent} · Reprieve`;
  frame();
  if (moved) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
}

function frame() {
  const [view] = route();
  document.documentElement.lang = spoken() === "zh" ? "zh-CN" : "en";
  document.querySelector("#views").replaceChildren(...[["", "overview"], ["learner", "learner"], ["rules", "rules"], ["letters", "letters"], ["audit", "audit"]].filter(([to]) => maySee(to)).map(([to, name]) => el("a", { href: `#/${to}`, "aria-current": to === view ? "page" : false }, t(name))));
  document.querySelector("#search label").textContent = t("search");
  document.querySelector("#q").placeholder = t("search");
  document.querySelector("#language").textContent = t("language");
  document.querySelector(".skip").textContent = t("skip");
  frameAccess(t);
  if (overview) {
    const h = overview.health, wrong = trouble(h) ?? (overview.guardrail ? `${t("guardrail")}: ${overview.guardrail}` : null);
    const parts = [`${t("closed")} ${overview.day ?? "–"}`, `${number(overview.accounts)} ${t("accounts")}`, `${number(overview.events.in)} ${t("events_in")}, ${number(overview.events.out)} ${t("events_out")}`, `${number(h.rate ?? 0)} ${t("per_second")}`];
    say(wrong ? "bad" : h.ready ? "good" : "warn", [wrong ?? t(h.ready ? "live" : "reading"), ...parts].join(" · "));
  }
}
function say(kind, text) {
  state.replaceChildren(el(`span.dot.${kind}`, { "aria-hidden": "true" }), text);
}

// -- what the user does

addEventListener("hashchange", () => show(true));
document.querySelector("#language").addEventListener("click", () => {
  speak(spoken() === "zh" ? "en" : "zh");
  show(false);
});
const box = document.querySelector("#q");
function search(text) {
  return ask(`/api/search?q=${encodeURIComponent(text)}`);
}
function foundView(text, found) {
  const links = [...found.accounts.map((a) => link("account", a)), ...found.borrowers.map((b) => link("borrower", b))];
  if (!links.length) return [el("h1", {}, text), el("p.bad", { role: "alert" }, `${t("unknown")} ${text}`)];
  return [el("h1", {}, text), el("p", { role: "status" }, t("several")), el("ul", {}, links.map((a) => el("li", {}, a)))];
}
box.addEventListener("input", async () => {
  const found = await search(box.value.trim());
  document.querySelector("#found").replaceChildren(...[...found.accounts, ...found.borrowers].map((id) => el("option", { value: id })));
});
document.querySelector("#search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = box.value.trim();
  if (!id) return;
  const { accounts, borrowers } = await search(id);
  const only = accounts.length + borrowers.length === 1;
  const [account, borrower] = [accounts.includes(id) ? id : only && accounts[0], borrowers.includes(id) ? id : only && borrowers[0]];
  const [view, name] = account ? ["account", account] : borrower ? ["borrower", borrower] : ["search", id];
  const to = `#/${view}/${encodeURIComponent(name)}`;
  if (location.hash === to) show(true);
  else location.hash = to;
});

function listen() {
  const changes = new EventSource("/api/changes");
  changes.onmessage = (message) => {
    overview = JSON.parse(message.data);
    frame();
    // Whoever is in a link of the overview must not lose it to an update.
    if (route()[0] === "" && !main.contains(document.activeElement === main ? null : document.activeElement)) show(false);
  };
  // Whoever is signed out meanwhile is sent to sign in; else the server is away, and the browser tries again.
  changes.onerror = () => {
    say("bad", t("away"));
    lookWho().catch(() => {});
    if (changes.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

lookWho().catch(() => {}).finally(() => { show(false); listen(); });
