// What all views are made of: words, numbers, elements.
import { WORDS } from "./words.js";

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
export const spoken = () => language;
export function speak(next) { language = next; localStorage.setItem("language", next); }

const locale = () => (language === "zh" ? "zh-CN" : "en");
export const t = (key) => WORDS[language][key] ?? String(key).replaceAll("_", " ");
export const number = (n) => new Intl.NumberFormat(locale()).format(n);
// ISO 4217, as in state/currencies.py; Intl has CLDR's, which differ.
const DECIMALS = [
  [0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"],
  [3, "BHD IQD JOD KWD LYD OMR TND"],
  [4, "CLF UYW"],
];
const digits = (currency) => (DECIMALS.find(([, codes]) => currency && codes.split(" ").includes(currency)) ?? [2])[0];
// An arrangement for a time has a name; a plan is so many payments of so much.
export const optionName = (o, currency) => (o.arrangement === "repayment" ? `${o.months} × ${money(o.amount, currency)}` : [t(o.arrangement), o.amount ? money(o.amount, currency) : ""].filter(Boolean).join(" "));
export const money = (minor, currency) => `${amount(minor, currency)} ${currency ?? ""}`.trim();
// For tables that name the currency once.
export function amount(minor, currency) {
  const places = digits(currency);
  return new Intl.NumberFormat(locale(), { minimumFractionDigits: places, maximumFractionDigits: places }).format(minor / 10 ** places);
}
export function ago(seconds) {
  const [n, unit] = seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : seconds < 129600 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
  return new Intl.RelativeTimeFormat(locale(), { numeric: "always" }).format(-Math.max(0, Math.round(n)), unit);
}

// Everything that comes from events is put in as text, never as markup.
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(made.style, value);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return made;
}
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((c) => c !== null));
  return made;
}
export const card = (title, ...children) => el("section.card", {}, el("h2", {}, title), ...children);
export const wide = (title, ...children) => el("section.card.wide", {}, el("h2", {}, title), ...children);
export const grid = (...children) => el("div.grid", {}, ...children);
export const none = () => el("p.soft", {}, t("none"));
export const link = (kind, id) => el("a", { href: `#/${kind}/${encodeURIComponent(id)}` }, id);
export const mark = (kind, text) => el(`span.mark${kind ? `.${kind}` : ""}`, {}, text);
export const pairs = (rows) => el("dl", {}, rows.flatMap(([name, value, kind]) => [el("dt", {}, name), el(kind ? `dd.${kind}` : "dd", {}, value)]));

// kinds: by column, "n" for numbers and "text" for what may be broken into lines: then a telephone shows rows as blocks.
export function table(head, rows, kinds = {}) {
  if (!rows.length) return none();
  const cell = cellOf(kinds);
  return el("div.scroll", { tabindex: "0", role: "group", "aria-label": head.filter(Boolean).join(", ") }, el(`table${Object.values(kinds).includes("text") ? ".stack" : ""}`, {},
    el("thead", {}, el("tr", {}, head.map((h, i) => (h ? cell("th", i, { scope: "col" }, h) : el("td", {}))))),
    el("tbody", {}, tableRows(head, rows, kinds))));
}
const cellOf = (kinds) => (tag, i, attributes, value) => el(`${tag}${kinds[i] ? `.${kinds[i]}` : ""}`, attributes, value);
export const tableRows = (head, rows, kinds = {}) => rows.map((row) => el("tr", {}, row.map((value, i) => cellOf(kinds)("td", i, { "data-head": head[i] }, value))));

// How often more was asked for of each list of the view, so that a view that is drawn again shows as much as before.
const asked = new Map(), answers = new Map();
export function forget() { asked.clear(); answers.clear(); }
// What happened long ago does not change while one looks at it: drawn again, in another language, it is not asked anew.
export async function askOnce(path) {
  if (!answers.has(path)) answers.set(path, await ask(path));
  return answers.get(path);
}

// A button that appends what is older to a list. older: from where on, null where there is nothing; load: asks for it and
// returns the new elements and where still older ones begin; count: how many there are in all.
export function more(name, list, older, load, count) {
  if (older === null) return null;
  const told = el("span.soft", { role: "status" }), button = el("button", { type: "button" }, t("older"));
  const says = () => { told.textContent = `${number(list.children.length)} / ${number(count)}`; };
  const next = async () => {
    const [made, further] = await load(older);
    list.append(...made);
    older = further;
    says();
    if (older === null) {
      // Whoever asked by keyboard goes on where the list does.
      const focused = document.activeElement === button;
      button.remove();
      if (focused && made.length) { made[0].setAttribute("tabindex", "-1"); made[0].focus(); }
    }
  };
  let busy = false;
  const several = async (times) => {
    if (busy) return;
    busy = true;
    try {
      for (let n = 0; n < times && older !== null; n++) await next();
    } catch (error) {
      told.textContent = error.message;
    }
    busy = false;
  };
  button.addEventListener("click", () => { if (!busy) { asked.set(name, (asked.get(name) ?? 0) + 1); several(1); } });
  says();
  several(asked.get(name) ?? 0);
  return el("p.more", {}, button, " ", told);
}
export function bars(rows, kind = () => "") {
  const most = Math.max(1, ...rows.map(([, n]) => n));
  return el("ol.steps", {}, rows.map(([key, n]) => el("li", {}, el("span", {}, t(key)), el("span.n", {}, number(n)),
    el("span.track", { "aria-hidden": "true" }, el(`span.bar${kind(key)}`, { style: { width: `${(100 * n) / most}%` } })))));
}

export async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}
export async function change(path, body) {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}
