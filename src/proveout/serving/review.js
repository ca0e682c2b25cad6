// The review page: answer waiting cases by keyboard, pointer or touch.
//
// Every text of a document is set as text, never as HTML. A key acts only on the case that is shown: while a request is under way
// no key is taken, and a key that is held down answers one case. No letter alone has a consequence: it leads to the button, and
// Enter presses it.

const review = document.querySelector("#review");
const api = `${review.dataset.root}/api/v1`;
const the = (id) => document.getElementById(id);
const NARROW = matchMedia("(max-width: 800px)");
const ENLARGED = 2.2, STILL = 5, TAG = 15; // of the page's width; pixels that a click may move; pixels between two tags
const LISTED = 30; // cases of the queue
const AHEAD = 2; // cases that are loaded before they are needed

const loaded = new Map(); // case to a promise of what the server says of it
const words = new Map(); // case and page to a promise of its words
let queue = []; // cases still to answer that nobody else has
let listed = []; // all cases that wait, with who has them
let before = []; // cases shown before this one
let shown = null; // the case on the page, as the server described it
let rows = []; // its fields: {field, element, input, text, accepted}
let active = null; // the row that keys act on; null: all are accepted, and Enter approves
let last = ""; // the case answered last
let answered = 0;
let busy = false;
let enlarged = false;
let looked = 0; // the page of the field that was active last

// Asking the server

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(`${api}${path}`, options);
  if (response.status === 401) {
    location.assign(`${review.dataset.root}/login?next=${encodeURIComponent(`/review/${shown ? `?case=${shown.case}` : ""}`)}`);
  }
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), { status: response.status });
  return answer;
}

// What was asked before, or what is asked now; a question that failed is asked again.
function once(known, key, question) {
  if (!known.has(key)) {
    const answer = question();
    answer.catch(() => known.delete(key));
    known.set(key, answer);
  }
  return known.get(key);
}

const load = (id) => once(loaded, id, async () => {
  const one = await ask(`/cases/${id}/review`);
  const spot = one.fields.find((field) => !field.certain && field.spot)?.spot;
  if (one.pages.length) new Image().src = picture(id, spot?.page ?? 0);
  return one;
});

const picture = (id, page) => `${api}/cases/${id}/page/${page}.png`;

const wordsOf = (id, page) => once(words, `${id} ${page}`, async () => (await ask(`/cases/${id}/page/${page}.json`)).words);

// One thing at a time; a refusal is shown and nothing is lost.
async function during(work) {
  if (busy) return;
  busy = true;
  review.setAttribute("aria-busy", "true");
  try {
    problem("");
    await work();
  } catch (error) {
    problem(error.status ? error.message : "The server does not answer. Reload the page; it shows what was saved.");
    if (error.status === 409 && shown) {
      loaded.delete(shown.case);
      queue = await waiting().catch(() => queue);
      await show(shown.case).catch(() => {});
      if (!queue.includes(shown.case)) problem(`${error.message}. It no longer waits for you: n leads to the next case`);
    }
    const named = rows.find((row) => error.message?.startsWith(`${row.field.name}:`));
    if (named) edit(named);
  } finally {
    busy = false;
    review.removeAttribute("aria-busy");
  }
}

// Showing a case

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

async function show(id, holder = claim(id)) {
  the("status").textContent = "Loading the case …"; // the first one after a start takes seconds, because the release is opened
  holder = await holder;
  shown = await load(id);
  active = null;
  looked = 0;
  the("document").textContent = shown.document;
  the("because").textContent = shown.because;
  const kept = holder.assigned_to && `until ${time(holder.until)}`;
  the("holder").textContent = holder.yours ? `Kept for you ${kept}.` : kept && `${holder.assigned_to} has this case ${kept}. You may answer it, too; the first answer counts.`;
  rows = shown.fields.flatMap((field) => (field.items.length ? field.items.map((item, at) => graded(field, item, at)) : [row(field)]));
  const doubtful = rows.filter((one) => !one.field.certain);
  const certain = rows.filter((one) => one.field.certain);
  the("fields").replaceChildren(...doubtful.map((one) => one.element));
  const folded = shown.fields.filter((field) => field.certain).map((field) => ({ field })).map((one) => `${one.field.name} ${one.field.text || "none"}`).join(" · ");
  the("certain").hidden = !certain.length;
  the("certain").open = !doubtful.length;
  the("certain").querySelector("summary").textContent = `${certain.length} certain: ${folded}`;
  the("certain").querySelector("div").replaceChildren(...certain.map((one) => one.element));
  const named = shown.classes.map((name) => element("option", { value: name, textContent: name }));
  if (shown.blind) named.unshift(element("option", { value: "", textContent: "choose" }));
  the("document-class").replaceChildren(...named);
  the("document-class").value = shown.document_class;
  expected(shown.expected);
  reasons();
  pages();
  history.replaceState(null, "", `?case=${id}`);
  the("approve").hidden = false;
  the("approve").firstChild.textContent = shown.blind ? "Record my reading " : "Approve ";
  the("reject").hidden = shown.blind;
  status();
  // where nothing is in doubt, the amount is looked at before it is approved
  const first = doubtful[0] ?? certain.find((one) => one.field.kind === "amount" && one.text) ?? certain[0];
  if (first) doubted(first);
  activate(first ?? null);
  for (const next of queue.filter((one) => one !== id).slice(0, AHEAD)) load(next).catch(() => {});
}

function row(field) {
  const id = `field-${field.name}`;
  const input = element("input", { id, value: field.text, readOnly: true, placeholder: "not on this document", autocomplete: "off" });
  input.setAttribute("aria-describedby", `${id}-evidence`);
  const choices = field.suggestions.map((one, at) =>
    element("button", { type: "button", className: "quiet", onclick: () => take(made, at) }, element("kbd", {}, `${at + 1}`), ` ${one.text}`));
  choices.push(element("button", { type: "button", className: "quiet", onclick: () => accept(made) }, "Accept ", element("kbd", {}, "Enter")));
  const speaks = [...field.speaks_against.map((why) => `against: ${why}`), ...field.speaks_for.map((why) => `for: ${why}`)];
  const evidence = element("p", { id: `${id}-evidence`, className: "evidence" }, speaks.join("; "));
  const label = element("label", { htmlFor: id }, field.name);
  const sure = element("span", { className: "sure" }, field.sure || (field.text ? "" : "no value found"));
  const made = { field, input, text: field.text, spot: field.spot, accepted: field.certain, read: !shown.blind };
  made.element = element("div", { className: "field" }, label, input, sure, element("div", { className: "choices" }, ...choices), evidence);
  made.element.addEventListener("click", (event) => event.target.tagName !== "BUTTON" && active !== made && activate(made));
  input.addEventListener("focus", () => active !== made && activate(made, false));
  input.addEventListener("mousedown", () => input.readOnly && setTimeout(() => edit(made))); // not click: the row grows meanwhile
  input.addEventListener("blur", () => leave(made, true));
  return made;
}

// One item of a ranking, with the grade that a person gives it.
function graded(field, item, at) {
  const id = `field-${field.name}-${at}`;
  const input = element("input", { id, value: item.title || item.id, readOnly: true });
  const choices = [0, 1, 2, 3].map((grade) =>
    element("button", { type: "button", className: "quiet", onclick: () => rate(made, grade) }, element("kbd", {}, `${grade}`), [" does not fit", " related", " fits", " exactly"][grade]));
  choices.push(element("button", { type: "button", className: "quiet", onclick: () => accept(made) }, "Go on ", element("kbd", {}, "Enter")));
  const sure = element("span", { className: "sure" }, gradeText(item.grade));
  const made = { field, item, input, sure, grade: item.grade, text: field.text, spot: null, accepted: field.certain, read: !shown.blind };
  made.element = element("div", { className: "field" }, element("label", { htmlFor: id }, `${field.name} ${at + 1}`), input, sure, element("div", { className: "choices" }, ...choices));
  made.element.addEventListener("click", (event) => event.target.tagName !== "BUTTON" && active !== made && activate(made));
  input.addEventListener("focus", () => active !== made && activate(made, false));
  return made;
}
const gradeText = (grade) => (grade === "" ? "no grade" : `grade ${grade}`);

function rate(one, grade) {
  if (!one?.item) return;
  one.grade = `${grade}`;
  one.read = true;
  one.sure.textContent = gradeText(one.grade);
  doubted(one);
  activate(one);
  foresee();
}

function expected(lines) {
  const parts = lines.map((line) => element("div", { className: line.good ? "" : "bad" }, line.good ? `Approve → ${line.text}` : line.text));
  the("expected").replaceChildren(...shown.effects.map((text) => element("div", { title: text }, text.split(": ")[0])), ...parts);
}

function reasons() {
  const list = (title, items) => items.length ? [element("h2", {}, title), element("ul", {}, ...items)] : [];
  const item = (text, good = true) => element("li", { className: good ? "" : "bad" }, text);
  const checks = shown.checks.toSorted((a, b) => (a.passed !== false) - (b.passed !== false));
  the("reasons").querySelector("div").replaceChildren(
    ...list("Checks", checks.map((check) => item(`${check.name}: ${check.because}`, check.passed !== false))),
    ...list("Similar cases", shown.similar.map((text) => item(text))),
    ...list("Since then (UTC)", shown.since.map((text) => item(text))),
  );
  the("reasons").open = checks[0]?.passed === false || shown.since.length > 0;
}

function status() {
  const left = `${queue.length} ${queue.length === 1 ? "case waits" : "cases wait"} for you`;
  the("status").textContent = `${left}; you answered ${answered} here.`;
}

function problem(text) {
  the("problem").hidden = !text;
  the("problem").textContent = text;
}

// The pages and what is marked on them

function pages() {
  const sheets = shown.pages.map((size, number) => {
    const image = element("img", { alt: `page ${number + 1}`, loading: "lazy", src: picture(shown.case, number), draggable: false });
    const paper = element("div", { className: "paper" }, image);
    paper.style.aspectRatio = `${size.width} / ${size.height}`;
    pickable(paper, number);
    return element("div", { className: "page" }, paper);
  });
  const rest = shown.more_pages ? element("p", { className: "soft" }, `and ${shown.more_pages} more pages`) : null;
  const frame = shown.pages.length ? null : element("iframe", { title: "the case", src: `${review.dataset.root}/cases/${shown.case}/shown` });
  the("sheet").replaceChildren(...sheets, ...[rest, frame].filter(Boolean));
  zoom(NARROW.matches);
}

function marks() {
  const drawn = [
    ...shown.anomalies.map((one) => ({ spot: one.spot, name: one.because, kind: "anomaly" })),
    ...rows.map((one) => ({ spot: one.spot, name: one.field.name, kind: `${one.field.certain ? "certain" : ""} ${one === active ? "active" : ""}` })),
  ].filter((mark) => mark.spot && mark.spot.page < shown.pages.length);
  for (const old of the("sheet").querySelectorAll(".mark, .tag")) old.remove();
  const sheets = the("sheet").querySelectorAll(".page");
  const lowest = new Map(); // page to where its last tag ends
  for (const mark of drawn.toSorted((a, b) => a.spot.page - b.spot.page || a.spot.box.y0 - b.spot.box.y0)) {
    const { page, box } = mark.spot, size = shown.pages[page], paper = sheets[page].firstElementChild;
    const frame = element("b", { className: `mark ${mark.kind}`, title: mark.name });
    place(frame, { x0: box.x0 - 2, y0: box.y0 - 2, x1: box.x1 + 2, y1: box.y1 + 2 }, size);
    paper.append(frame);
    const top = Math.max((paper.clientHeight * box.y0) / size.height, lowest.get(page) ?? 0);
    lowest.set(page, top + TAG);
    const tag = element("span", { className: `tag ${mark.kind}`, title: mark.name }, mark.name);
    tag.style.top = `${top}px`;
    sheets[page].append(tag);
  }
}

function place(frame, box, size) {
  const share = (value, whole) => `${(100 * value) / whole}%`;
  Object.assign(frame.style, {
    left: share(box.x0, size.width), top: share(box.y0, size.height),
    width: share(box.x1 - box.x0, size.width), height: share(box.y1 - box.y0, size.height),
  });
}

function zoom(to) {
  enlarged = to;
  the("sheet").style.setProperty("--zoom", to ? ENLARGED : 1);
  marks();
  centre();
}

function centre() {
  const frame = the("sheet").querySelector(".mark.active");
  if (!frame) return;
  const viewer = the("viewer"), outer = viewer.getBoundingClientRect(), inner = frame.getBoundingClientRect();
  viewer.scrollBy({
    left: inner.left + inner.width / 2 - outer.left - outer.width / 2,
    top: inner.top + inner.height / 2 - outer.top - outer.height / 2,
  });
}

// A click takes the word under it; a frame drawn with the pointer takes all words inside.
function pickable(paper, number) {
  let from = null, frame = null;
  const point = (event) => {
    const box = paper.getBoundingClientRect(), size = shown.pages[number];
    return { x: ((event.clientX - box.left) / box.width) * size.width, y: ((event.clientY - box.top) / box.height) * size.height };
  };
  const around = (a, b) => ({ x0: Math.min(a.x, b.x), y0: Math.min(a.y, b.y), x1: Math.max(a.x, b.x), y1: Math.max(a.y, b.y) });
  const end = () => { frame?.remove(); from = frame = null; };
  paper.addEventListener("pointerenter", () => wordsOf(shown.case, number).catch(() => {}), { once: true });
  paper.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault(); // the field keeps the focus
    from = { ...point(event), clientX: event.clientX, clientY: event.clientY };
  });
  paper.addEventListener("pointermove", (event) => {
    if (!from || event.pointerType === "touch" || Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) < STILL) return;
    if (!frame) { frame = element("b", { className: "mark frame" }); paper.append(frame); paper.setPointerCapture(event.pointerId); }
    place(frame, around(from, point(event)), shown.pages[number]);
  });
  paper.addEventListener("pointerup", async (event) => {
    if (!from) return;
    const drawn = frame ? around(from, point(event)) : null, at = point(event), target = active, id = shown.case;
    end();
    const all = await wordsOf(id, number).catch(() => []);
    const middle = ({ box }) => ({ x: (box.x0 + box.x1) / 2, y: (box.y0 + box.y1) / 2 });
    const inside = (box, { x, y }) => box.x0 <= x && x <= box.x1 && box.y0 <= y && y <= box.y1;
    const taken = drawn ? all.filter((word) => inside(drawn, middle(word))) : all.filter((word) => inside(word.box, at)).slice(0, 1);
    if (!taken.length || !target || shown.case !== id) return;
    const of = (side) => taken.map((word) => word.box[side]);
    const box = { x0: Math.min(...of("x0")), y0: Math.min(...of("y0")), x1: Math.max(...of("x1")), y1: Math.max(...of("y1")) };
    change(target, taken.map((word) => word.text).join(" "), { page: number, box });
  });
  paper.addEventListener("pointercancel", end);
}

// Changing and accepting values

function activate(one, focus = true) {
  active = one;
  looked = one?.spot?.page ?? looked;
  for (const other of rows) other.element.classList.toggle("active", other === one);
  if (one?.field.certain) the("certain").open = true;
  marks();
  centre();
  if (focus) (one ? one.input : the("approve")).focus({ preventScroll: true });
  one?.element.scrollIntoView({ block: "nearest" });
}

function change(one, text, spot = null) {
  if (one.item) return;
  leave(one, false);
  one.text = one.input.value = text;
  one.spot = spot;
  one.read = true;
  doubted(one);
  activate(one);
  foresee();
}

function doubted(one) {
  one.accepted = false;
  one.element.classList.remove("accepted");
}

function take(one, at) {
  if (one?.item) return rate(one, at + 1);
  const value = one?.field.suggestions[at];
  if (value) change(one, value.text, value.spot);
}

function edit(one) {
  if (!one || one.item) return;
  if (active !== one) activate(one, false);
  doubted(one);
  one.input.readOnly = false;
  one.input.focus();
  one.input.select();
}

// End editing, with the change kept or dropped.
function leave(one, keep) {
  if (one.input.readOnly) return;
  one.input.readOnly = true;
  if (!keep) one.input.value = one.text;
  else if (one.input.value !== one.text) {
    one.text = one.input.value;
    one.spot = null;
    one.read = true;
    marks();
    foresee();
  }
}

function accept(one) {
  if (!one) return approve();
  leave(one, true);
  if (!one.read && one.item) return problem(`${one.item.title}: give it a grade, 0 to 3.`);
  if (!one.read) return problem(`${one.field.name}: click it on the page, or press e to type it; Delete says that it is not there.`);
  problem("");
  one.accepted = true;
  one.element.classList.add("accepted");
  const next = rows.find((other) => !other.accepted);
  return next ? activate(next) : approve();
}

function values() {
  const given = Object.fromEntries(rows.map((one) => [one.field.name, one.text]));
  for (const field of shown.fields.filter((one) => one.items.length)) {
    const grades = rows.filter((one) => one.field === field && one.grade !== "");
    if (grades.length) given[field.name] = grades.map((one) => `${encodeURIComponent(one.item.id)}=${one.grade}`).join(" | ");
  }
  return given;
}
const reading = () => ({ values: values(), document_class: the("document-class").value });
const answer = () => ({ digest: shown.digest, values: values(), document_class: the("document-class").value });

// What an approval would lead to now that a value has changed. A value that cannot be right is said at once.
let foreseeing = 0;
async function foresee() {
  if (shown.blind) return;
  const mine = ++foreseeing, id = shown.case;
  try {
    const { lines } = await ask(`/cases/${id}/expected`, answer());
    if (mine === foreseeing && shown.case === id) { problem(""); expected(lines); }
  } catch (error) {
    if (mine === foreseeing && shown.case === id && error.status === 422) problem(error.message);
  }
}

// Answering

function approve() {
  if (!pictured()) return problem("The page is still loading; look at it, then approve.");
  if (!shown.blind) return send("approve", answer());
  const open = rows.find((one) => !one.read);
  if (open) return accept(open);
  if (!the("document-class").value) { the("document-class").focus(); return problem("class: choose the class of the document."); }
  return send("second", reading());
}
const reject = () => !shown.blind && send("reject", { digest: shown.digest });

// Whether the page that was looked at last is there. One that cannot be drawn does not keep anybody waiting.
const pictured = () => the("sheet").querySelectorAll("img")[looked]?.complete ?? true;

function send(how, body) {
  foreseeing++; // what was foreseen no longer matters
  return during(async () => {
    const { case: id, document: name } = shown;
    const receipt = await ask(`/cases/${id}/${how}`, body);
    loaded.delete(id);
    last = how === "second" ? "" : id; // a reading has no consequence to undo
    answered++;
    queue = queue.filter((one) => one !== id);
    before.push(id);
    await next().finally(() => told(`${name} ${receipt.what}`, receipt));
  });
}

function told(what, receipt) {
  the("receipt").hidden = false;
  the("undo").hidden = !last;
  the("outcome").textContent = [what, ...receipt.lines].join("; ");
}

async function next() {
  while (queue.length || (queue = await waiting()).length) {
    const holder = await claim(queue[0]);
    if (holder.yours || !holder.assigned_to) return show(queue[0], holder);
    queue.shift();
  }
  shown = null;
  rows = [];
  active = null;
  history.replaceState(null, "", location.pathname);
  the("document").textContent = "Nothing waits for you";
  the("because").textContent = "The next proveout run and proveout build use your answers.";
  the("holder").textContent = "";
  for (const id of ["fields", "sheet", "expected", "document-class"]) the(id).replaceChildren();
  the("certain").hidden = the("approve").hidden = true;
  the("reasons").open = false;
  the("reasons").querySelector("div").replaceChildren();
  status();
}

const claim = (id) => ask(`/cases/${id}/take`, {});

async function waiting() {
  listed = (await ask(`/reviews?order=${the("order").value}`)).cases;
  the("queue").querySelector("summary").textContent = `Queue: ${listed.length}, ${listed.filter(others).length} of them with others`;
  const line = (one) => element("li", {}, element("a", { href: `?case=${one.case}` }, one.document), one.assigned_to && ` with ${one.yours ? "you" : one.assigned_to} until ${time(one.until)}`);
  the("queue").querySelector("ol").replaceChildren(...listed.slice(0, LISTED).map(line));
  return listed.filter((one) => !others(one)).map((one) => one.case);
}

const others = (one) => one.assigned_to && !one.yours;

// The time of day, with the day unless it is today.
function time(moment) {
  const at = new Date(moment), today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString([], { ...(today ? {} : { month: "short", day: "numeric" }), hour: "2-digit", minute: "2-digit" });
}

const later = () => shown && during(async () => {
  await ask(`/cases/${shown.case}/put_back`, {}).catch(() => {}); // somebody else has it
  queue = [...queue.filter((id) => id !== shown.case), shown.case];
  before.push(shown.case);
  await next();
});

const back = () => before.length && during(() => show(before.pop()));

const undo = () => last && during(async () => {
  loaded.delete(last);
  const { document: name, digest, undoable } = await load(last);
  if (undoable) {
    const receipt = await ask(`/cases/${last}/undo`, { digest });
    loaded.delete(last);
    told(`${name} undone`, receipt);
  } else told(`${name} is open again; your answer counts until you give another`, { lines: [] });
  if (!queue.includes(last)) queue.unshift(last);
  await show(last);
});

function move(step) {
  const visible = rows.filter((one) => !one.field.certain || the("certain").open);
  activate(visible[(visible.indexOf(active) + step + visible.length) % visible.length] ?? active);
}

function fold() {
  the("certain").open = !the("certain").open;
  if (!the("certain").open && active?.field.certain) activate(rows.find((one) => !one.accepted) ?? null);
}

// Keys

const KEYS = {
  Enter: () => shown && accept(active),
  0: () => rate(active, 0),
  1: () => take(active, 0),
  2: () => take(active, 1),
  3: () => take(active, 2),
  e: () => edit(active),
  F2: () => edit(active),
  Delete: () => active && change(active, ""),
  Backspace: () => active && change(active, ""),
  ArrowDown: () => rows.length && move(1),
  ArrowUp: () => rows.length && move(-1),
  f: fold,
  a: () => the("approve").focus(),
  r: () => the("reject").focus(),
  u: () => the("undo").focus(),
  n: later,
  b: back,
  z: () => shown && zoom(!enlarged),
  "?": () => the("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || the("keys").open) return;
  const row = rows.find((one) => one.input === target);
  if (row && !row.input.readOnly) {
    if (key === "Escape") { leave(row, false); event.preventDefault(); }
    if (key === "Enter" && !event.repeat && !busy) { event.preventDefault(); accept(row); }
    return;
  }
  const own = { SELECT: /./, A: /^Enter$/, BUTTON: /^(Enter| )$/, SUMMARY: /^(Enter| )$/ }[target.tagName];
  if (own?.test(key) || !(key in KEYS)) return;
  event.preventDefault();
  if (!busy && !event.repeat) KEYS[key]();
});

const BUTTONS = { approve: () => shown && approve(), reject: () => shown && reject(), undo, later, back, zoom: KEYS.z, help: KEYS["?"] };
for (const [id, press] of Object.entries(BUTTONS)) the(id).addEventListener("click", () => !busy && press());
the("document-class").addEventListener("change", foresee);
the("document-class").addEventListener("keydown", (event) => event.key === "Enter" && activate(active));
the("order").addEventListener("change", function reorder() {
  if (busy) setTimeout(reorder, 100);
  else during(async () => { queue = await waiting(); await next(); });
});
the("keys").addEventListener("close", () => activate(active));
the("queue").addEventListener("toggle", () => the("queue").open && waiting().catch(() => {}));
addEventListener("resize", () => shown && marks());

// Start: the case of the address, or the first that waits

during(async () => {
  const wanted = new URLSearchParams(location.search).get("case");
  queue = await waiting();
  review.hidden = false;
  the("loading").hidden = true;
  if (!wanted) return next();
  await show(wanted).catch(async (error) => {
    await next();
    problem(`The case ${wanted.slice(0, 64)} cannot be shown: ${error.message}. This is the first that waits.`);
  });
});
