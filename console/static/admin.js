// Rules, the learner, dead letters, and the audit.
import { mayDo, maySee } from "./access.js";
import { ask, bars, card, change, el, grid, link, mark, more, number, pairs, spoken, svg, t, table, tableRows, wide } from "./page.js";

export function rulesView(r) {
  const day = r.on ?? r.today, began = r.change ? `${t("since_change")} ${r.since}, ${r.change}` : `${t("began_with")} ${r.in_force}`;
  const later = r.changes.filter((c) => c.status === "later"), shown = r.changes.find((c) => c.id === r.change);
  return [el("h1", {}, t("rules"), r.on ? mark("warn", `${t("as_of")} ${r.on}`) : null), el("p.soft", {}, t("rules_how")),
    r.on ? el("p", {}, el("a", { href: "#/rules" }, t("rules_today"))) : null,
    r.texts_stored ? null : el("p.warn", {}, t("rules_not_kept")),
    wide(`${t("in_force")}${day ? ` ${day}` : ""}: ${began}`, table([t("place"), t("product"), t("pack")], r.book.map((b) => [any(b.jurisdictions), any(b.products.map(t)), b.packs.join(" + ")]), { 0: "text", 1: "text", 2: "text" }), shown ? movedBy(shown) : null),
    later.length && !r.on ? wide(t("rules_later"), later.map((c) => el("div", {}, el("h3", {}, rulesOf(c.effective_on), ` ${c.id} · ${c.source}`), movedBy(c)))) : null,
    ...r.packs.map((p) => {
      const open = p.rules.filter((x) => !x.verified).length, moved = p.rules.filter((x) => x.moved).length;
      return el("details.card.pack", {}, el("summary", {}, el("strong", {}, p.name), ` ${p.version} · ${spoken() === "zh" ? p.title_zh : p.title} `, mark("good", `${number(p.rules.length - open)} ${t("verified")}`), " ", open ? mark("warn", `${number(open)} ${t("unverified")}`) : null, " ", moved ? mark("", `${t("moved")}: ${number(moved)}`) : null),
        table([t("rule"), t("value"), t("checked"), t("source")], p.rules.map((x) => [x.path, x.moved ? el("span", {}, `${said(x.value)} `, mark("", wasBefore(x.moved))) : said(x.value), mark(x.verified ? "good" : "warn", t(x.verified ? "verified" : "unverified")), x.source]), { 1: "text", 3: "text" }));
    }),
    r.changes.length ? wide(t("policy_changes"), table([t("effective_on"), t("policy_change"), t("status"), t("moved"), t("pack"), t("decided")], r.changes.map((c) => [rulesOf(c.effective_on), c.id, t(`is_${c.status}`), c.moved_count === null ? "–" : number(c.moved_count), c.packs.join(" + "), `${c.source}, ${c.occurred_at.slice(0, 10)}`]), { 1: "text", 3: "n", 4: "text", 5: "text" })) : null].filter(Boolean);
}

const rulesOf = (day) => el("a", { href: `#/rules/${day}` }, day);
const said = (v) => (typeof v === "object" && v !== null ? JSON.stringify(v) : String(v));
const wasBefore = (m) => `${"before" in m ? `${t("was")} ${said(m.before)}` : t("new")}; ${m.change}, ${m.on}`;

// What a change moved: each rule before and after, for whom. A side that no pack says is a dash.
function movedBy(c) {
  if (c.moved === null) return null;
  if (!c.moved.length) return el("p.soft", {}, t("moved_none"));
  const side = (x) => (x === null ? "–" : el("span", {}, `${x.pack}: ${said(x.value)} `, x.verified ? null : mark("warn", t("unverified"))));
  const left = c.moved_count - c.moved.length;
  return el("details.moved", {}, el("summary", {}, `${c.id}. ${t("moved")}: ${number(c.moved_count)}`),
    table([t("rule"), t("before"), t("after"), t("place"), t("source")], c.moved.map((m) => [m.path, side(m.before), side(m.after), places(m.where), m.after === null ? "" : m.after.source]), { 1: "text", 2: "text", 3: "text", 4: "text" }),
    left ? el("p.soft", {}, `+ ${number(left)}`) : null);
}
const places = (where) => where.map(([j, p]) => (p === "*" ? any([j]) : `${any([j])} ${t(p)}`)).join(", ");

const any = (names) => names.map((n) => (n === "*" ? t("any") : n)).join(", ");

export function learnerView(l) {
  return [el("h1", {}, t("learner")), el("p.soft", {}, t("learner_how")), el("div.grid.two", {},
    card(t("version"), pairs([[t("version"), number(l.version), "n"], [t("rows"), number(l.rows), "n"], [t("guardrail"), l.tripped || t("none"), l.tripped ? "n.bad" : "n.good"]])),
    card(t("recommended_by"), Object.keys(l.arms).length ? bars(Object.entries(l.arms).map(([k, n]) => [`arm_${k}`, n])) : el("p.soft", {}, t("none"))),
    wide(t("weight"), l.weights.length ? table([t("figure"), t("value"), t("sure"), t("belief")], l.weights.map((w) => [t(`figure_${w.name}`), w.mean.toFixed(3), `± ${w.deviation.toFixed(3)}`, belief(w, l.weights)]), { 1: "n", 2: "n", 3: "text" }) : el("p", {}, t("learner_none"))),
    wide(`${t("recommendations")}${l.recommendations.rows.length < l.recommendations.count ? ` (${number(l.recommendations.rows.length)} / ${number(l.recommendations.count)})` : ""}`, el("p.soft", {}, t("recommendations_how")), table([t("whom"), t("days_past_due"), t("recommended_by"), t("kind"), t("recommended_of"), t("propensity"), t("taken")], l.recommendations.rows.map(recommendation), { 3: "text", 4: "n", 5: "n", 6: "n" })))];
}

const share = (x) => `${(100 * x).toFixed(0)} %`;
const recommendation = (x) => [`${x.jurisdiction === "other" ? t("any") : x.jurisdiction} ${t(x.product)}`, t(x.bucket), t(`arm_${x.arm}`), `${t(`term_${x.term}`)}, ${t(`shape_${x.shape}`)}, ${t(`relief_${x.relief}`)}`, `${number(x.recommended)} / ${number(x.shown)}`, share(x.propensity),
  x.rate === null ? "–" : `${number(x.accepted)} / ${number(x.answered)}: ${share(x.rate)} (${(100 * x.low).toFixed(0)}–${share(x.high)})`];

function belief(w, all) {
  const most = Math.max(...all.map((x) => Math.abs(x.mean) + x.deviation)), x = (v) => 100 + (95 * v) / most;
  return svg("svg", { viewBox: "0 0 200 12", class: "belief", "aria-hidden": "true" }, svg("line", { x1: 100, x2: 100, y1: 0, y2: 12, class: "axis" }),
    svg("line", { x1: x(w.mean - w.deviation), x2: x(w.mean + w.deviation), y1: 6, y2: 6, class: "range" }), svg("circle", { cx: x(w.mean), cy: 6, r: 3, class: "mean" }));
}

export function lettersView(l, again) {
  const left = l.letters.filter((x) => !x.replayed);
  // Of a code whose letters are not all here some may wait; sending in again those that were sent does nothing.
  const unseen = l.older !== null && l.replayed_count < l.count;
  const head = [t("code"), t("message"), t("topic"), t("again")];
  const rows = (letters) => letters.map((x) => [x.code, x.message, `${x.topic}/${x.partition}/${x.offset}`, x.replayed ? mark("good", t("replayed")) : !mayDo("replay_letters") ? "" : button(t("again_one"), () => again({ ids: [x.id] }, `${t("sure_one")} ${x.topic}/${x.partition}/${x.offset}`))]);
  const newest = table(head, rows(l.letters), { 1: "text" });
  const codes = Object.entries(l.by_code).map(([code, n]) => {
    const waits = unseen || left.some((x) => x.code === code);
    if (waits && !mayDo("replay_letters")) return [code, number(n), ""];
    return [code, number(n), waits ? button(t("again_all"), () => again({ code }, `${t("sure_all")} ${code}`)) : mark("good", t("replayed"))];
  });
  return [el("h1", {}, `${t("letters")} (${number(l.count)})`), el("p.soft", {}, t("replay_how")), el("p", { id: "result", role: "status" }),
    l.letters.length ? grid(
      wide(t("by_code"), table([t("code"), t("count"), t("again")], codes, { 1: "n" })),
      wide(`${t("letters_newest")} (${number(l.letters.length)})`, newest, more("letters", newest.querySelector("tbody"), l.older, async (place) => { const next = await ask(`/api/letters?before=${place}`); return [tableRows(head, rows(next.letters), { 1: "text" }), next.older]; }, l.count)))
      : el("p", {}, mark("good", t("letters_none")))];
}

// Who was shown whose data: the newest records, of all or of somebody, and whether each chain of them is whole.
export function auditView(a) {
  const find = (event) => { event.preventDefault(); location.hash = `#/audit/${encodeURIComponent(event.target.elements.who.value.trim())}`; };
  return [el("h1", {}, t("audit"), " ", a.broken_count ? mark("bad", `${number(a.broken_count)} ${t("chains_broken")}`) : mark("good", t("chains_whole"))), el("p.soft", {}, t("audit_how")),
    el("form.row.find", { onsubmit: find }, el("label", { for: "who" }, t("audit_who")), el("input", { id: "who", name: "who", value: a.who, maxlength: "200", autocomplete: "off" }), el("button", {}, t("find"))),
    grid(
      wide(`${a.who ? `${a.who}: ` : ""}${t("records_newest")} (${number(a.records.length)} / ${number(a.count)})`, table([t("when"), t("borrower"), t("looked"), t("purpose"), t("shown")], a.records.map((r) => [r.at, maySee("borrower") ? link("borrower", r.borrower) : r.borrower, r.who, t(`for_${r.purpose}`), shown(r.what)]), { 4: "text" })),
      wide(`${t("chains")} (${number(a.chain_count)})`, table([t("chain"), t("records"), t("when"), t("status")], a.chains.map((c) => [c.chain, number(c.records), c.at, c.broken ? mark("bad", c.broken) : mark("good", t("whole"))]), { 1: "n", 3: "text" })))];
}

// "means.region" and its like are named together; "readings 3" is what an erasure destroyed.
function shown(what) {
  const parts = new Map();
  for (const name of what) {
    const [kind, ...rest] = name.split(/[. ]/);
    parts.set(kind, [...(parts.get(kind) ?? []), ...rest.map(t)]);
  }
  return [...parts].map(([kind, names]) => (names.length ? `${t(kind)}: ${names.join(", ")}` : t(kind))).join("; ") || t("none");
}

const button = (text, act) => el("button", { type: "button", onclick: act }, text);

// Asks whether it is meant, sends letters in again, and says what came of it.
export function sender(redraw) {
  return (which, question) => {
    const ask_ = el("dialog", { "aria-labelledby": "question" }, el("p", { id: "question" }, question), el("p.soft", {}, t("sure_how")), el("form.row", { method: "dialog" }, el("button.main", { value: "yes" }, t("yes")), el("button", { value: "no" }, t("no"))));
    document.body.append(ask_);
    ask_.addEventListener("close", async () => {
      const meant = ask_.returnValue === "yes";
      ask_.remove();
      if (!meant) return;
      let said;
      try {
        const sent = await change("/api/letters/again", which);
        said = [sent.refused ? "warn" : "good", `${number(sent.sent)} ${t("sent_again")}, ${number(sent.before)} ${t("sent_before")}${sent.refused === undefined ? "" : `, ${number(sent.refused)} ${t("refused_anew")}`}`];
      } catch (error) {
        said = ["bad", error.message];
      }
      await redraw();
      const result = document.querySelector("#result");
      if (result) { result.className = said[0]; result.textContent = said[1]; }
    });
    ask_.showModal();
  };
}
