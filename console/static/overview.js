// The first page: what needs somebody, how accounts stand, and how the processing is doing.
import { ago, bars, card, el, grid, link, mark, money, none, number, optionName, pairs, t, table, wide, spoken } from "./page.js";

const TONES = { dpd_1_30: ".warn", dpd_31_60: ".warn", dpd_61_90: ".bad", dpd_over_90: ".bad", current: ".good", grace: ".good", candidate: ".bad", recognised: ".bad", missed: ".warn", completed: ".good", healed: ".good" };
const BAD = ["recognised", "charged_off", "defaulted", "dpd_over_90", "dpd_61_90"], WARN = ["candidate", "arrears", "dpd_1_30", "dpd_31_60", "restructured", "repairing", "recovering"];
export const statusMark = (kind) => mark(BAD.includes(kind) ? "bad" : WARN.includes(kind) ? "warn" : "good", t(kind));
const recommended = (x) => (x.recommended ? optionName(x.recommended, x.recommended.currency) : mark("warn", t(x.kind === "pay_in_full" ? "pay_in_full" : "no_options")));
const tile = (name, n, kind) => el("div.tile", {}, el("dt", {}, t(name)), el(`dd.big${kind && n ? `.${kind}` : ""}`, {}, number(n)));

export function overviewView(o) {
  const behind = ["dpd_1_30", "dpd_31_60", "dpd_61_90", "dpd_over_90"].reduce((sum, b) => sum + o.buckets[b], 0);
  const bad = ["candidate", "recognised", "charged_off", "recovering"].reduce((sum, s) => sum + (o.bad_debt[s] ?? 0), 0);
  const refused = Object.values(o.dead_letters).reduce((a, b) => a + b, 0);
  const people = o.for_specialist.first.map((p) => [link("borrower", p.borrower), p.day, el("span", {}, p.tone === "supportive" ? mark("bad", t("distressed")) : null, " ", p.reasons.join(" "))]);
  return [
    el("h1", {}, t("overview")),
    el("dl.tiles", {}, tile("accounts_all", o.accounts), tile("in_arrears", behind, "warn"), tile("bad_now", bad, "bad"), tile("open_offers", o.offers.open), tile("people_short", o.for_specialist.count, "bad"), tile("letters", refused, "warn")),
    grid(
      wide(`${t("people")} (${number(o.for_specialist.count)})`, people.length ? table([t("borrower"), t("since"), t("why")], people, { 2: "text" }) : el("p", {}, t("people_none"))),
      card(t("funnel"), bars(Object.entries(o.funnel), (k) => TONES[k] ?? "")),
      card(t("buckets"), bars(Object.entries(o.buckets), (k) => TONES[k])),
      healthCard(o.health)),
    el("div.grid.two", {},
      card(t("bad_debts"), table([t("account"), t("day"), t("status"), t("outstanding")], o.newest_bad_debts.slice(0, 12).map((d) => [link("account", d.account), d.day, statusMark(d.to), money(d.outstanding, d.currency)]), { 3: "n" })),
      card(t("offers"), table([t("borrower"), t("day"), t("recommended_option")], o.newest_offers.slice(0, 12).map((x) => [link("borrower", x.borrower), x.day, recommended(x)]), { 2: "n" }))),
    grid(
      card(`${t("expiring")} (${number(o.offers.expiring)})`, table([t("borrower"), t("recommended_option")], o.offers.expiring_today.map((x) => [link("borrower", x.borrower), recommended(x)]), { 1: "n" })),
      card(t("plans"), pairs([["activated", o.plans.activated], ["kept", o.plans.kept], ["plan_missed", o.plans.missed], ["broken", o.plans.broken], ["completed", o.plans.completed]].map(([k, n]) => [t(k), number(n), "n"]))),
      card(t("acceptance"), Object.keys(o.answers).length ? pairs(Object.entries(o.answers).map(([k, n]) => [t(k), number(n), "n"])) : none(),
        el("h3", {}, t("allowance")), Object.keys(o.allowance).length ? pairs(Object.entries(o.allowance).map(([c, n]) => [c, money(n, c), "n"])) : none()),
      wide(t("news"), el("ul.timeline", {}, o.news.map((n) => el("li", {}, n.account ? link("account", n.account) : link("borrower", n.borrower), el("span", {}), el("span", {}, n.words[spoken()])))))),
  ];
}

export const trouble = (h) => h.failure ?? (h.problem ? t(h.problem) : null);
export function healthCard(h) {
  const since = h.newest_commit_ms ? ago((h.now_ms - h.newest_commit_ms) / 1000) : "–";
  const rows = [
    [t("waiting"), h.lag === null ? "–" : number(h.lag), h.lag === null ? "n" : h.lag ? "n.warn" : "n.good"],
    [t("throughput"), `${number(h.rate ?? 0)} ${t("per_second")}`, "n"],
    [t("newest_commit"), since, "n"],
  ];
  if (h.kind === "kafka") rows.push([t("workers"), h.workers === null ? "–" : `${number(h.workers)} (${t(`group_${h.group}`)})`, h.workers ? "n.good" : "n.bad"]);
  rows.push([t("console_lag"), h.console_lag === null ? "–" : number(h.console_lag), "n"]);
  const wrong = trouble(h);
  return card(t("health"), el("p", {}, wrong ? mark("bad", t("look_here")) : h.ready ? mark("good", t("all_well")) : mark("warn", t("reading")), wrong ? ` ${wrong}` : null), pairs(rows),
    h.lanes?.length ? el("details", {}, el("summary", {}, t("by_partition")), table([t("partition"), t("waiting"), t("newest_commit")], h.lanes.map((l) => [number(l.partition), l.lag === null ? "–" : number(l.lag), l.newest_commit_ms ? ago((h.now_ms - l.newest_commit_ms) / 1000) : "–"]), { 1: "n", 2: "n" })) : null);
}
