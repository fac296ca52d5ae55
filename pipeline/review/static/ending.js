// Hides what is said when nothing is left to look at.

import { get } from "./api.js";
import { button, counted, h, lasting, number } from "./dom.js";

/** The parts of the page after the last one. */
export async function endOfQueue(ended, { again, audit, undo, hint = "", looked = 0 }) {
  const others = looked ? 0 : (ended?.waiting_on ?? 0);
  const [session, progress] = await Promise.all([sessionOf(), get("progress").catch(() => null)]);
  const title = others ? "The rest is in other hands" : "Nothing is left here";
  return [
    h("h2", {}, title),
    others ? h("p", {}, `Still on pages of others, or of your other tabs: ${counted(others, "crop")}. What they give back comes here by itself.`) : null,
    hint && !others ? h("p", {}, hint) : null,
    session,
    progress?.unseen ? offer(progress, audit) : null,
    h("p", { class: "row" }, button("Look again", again), button("Undo the last page", undo), h("a", { href: "/stats" }, "The report of this session")),
  ];
}

async function sessionOf() {
  const { session } = await get("stats").catch(() => ({}));
  if (!session?.crops) return null;
  const pace = session.per_hour ? `, ${number(session.per_hour)} an hour` : "";
  return h("p", { class: "done" }, `You decided on ${counted(session.crops, "crop")} in ${lasting(session.minutes * 60)}${pace}; ${number(session.rejected)} of them are no faces.`);
}

function offer({ unseen, audit: known }, audit) {
  const before = known?.n ? ` ${number(known.n)} are looked at already.` : "";
  return h("div", { class: "offer" },
    h("h3", {}, "How good is what nobody looked at?"),
    h("p", {}, `${counted(unseen, "crop")} would be in the next release without anybody having looked at them. 300 chosen by chance say how many of them are false: if none is, then at most 1 % are.${before}`),
    button("Look at 300 chosen by chance", audit, { class: "main" }));
}

/** The parts of the page after an audit. */
export async function endOfAudit(others) {
  const { audit } = await get("progress");
  return [
    h("h2", {}, "The audit is done"),
    h("p", { class: "done" }, audit ? auditWords(audit) : "There was nothing that nobody had looked at."),
    others ? h("p", {}, `On pages of others just now, so that chance could not choose them: ${counted(others, "crop")}.`) : null,
    h("p", { class: "row" }, h("a", { href: "/grid" }, "Back to the review"), h("a", { href: "/stats" }, "The report of this session")),
  ];
}

/** What an audit says, in a sentence. */
export const auditWords = ({ n, false: wrong, at_most: most, population }) =>
  `Of ${counted(n, "crop")} chosen by chance ${number(wrong)} ${wrong === 1 ? "is" : "are"} false: with 95 % certainty at most ${(most * 100).toFixed(1)} % of the ${number(population)} that nobody had looked at.`;
