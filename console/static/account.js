// The pages of one account and of one borrower: status, history, offers, timeline.
import { amount, askOnce, card, el, grid, link, mark, money, more, none, number, optionName, pairs, spoken, svg, t, table, tableRows, wide } from "./page.js";
import { maySee } from "./access.js";
import { statusMark } from "./overview.js";

// Chinese has its own comma.
const comma = (...said) => said.filter(Boolean).join(spoken() === "zh" ? "，" : ", ");
// Whether somebody beside the borrower may be contacted about an account, or why not.
const reachable = (reason) => (reason ? `${t("not_contacted")}: ${t(reason)}` : t("may_be_contacted"));
const listed = (codes) => comma(...codes.map(t)) || t("none");

// Of keys in quarantine: that their figures stand still, and since which record.
const held = (keys) => keys.map((q) => el("p.held", { role: "note" }, mark("bad", t("in_quarantine")), " ", t(`held_${q.agent}`).replace("{key}", q.key).replace("{since}", q.since).replace("{place}", q.place)));

export function accountView(a) {
  const s = a.status;
  const before = (place) => askOnce(`/api/accounts/${encodeURIComponent(a.account)}?before=${encodeURIComponent(place)}`);
  const document_ = (p) => el("a", { href: `/api/accounts/${encodeURIComponent(a.account)}/agreements/${encodeURIComponent(p.plan)}?locale=${spoken()}`, target: "_blank", rel: "noopener" }, `${t("agreement")} ${p.day}`);
  return [
    el("h1", {}, `${t("account")} ${a.account} `, statusMark(s.bad_debt === "none" ? s.bucket : s.bad_debt)),
    ...held(a.quarantine),
    grid(
      card(comma(t("status"), `${t("as_of")} ${a.through}`), pairs([
        [t("borrower"), link("borrower", a.borrower)], [t("product"), a.by_default ? [comma(t(a.product), a.jurisdiction), " ", mark("warn", t("by_default"))] : comma(t(a.product), a.jurisdiction)], [t("days_past_due"), number(s.days_past_due)], [t("missed_count"), number(s.missed)], [t("overdue"), money(s.overdue, a.currency)],
        [t("next_due"), a.next ? comma(a.next.due, money(a.next.amount, a.currency)) : t("none")],
        [t("attempts"), number(s.attempts)], [t("stage"), comma(s.stage, money(s.allowance, a.currency))], [t("standing"), t(s.standing)],
        [t("collection"), s.collection_stopped ? t("stopped") : t("running"), s.collection_stopped ? "good" : undefined], [t("holds"), comma(...s.holds.map((h) => `${t(h.kind)} ${h.from} – ${h.until ?? t("open_end")}`)) || t("none")],
        ...a.parties.map((p) => [t(p.role), [link("borrower", p.borrower), ` ${comma(p.suretyship ? t(p.suretyship) : "", reachable(p.not_contacted))}`]]),
        ...(s.failed_payments ? [[t("failed_payments"), number(s.failed_payments)]] : []), ...(s.closed ? [[t("account_closed"), comma(s.closed, s.closed_as ? t(s.closed_as) : "")]] : [])])),
      card(t("owed"), pairs(parts(a.owed, a.currency)), el("p.sum", {}, `${t("total")} `, el("strong", {}, money(sum(a.owed), a.currency))),
        a.to_come ? el("p.soft", {}, `${t("interest_to_come")} ${money(a.to_come, a.currency)}`) : null,
        el("h3", {}, t("paid_so_far")), pairs([...parts(a.paid, a.currency), ...(a.paid.credit ? [[t("credit"), money(a.paid.credit, a.currency), "n"]] : []), ...(a.waived ? [[t("waived"), money(a.waived, a.currency), "n"]] : []), ...(a.paid.last ? [[t("last_on"), a.paid.last, "n"]] : [])]),
        el("p.sum", {}, `${t("received")} `, el("strong", {}, money(a.paid.received, a.currency)))),
      badDebt(a),
      a.instalments.length ? wide(`${t("instalments")} (${a.currency})`, instalments(a)) : null,
      a.early.length + a.waiting.length ? wide(t("since_close"), el("p.soft", {}, t("since_close_how")), el("ul.timeline", {}, [...a.waiting.map((e) => [e, "→", t("in")]), ...a.early.map((e) => [e, "←", t("out")])].map(([e, sign, how]) => el("li", {}, el("span.soft", {}, e.day), el("span", { title: how, "aria-label": how, role: "img" }, sign), el("span", {}, e.words[spoken()]))))) : null,
      wide(t("over_time"), lateness(a)),
      wide(t("transitions"), ...transitions(a, before)),
      a.plans.length ? wide(t("plans"), table([t("day"), t("months"), t("status"), t("document")], a.plans.map((p) => [p.day, number(p.instalments.length), p.active ? mark("good", comma(t("active"), `${number(a.plan.kept)} ${t("plan_kept")}`, `${number(a.plan.missed)} ${t("plan_unpaid")}`)) : t("ended"), document_(p)]), { 1: "n" })) : null,
      ...offers(a.offers),
      wide(`${t("timeline")} (${t("timeline_of")} ${number(a.timeline.count)})`, ...timeline(a.timeline, before))),
  ];
}

const PARTS = ["principal", "interest", "fees", "penalty"];
const parts = (of, currency) => PARTS.map((p) => [t(p), money(of[p], currency), "n"]);
const sum = (of) => PARTS.reduce((all, p) => all + of[p], 0);

// The whole way into bad debt where there was one, and what is missing of the next step where it is none, or none again.
function badDebt(a) {
  const way = a.why.length ? [el("ol.way", { id: "why" }, a.why.map((x) => el("li", {}, el("strong", {}, `${x.day}: ${t(x.from)} → ${t(x.to)} `), x.reasons.map((r) => r[spoken()]).join(spoken() === "zh" ? "；" : "; "),
    el("span.soft", {}, ` ${comma(x.policy, ...(x.evidence.length ? [`${t("evidence")} ${x.evidence.join(", ")}`] : []))}`))))] : [];
  const met = (c) => el("span", { role: "img", "aria-label": t(c.met ? "is_met" : "is_lacking") }, c.met ? "✓" : "✗");
  const checks = a.next_steps.flatMap((l) => [el("p.soft", {}, `${t(`lacks_${l.to}`)} (${l.policy})`), el("ul.checks", {}, l.conditions.map((c) => el(`li${c.met ? ".met" : ""}`, {}, met(c), " ", c.words[spoken()])))]);
  return card(t(way.length ? "why_bad" : "why_not_bad"), ...way, el("div", { id: "lacking" }, checks), way.length || checks.length ? null : el("p.soft", {}, t("not_bad")));
}

// Of each instalment both views: what it asked for and what was paid of that; and of each part what the waterfall left.
function instalments(a) {
  const left = (p) => (p === "penalty" ? t("left_of_charges") : `${t("left_of")} ${t(p)}`);
  const head = [t("number"), t("due_on"), t("asked"), t("paid_toward"), t("still_unpaid"), t("status"), ...PARTS.map(left)], kinds = { 2: "n", 3: "n", 4: "n", 6: "n", 7: "n", 8: "n", 9: "n" };
  const how = (i) => (i.is === "late" ? mark("bad", `${number(i.days)} ${t("days_late")}`) : i.is === "paid" ? mark("good", t("is_paid")) : t("is_to_come"));
  const sum_ = (n) => amount(n, a.currency), part = (i, p) => (p in i.asked_parts ? `${sum_(i.owed[p])} / ${sum_(i.asked_parts[p])}` : sum_(i.owed[p]));
  const rows = a.instalments.map((i) => [`${number(i.number)}${i.plan ? ` (${t("of_plan")})` : ""}`, i.due, sum_(i.asked), sum_(i.paid), sum_(i.unpaid), how(i), ...PARTS.map((p) => part(i, p))]);
  return [table(head, rows, kinds), a.instalments_more ? el("p.soft", {}, `${t("and_more")} ${number(a.instalments_more)}`) : null];
}

export function borrowerView(b) {
  const before = (place) => askOnce(`/api/borrowers/${encodeURIComponent(b.borrower)}?before=${encodeURIComponent(place)}`);
  const owing = [t("account"), t("owed"), t("overdue"), t("days_past_due"), t("next_due"), t("status"), t("holds")];
  return [
    el("h1", {}, `${t("borrower")} ${b.borrower} `, b.distressed ? mark("bad", t("distressed")) : null),
    ...held(b.quarantine),
    grid(
      wide(comma(t("cases"), b.through ? `${t("as_of")} ${b.through}` : ""), table(owing, b.accounts.map((c) => [link("account", c.account), money(c.owed, c.currency), money(c.overdue, c.currency), number(c.days_past_due),
        c.next ? comma(c.next.due, money(c.next.amount, c.currency)) : t("none"), statusMark(c.bad_debt === "none" ? c.bucket : c.bad_debt), listed(c.holds)]), { 1: "n", 2: "n", 3: "n" })),
      card(t("plans_of"), table([t("account"), t("until")], b.plans.map((p) => [link("account", p.account), p.until]))),
      card(t("means"), pairs([[t("means"), b.means_known ? t("known") : t("not_known")], [t("consents"), number(b.consents)], ...(b.paused_until ? [[t("paused"), b.paused_until]] : []), ...b.answers_for.map((p) => [t(p.role), [link("account", p.account), ` ${reachable(p.not_contacted)}`]]), ...b.disputed.map((d) => [t("disputed"), `${d.since} · ${d.accounts.join(", ")}`]), ...(maySee("audit") ? [[t("audit"), el("a", { href: `#/audit/${encodeURIComponent(b.borrower)}` }, t("looked"))]] : [])])),
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
  const reach = o.contact.channels.length ? comma(o.contact.words[spoken()], o.contact.days > 1 ? `${t("contact_days")} ${number(o.contact.days)}` : "", listed(o.contact.channels), o.contact.held_back ? `${t("held_back")} ${t(o.contact.held_back)}` : "") : t("none");
  const most = Math.max(1, ...o.options.flatMap((c) => c.schedule.map(([, p, i]) => p + i)));
  const recommended = o.options.find((c) => c.recommended);
  const summary = recommended ? `${number(o.options.length)} ${t("options")}; ${t("recommended")} ${optionName(recommended, o.currency)}` : mark("warn", t(o.kind === "pay_in_full" ? "pay_in_full" : "no_options"));
  return wide(comma(`${t("offer_of")} ${o.day}`, o.is === "open" ? `${t("open_until")} ${o.expires}` : t(`offer_${o.is}`)),
    el("details", { open }, el("summary", {}, summary),
      el("h3", {}, t("why_offer")), el("ul.reasons", {}, o.reasons.map((r) => el("li", {}, r))),
      o.options.length ? el("div.options", {}, o.options.map((c) => option(c, o.currency, most))) : null,
      o.options.length ? el("p.legend", {}, el("span.principal", {}), t("principal"), el("span.interest", {}), t("interest")) : null,
      el("h3", {}, t("message_to")), el("blockquote", {}, o.message),
      pairs([[t("accounts_of"), o.accounts.join(", ")], [t("contact"), reach], ...(o.not_applied ? [[t("not_applied"), o.not_applied.words[spoken()]]] : [])])));
}

const option = (c, currency, most) => el(`div.option${c.recommended ? ".recommended" : ""}`, {},
  el("p.big", {}, `${optionName(c, currency)} `, c.recommended ? mark("", t("recommended")) : null),
  pairs([[t("total"), money(c.total, currency), "n"], [t("rate"), `${(c.rate_bps / 100).toFixed(2)} %`, "n"], [t("waived"), money(c.waived, currency), "n"], ...(c.ends ? [[t("review_on"), c.review], [t("ends_on"), c.ends]] : [])]),
  c.schedule.length ? schedule(c, currency, most) : null, el("ul", {}, c.reasons.map((r) => el("li", {}, r))));

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
  // Between two points the days grow one a day, or stand still while a hold pauses; a fall happens on its day.
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
