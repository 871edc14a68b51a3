// The story of one account or borrower: where it stands, how it came there, what was offered, what happened then.
import { askOnce, card, el, grid, link, mark, money, more, none, number, pairs, spoken, svg, t, table, tableRows, wide } from "./page.js";
import { maySee } from "./access.js";
import { statusMark } from "./overview.js";

const listed = (codes) => codes.map(t).join(", ") || t("none");

export function accountView(a) {
  const s = a.status;
  const before = (place) => askOnce(`/api/accounts/${encodeURIComponent(a.account)}?before=${encodeURIComponent(place)}`);
  const document_ = (p) => el("a", { href: `/api/accounts/${encodeURIComponent(a.account)}/agreements/${encodeURIComponent(p.plan)}?locale=${spoken()}`, target: "_blank", rel: "noopener" }, `${t("agreement")} ${p.day}`);
  return [
    el("h1", {}, `${t("account")} ${a.account} `, statusMark(s.bad_debt === "none" ? s.bucket : s.bad_debt)),
    grid(
      card(t("status"), pairs([
        [t("borrower"), link("borrower", a.borrower)], [t("product"), `${t(a.product)}, ${a.jurisdiction}`], [t("days_past_due"), number(s.days_past_due)], [t("overdue"), money(s.overdue, a.currency)],
        [t("attempts"), number(s.attempts)], [t("stage"), `${s.stage}, ${money(s.allowance, a.currency)}`], [t("standing"), t(s.standing)],
        [t("collection"), s.collection_stopped ? t("stopped") : t("running"), s.collection_stopped ? "good" : undefined], [t("holds"), listed(s.holds)], [t("closed"), a.through]])),
      card(t("owed"), pairs(["principal", "interest", "fees", "penalty"].map((p) => [t(p), money(a.owed[p], a.currency), "n"])), el("p.sum", {}, `${t("total")} `, el("strong", {}, money(Object.values(a.owed).reduce((x, y) => x + y, 0), a.currency)))),
      card(t("why_bad"), a.why ? [el("p", { id: "why" }, `${a.why.day}: ${a.why.words[spoken()]}`), pairs([[t("policy"), a.why.policy], [t("evidence"), a.why.evidence.join(", ") || t("none")]])] : el("p.soft", {}, t("not_bad"))),
      wide(t("over_time"), lateness(a)),
      wide(t("transitions"), ...transitions(a, before)),
      a.plans.length ? wide(t("plans"), table([t("day"), t("months"), t("status"), t("document")], a.plans.map((p) => [p.day, number(p.instalments.length), p.active ? mark("good", t("active")) : t("ended"), document_(p)]), { 1: "n" })) : null,
      ...offers(a.offers),
      wide(`${t("timeline")} (${t("timeline_of")} ${number(a.timeline.count)})`, ...timeline(a.timeline, before))),
  ];
}

export function borrowerView(b) {
  const before = (place) => askOnce(`/api/borrowers/${encodeURIComponent(b.borrower)}?before=${encodeURIComponent(place)}`);
  return [
    el("h1", {}, `${t("borrower")} ${b.borrower} `, b.distressed ? mark("bad", t("distressed")) : null),
    grid(
      card(t("cases"), table([t("account"), t("since"), t("holds")], b.cases.map((c) => [link("account", c.account), c.day, listed(c.holds)]))),
      card(t("plans_of"), table([t("account"), t("until")], b.plans.map((p) => [link("account", p.account), p.until]))),
      card(t("means"), pairs([[t("means"), b.means_known ? t("known") : t("not_known")], [t("consents"), number(b.consents)], ...(b.paused_until ? [[t("paused"), b.paused_until]] : []), ...(maySee("audit") ? [[t("audit"), el("a", { href: `#/audit/${encodeURIComponent(b.borrower)}` }, t("looked"))]] : [])])),
      ...offers(b.offers),
      wide(`${t("timeline")} (${t("timeline_of")} ${number(b.timeline.count)})`, ...timeline(b.timeline, before))),
  ];
}

function timeline(told, before) {
  const items = (events) => events.map((e) => el(`li${e.in ? ".came" : ""}`, {}, el("span.soft", {}, e.day), el("span", { title: e.in ? t("in") : t("out"), "aria-label": e.in ? t("in") : t("out"), role: "img" }, e.in ? "→" : "←"), el("span", {}, e.words[spoken()])));
  const list = el("ul.timeline", {}, items(told.events));
  return [list, more("timeline", list, told.older, async (place) => { const { timeline: next } = await before(place); return [items(next.events), next.older]; }, told.count)];
}

function transitions(a, before) {
  const head = [t("day"), t("what"), t("from_to"), t("why"), t("policy")], kinds = { 3: "text" };
  const rows = (steps) => steps.map((x) => [x.day, t(`of_${x.kind}`), `${x.from[spoken()]} → ${x.to[spoken()]}`, x.why[spoken()], x.policy ?? ""]);
  const made = table(head, rows(a.transitions), kinds);
  return [made, more("transitions", made.querySelector("tbody"), a.transitions_older, async (place) => { const next = await before(place); return [tableRows(head, rows(next.transitions), kinds), next.transitions_older]; }, a.transitions_count)];
}

function offers(all) {
  // The newest is open, and the newest with a plan in it; of the others a line.
  const open = new Set([all[0], all.find((o) => o.options.length)]);
  return all.slice(0, 8).map((o) => offerCard(o, open.has(o)));
}

function offerCard(o, open) {
  const moment = (text) => `${text.slice(0, 10)} ${text.slice(11, 16)}`;
  const reach = o.contact.channels.length ? `${moment(o.contact.not_before)} – ${moment(o.contact.not_after)} UTC, ${listed(o.contact.channels)}${o.contact.held_back ? ` (${t("held_back")}: ${t(o.contact.held_back)})` : ""}` : t("none");
  const most = Math.max(1, ...o.options.flatMap((c) => c.schedule.map(([, p, i]) => p + i)));
  const lead = o.options.find((c) => c.lead);
  const summary = lead ? `${number(o.options.length)} ${t("options")}; ${t("leads")} ${lead.months} × ${money(lead.amount, o.currency)}` : mark("warn", t("no_options"));
  return wide(`${t("offer_of")} ${o.day}, ${t("open_until")} ${o.expires}`,
    el("details", { open }, el("summary", {}, summary),
      el("h3", {}, t("why_offer")), el("ul.reasons", {}, o.reasons.map((r) => el("li", {}, r))),
      o.options.length ? el("div.options", {}, o.options.map((c) => option(c, o.currency, most))) : null,
      o.options.length ? el("p.legend", {}, el("span.principal", {}), t("principal"), el("span.interest", {}), t("interest")) : null,
      el("h3", {}, t("message_to")), el("blockquote", {}, o.message),
      pairs([[t("accounts_of"), o.accounts.join(", ")], [t("contact"), reach]])));
}

const option = (c, currency, most) => el(`div.option${c.lead ? ".lead" : ""}`, {},
  el("p.big", {}, `${c.months} × ${money(c.amount, currency)} `, c.lead ? mark("", t("leads")) : null),
  pairs([[t("total"), money(c.total, currency), "n"], [t("rate"), `${(c.rate_bps / 100).toFixed(2)} %`, "n"], [t("waived"), money(c.waived, currency), "n"]]),
  schedule(c, currency, most), el("ul", {}, c.reasons.map((r) => el("li", {}, r))));

function schedule(c, currency, most) {
  const wideness = 260, high = 78, floor = 64, step = wideness / c.schedule.length;
  const [first, last] = [c.schedule[0], c.schedule.at(-1)];
  const told = c.schedule.slice(0, 3).map(([day, p, i]) => `${day} ${money(p + i, currency)}`).join("; ");
  return svg("svg", { viewBox: `0 0 ${wideness} ${high}`, role: "img", "aria-label": `${t("schedule")}: ${told} …, ${last[0]} ${money(last[1] + last[2], currency)}` },
    ...c.schedule.flatMap(([, p, i], n) => {
      const a = (floor * p) / most, b = (floor * i) / most, gap = Math.min(0.6, step / 6), at = { x: n * step, width: step - gap };
      return [svg("rect", { ...at, y: floor - a, height: a, class: "principal" }), svg("rect", { ...at, y: floor - a - b, height: b, class: "interest" })];
    }),
    svg("text", { x: 0, y: 76 }, first[0]), svg("text", { x: wideness, y: 76, "text-anchor": "end" }, last[0]));
}

function lateness(a) {
  if (!a.delinquency.length) return none();
  const day = (text) => Date.parse(text) / 86400000;
  const points = [...a.delinquency, [a.through, a.status.days_past_due]].map(([d, n]) => [day(d), n]);
  const [first, last] = [points[0][0], Math.max(points.at(-1)[0], points[0][0] + 1)];
  const most = Math.max(90, ...points.map(([, n]) => n));
  const left = 40, right = 980, x = (d) => left + ((right - left) * (d - first)) / (last - first), y = (n) => 190 - (160 * n) / most;
  // Between two changes the days grow one a day; a fall happens on its day.
  const line = points.flatMap(([d, n], i) => {
    const before = points[i - 1];
    return before && n < before[1] ? [`${x(d)},${y(before[1] + (before[1] ? d - before[0] : 0))}`, `${x(d)},${y(n)}`] : [`${x(d)},${y(n)}`];
  });
  const turns = a.transitions.filter((e) => e.kind === "BadDebtChanged" && day(e.day) >= first && day(e.day) <= last).reverse();
  return el("div.scroll", { tabindex: "0", role: "group", "aria-label": t("over_time") }, svg("svg", { viewBox: "0 0 1000 215", class: "chart", role: "img", "aria-label": `${t("over_time")}: ${a.delinquency.map(([d, n]) => `${d} ${n}`).join(", ")}` },
    ...[0, 30, 60, 90].flatMap((n) => [svg("line", { x1: left, x2: right, y1: y(n), y2: y(n), class: "axis" }), svg("text", { x: left - 6, y: y(n) + 4, "text-anchor": "end" }, String(n))]),
    svg("text", { x: left, y: 210 }, a.delinquency[0][0]), svg("text", { x: right, y: 210, "text-anchor": "end" }, a.through),
    ...turns.flatMap((e, n) => [svg("line", { x1: x(day(e.day)), x2: x(day(e.day)), y1: 14, y2: y(0), class: "turn" }), svg("text", { x: x(day(e.day)) + (x(day(e.day)) > 860 ? -4 : 4), y: 12 + 12 * (n % 3), "text-anchor": x(day(e.day)) > 860 ? "end" : "start", class: "turned" }, e.to[spoken()])]),
    svg("polyline", { points: line.join(" "), class: "curve" })));
}
