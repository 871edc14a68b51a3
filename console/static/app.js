import { WORDS } from "./words.js";

const main = document.querySelector("#main");
const state = document.querySelector("#state");
let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let overview = null;
let shown = 0;

const t = (key) => WORDS[language][key] ?? key;
const number = (n) => new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en").format(n);
// ISO 4217, as in state/currencies.py; Intl has CLDR's, which differ.
const DECIMALS = [
  [0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"],
  [3, "BHD IQD JOD KWD LYD OMR TND"],
  [4, "CLF UYW"],
];
const decimals = currency => (DECIMALS.find(([, codes]) => currency && codes.includes(currency)) ?? [2])[0];
const money = (minor, currency) => {
  const digits = decimals(currency);
  const form = new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${form.format(minor / 10 ** digits)} ${currency ?? ""}`.trim();
};

// Everything that comes from events is put in as text, never as markup.
function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(made.style, value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return made;
}
const svg = (tag, attributes, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const card = (title, ...children) => el("section.card", {}, el("h2", {}, title), ...children);
const wide = (title, ...children) => el("section.card.wide", {}, el("h2", {}, title), ...children);
const link = (kind, id) => el("a", { href: `#/${kind}/${encodeURIComponent(id)}` }, id);
const pairs = (rows) => el("dl", {}, rows.flatMap(([name, value, kind]) => [el("dt", {}, name), el(kind ? `dd.${kind}` : "dd", {}, value)]));
function table(head, rows, numeric = []) {
  const column = (i) => (numeric.includes(i) ? ".n" : "");
  return el("div.scroll", { tabindex: "0", role: "group", "aria-label": head.join(", ") }, el("table", {},
    el("thead", {}, el("tr", {}, head.map((h, i) => el(`th${column(i)}`, { scope: "col" }, h)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el(`td${column(i)}`, {}, cell)))))));
}
function bars(rows, kind = () => "") {
  const most = Math.max(1, ...rows.map(([, n]) => n));
  return el("ol.steps", {}, rows.map(([key, n]) => el("li", {}, el("span", {}, t(key)), el("span.n", {}, number(n)),
    el(`span.bar${kind(key)}`, { style: { width: `${(100 * n) / most}%` }, "aria-hidden": "true" }))));
}
async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}

// -- views

function overviewView(o) {
  const ages = { dpd_1_30: ".warn", dpd_31_60: ".warn", dpd_61_90: ".bad", dpd_over_90: ".bad", current: ".good", grace: ".good" };
  const people = o.people.first.map((p) => [link("borrower", p.borrower), p.day, el("span", {}, p.tone === "supportive" ? el("span.mark.bad", {}, t("distressed")) : null, " ", p.reasons.join(" "))]);
  return [
    el("h1", {}, t("overview")),
    el("div.grid", {},
      card(t("funnel"), bars(Object.entries(o.funnel), (k) => ({ candidate: ".bad", recognised: ".bad", missed: ".warn", completed: ".good", healed: ".good" })[k] ?? "")),
      card(t("buckets"), bars(Object.entries(o.buckets), (k) => ages[k])),
      card(t("plans"), pairs([["activated", o.plans.activated], ["kept", o.plans.kept], ["plan_missed", o.plans.missed], ["broken", o.plans.broken], ["completed", o.plans.completed]].map(([k, n]) => [t(k), number(n)])),
        el("h3", {}, t("acceptance")), pairs(Object.entries(o.answers).map(([k, n]) => [t(k), number(n)])),
        el("h3", {}, t("allowance")), pairs(Object.entries(o.allowance).map(([c, n]) => [c, money(n, "")]))),
      wide(`${t("people")} (${number(o.people.count)})`, people.length ? table([t("borrower"), t("since"), t("why")], people) : el("p", {}, t("people_none"))),
      card(t("bad_debts"), table([t("account"), t("day"), t("status"), t("outstanding")], o.newest_bad_debts.map((d) => [link("account", d.account), d.day, t(d.to), money(d.outstanding, d.currency)]), [3])),
      card(t("offers"), table([t("borrower"), t("day"), t("leads")], o.newest_offers.map((x) => [link("borrower", x.borrower), x.day, x.lead ? `${x.lead.months} × ${money(x.lead.amount, x.lead.currency)}` : t("no_options")]))),
      card(t("expiring"), table([t("borrower"), t("leads")], o.offers.expiring_today.map((x) => [link("borrower", x.borrower), `${x.lead.months} × ${money(x.lead.amount, x.lead.currency)}`]))),
      wide(t("news"), el("ul.timeline", {}, o.news.map((n) => el("li", {}, n.account ? link("account", n.account) : link("borrower", n.borrower), el("span", {}), el("span", {}, n.words[language])))))),
  ];
}

function statusMark(kind, text) {
  const bad = ["recognised", "charged_off", "defaulted", "dpd_over_90", "dpd_61_90"], warn = ["candidate", "arrears", "dpd_1_30", "dpd_31_60", "restructured", "repairing", "recovering"];
  return el(`span.mark${bad.includes(kind) ? ".bad" : warn.includes(kind) ? ".warn" : ".good"}`, {}, text ?? t(kind));
}

function accountView(a) {
  const s = a.status;
  return [
    el("h1", {}, `${t("account")} ${a.account} `, statusMark(s.bad_debt === "none" ? s.bucket : s.bad_debt)),
    el("div.grid", {},
      card(t("status"), pairs([
        [t("borrower"), link("borrower", a.borrower)], [t("days_past_due"), number(s.days_past_due)], [t("overdue"), money(s.overdue, a.currency)],
        [t("attempts"), number(s.attempts)], [t("stage"), `${s.stage}; ${t("allowance")} ${money(s.allowance, a.currency)}`], [t("standing"), t(s.standing)],
        [t("collection"), s.collection_stopped ? t("stopped") : t("running"), s.collection_stopped ? "good" : undefined], [t("holds"), s.holds.join(", ") || t("none")], [t("closed"), a.through]])),
      card(t("owed"), pairs(["principal", "interest", "fees", "penalty"].map((p) => [t(p), money(a.owed[p], a.currency)]))),
      a.why ? card(t("why_bad"), el("p", { id: "why" }, `${a.why.day}: ${a.why.words[language]}`), pairs([[t("policy"), a.why.policy], [t("evidence"), a.why.evidence.join(", ") || t("none")]])) : null,
      wide(t("over_time"), lateness(a)),
      a.plans.length ? wide(t("plans"), table([t("agreement"), t("day"), t("status"), t("document")], a.plans.map((p) => [p.plan, p.day, p.active ? t("active") : t("ended"), el("a", { href: `/api/accounts/${encodeURIComponent(a.account)}/agreements/${encodeURIComponent(p.plan)}?locale=${language}`, target: "_blank", rel: "noopener" }, `${t("agreement")} ${p.day}`)]))) : null,
      ...a.offers.slice(0, 6).map(offerCard),
      wide(`${t("timeline")} (${t("timeline_of")} ${number(a.timeline.count)})`, timeline(a.timeline.events))),
  ];
}

function borrowerView(b) {
  return [
    el("h1", {}, `${t("borrower")} ${b.borrower} `, b.distressed ? el("span.mark.bad", {}, t("distressed")) : null),
    el("div.grid", {},
      card(t("cases"), table([t("account"), t("since"), t("holds")], b.cases.map((c) => [link("account", c.account), c.day, c.holds.join(", ") || t("none")]))),
      card(t("plans_of"), table([t("account"), t("until")], b.plans.map((p) => [link("account", p.account), p.until]))),
      card(t("means"), pairs([[t("means"), b.means_known ? t("known") : t("not_known")], [t("consents"), number(b.consents)], ...(b.paused_until ? [[t("paused"), b.paused_until]] : [])])),
      ...b.offers.slice(0, 8).map(offerCard),
      wide(`${t("timeline")} (${t("timeline_of")} ${number(b.timeline.count)})`, timeline(b.timeline.events))),
  ];
}

const timeline = (events) => el("ul.timeline", {}, events.map((e) => el("li", {}, el("span.soft", {}, e.day), el("span", { title: e.in ? t("in") : t("out"), "aria-label": e.in ? t("in") : t("out"), role: "img" }, e.in ? "→" : "←"), el("span", {}, e.words[language]))));

function offerCard(o) {
  const reach = o.contact.channels.length ? `${o.contact.not_before.slice(0, 16).replace("T", " ")}Z – ${o.contact.not_after.slice(11, 16)}Z, ${o.contact.channels.join(", ")}${o.contact.held_back ? ` (${t("held_back")}: ${o.contact.held_back})` : ""}` : t("none");
  const most = Math.max(1, ...o.options.flatMap((c) => c.schedule.map(([, p, i]) => p + i)));
  return wide(`${t("offer_of")} ${o.day}, ${t("open_until")} ${o.expires}`,
    el("p", {}, o.message), el("ul", {}, o.reasons.map((r) => el("li", {}, r))),
    o.options.length ? el("div.options", {}, o.options.map((c) => el(`div.option${c.lead ? ".lead" : ""}`, {},
      el("p.big", {}, `${c.months} × ${money(c.amount, o.currency)} `, c.lead ? el("span.mark", {}, t("leads")) : null),
      pairs([[t("total"), money(c.total, o.currency)], [t("rate"), `${(c.rate_bps / 100).toFixed(2)} %`], [t("waived"), money(c.waived, o.currency)]]),
      schedule(c, most), el("ul", {}, c.reasons.map((r) => el("li", {}, r)))))) : el("p", {}, el("span.mark.warn", {}, t("no_options"))),
    pairs([[t("contact"), reach]]));
}

function schedule(c, most) {
  const wideness = 260, high = 70, step = wideness / c.schedule.length;
  return svg("svg", { viewBox: `0 0 ${wideness} ${high}`, role: "img", "aria-label": `${t("principal")}, ${t("interest")}: ${c.schedule[0][0]} – ${c.schedule.at(-1)[0]}` },
    ...c.schedule.flatMap(([, p, i], n) => {
      const a = (high * p) / most, b = (high * i) / most, at = { x: n * step, width: Math.max(0.6, step - 0.6) };
      return [svg("rect", { ...at, y: high - a, height: a, class: "principal" }), svg("rect", { ...at, y: high - a - b, height: b, class: "interest" })];
    }));
}

function lateness(a) {
  if (!a.delinquency.length) return el("p", {}, t("none"));
  const day = (text) => Date.parse(text) / 86400000;
  const points = [...a.delinquency, [a.through, a.status.days_past_due]].map(([d, n]) => [day(d), n]);
  const [first, last] = [points[0][0], Math.max(points.at(-1)[0], points[0][0] + 1)];
  const most = Math.max(90, ...points.map(([, n]) => n));
  const x = (d) => 40 + (540 * (d - first)) / (last - first), y = (n) => 130 - (115 * n) / most;
  // Between two changes the days grow one a day; a fall happens on its day.
  const line = points.flatMap(([d, n], i) => {
    const before = points[i - 1];
    return before && n < before[1] ? [`${x(d)},${y(before[1] + (before[1] ? d - before[0] : 0))}`, `${x(d)},${y(n)}`] : [`${x(d)},${y(n)}`];
  });
  return svg("svg", { viewBox: "0 0 600 150", role: "img", "aria-label": `${t("over_time")}: ${a.delinquency.map(([d, n]) => `${d} ${n}`).join(", ")}` },
    ...[0, 30, 60, 90].map((n) => svg("line", { x1: 40, x2: 580, y1: y(n), y2: y(n), class: "axis" })),
    ...[0, 30, 60, 90].map((n) => svg("text", { x: 34, y: y(n) + 4, "text-anchor": "end" }, String(n))),
    svg("text", { x: 40, y: 147 }, a.delinquency[0][0]), svg("text", { x: 580, y: 147, "text-anchor": "end" }, a.through),
    svg("polyline", { points: line.join(" "), class: "curve" }));
}

function rulesView(r) {
  const value = (v) => (typeof v === "object" && v !== null ? JSON.stringify(v) : String(v));
  return [el("h1", {}, t("rules")), el("p", {}, `${t("in_force")}: ${r.in_force}`),
    card(t("in_force"), table([t("place"), t("product"), t("pack")], r.book.map((b) => [b.jurisdictions.join(", "), b.products.join(", "), b.packs.join(" + ")]))),
    ...r.packs.map((p) => el("details.card", {}, el("summary", {}, `${p.name} ${p.version}: ${p.title} `, p.rules.some((x) => !x.verified) ? el("span.mark.warn", {}, `${p.rules.filter((x) => !x.verified).length} ${t("unverified")}`) : el("span.mark.good", {}, t("verified"))),
      table([t("rule"), t("value"), t("checked"), t("source")], p.rules.map((x) => [x.path, value(x.value), el(`span.mark${x.verified ? ".good" : ".warn"}`, {}, x.verified ? t("verified") : t("unverified")), x.source]))))];
}

function learnerView(l) {
  return [el("h1", {}, t("learner")), el("div.grid", {},
    card(t("version"), pairs([[t("version"), number(l.version)], [t("rows"), number(l.rows)], [t("guardrail"), l.tripped || t("none"), l.tripped ? "bad" : undefined]])),
    card(t("led_by"), pairs(Object.entries(l.groups).map(([k, n]) => [k, number(n)]))),
    wide(t("weight"), l.weights.length ? table([t("rule"), t("value"), t("sure")], l.weights.map((w) => [w.name, w.mean.toFixed(3), `± ${w.deviation.toFixed(3)}`]), [1, 2]) : el("p", {}, t("learner_none"))))];
}

function lettersView(l) {
  return [el("h1", {}, `${t("letters")} (${number(l.count)})`), el("p.soft", {}, t("replay_how")),
    l.letters.length ? wide(t("letters"), table([t("code"), t("message"), t("topic"), t("again")], l.letters.map((x) => [x.code, x.message, `${x.topic}/${x.offset}`, x.replayed ? el("span.mark.good", {}, t("replayed")) : ""]))) : el("p", {}, t("letters_none"))];
}

const VIEWS = {
  "": [() => overview ?? ask("/api/overview"), overviewView],
  account: [(id) => ask(`/api/accounts/${encodeURIComponent(id)}`), accountView],
  borrower: [(id) => ask(`/api/borrowers/${encodeURIComponent(id)}`), borrowerView],
  rules: [() => ask("/api/rules"), rulesView],
  learner: [() => ask("/api/learner"), learnerView],
  letters: [() => ask("/api/letters"), lettersView],
};

const route = () => {
  const [, view = "", id = ""] = location.hash.split("/");
  return [VIEWS[view] ? view : "", decodeURIComponent(id)];
};

async function show(moved) {
  const [view, id] = route();
  const turn = ++shown;
  const [load, draw] = VIEWS[view];
  let parts;
  try {
    parts = draw(await load(id));
  } catch (error) {
    parts = [el("h1", {}, id || t("away")), el("p.bad", { role: "alert" }, error.message)];
  }
  if (turn !== shown) return;
  main.replaceChildren(...parts.filter(Boolean));
  document.title = `${main.querySelector("h1").textContent} · Reprieve`;
  frame();
  if (moved) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
}

function frame() {
  const [view] = route();
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.querySelector("#views").replaceChildren(...[["", "overview"], ["learner", "learner"], ["rules", "rules"], ["letters", "letters"]].map(([to, name]) => el("a", { href: `#/${to}`, "aria-current": to === view ? "page" : false }, t(name))));
  document.querySelector("#search label").textContent = t("search");
  document.querySelector("#q").placeholder = t("search");
  document.querySelector("#language").textContent = t("language");
  if (overview) {
    state.textContent = `${t("live")} · ${t("closed")} ${overview.day ?? "–"} · ${number(overview.accounts)} ${t("accounts")} · ${number(overview.events.in)} ${t("events_in")}, ${number(overview.events.out)} ${t("events_out")} · ${number(overview.events_per_second)} ${t("per_second")}${overview.guardrail ? ` · ${t("guardrail")}: ${overview.guardrail}` : ""}`;
  }
}

// -- what the user does

addEventListener("hashchange", () => show(true));
document.querySelector("#language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("language", language);
  show(false);
});
const box = document.querySelector("#q");
const look = async () => ask(`/api/search?q=${encodeURIComponent(box.value.trim())}`);
box.addEventListener("input", async () => {
  const found = await look();
  document.querySelector("#found").replaceChildren(...[...found.accounts, ...found.borrowers].map((id) => el("option", { value: id })));
});
document.querySelector("#search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [id, found] = [box.value.trim(), await look()];
  if (found.accounts.includes(id)) location.hash = `#/account/${encodeURIComponent(id)}`;
  else if (found.borrowers.includes(id)) location.hash = `#/borrower/${encodeURIComponent(id)}`;
  else if (found.accounts.length) location.hash = `#/account/${encodeURIComponent(found.accounts[0])}`;
  else if (found.borrowers.length) location.hash = `#/borrower/${encodeURIComponent(found.borrowers[0])}`;
  else if (id) { main.replaceChildren(el("h1", {}, id), el("p.bad", { role: "alert" }, `${t("unknown")} ${id}`)); }
});

function listen() {
  const changes = new EventSource("/api/changes");
  changes.onmessage = (message) => {
    overview = JSON.parse(message.data);
    frame();
    // Whoever is in a link of the overview must not lose it to an update.
    if (route()[0] === "" && !main.contains(document.activeElement === main ? null : document.activeElement)) show(false);
  };
  changes.onerror = () => { state.textContent = t("away"); };
}

show(false);
listen();
