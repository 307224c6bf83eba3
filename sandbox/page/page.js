// Shows what the sandbox says twice a second, and passes on what a person presses. It keeps no
// figures: texts and paths come ready to be shown, and lists have an end.

const SIGNS = { well: "✓", busy: "…", ill: "✗" };
const PLACES = {
  JumpCloud: "To JumpCloud",
  events: "With events",
  intake: "To the intake",
  connector: "To the connector's process",
};
const MOST_LINES = 200;

const byId = (id) => document.getElementById(id);
const slots = (name) =>
  new Map([...document.querySelectorAll(`[data-${name}]`)].map((e) => [e.dataset[name], e]));
const texts = slots("text");
const states = slots("state");
const figures = slots("figure");
const charts = new Map();
const harms = new Map();
const incidents = new Map();
let run = 0;
let isNew = false; // what was there before is shown, and not announced
let said = "";

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function draw(path, d) {
  if (path.getAttribute("d") !== d) path.setAttribute("d", d);
}

function copyOf(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

function showState(element, { tone, word }) {
  write(element, `${SIGNS[tone]} ${word}`);
  element.classList.remove("well", "busy", "ill");
  element.classList.add(tone);
}

// A screen reader hears what changed in kind, not each figure.
function announce(text) {
  if (text !== said) byId("announcer").textContent = said = text;
}

async function ask(method, path, content) {
  try {
    const body = content && JSON.stringify(content);
    const answer = await fetch(path, { method, body });
    const told = await answer.json();
    return answer.ok ? "" : told.message;
  } catch {
    return "The sandbox does not answer: its run has ended.";
  }
}

function offerHarm(harm) {
  const form = copyOf("of-harm");
  const [does, answer, done] = form.querySelectorAll("p");
  const button = form.querySelector("button");
  const select = form.querySelector("select");
  form.dataset.harm = harm.name;
  write(button, harm.title);
  write(form.querySelector(".unseen"), `How much of it: ${harm.title}`);
  for (const [name, value] of Object.entries(harm.choices)) select.add(new Option(name, value));
  select.disabled = Object.keys(harm.choices).length < 2;
  write(does, harm.does);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    const refused = await ask("POST", `/api/harms/${harm.name}`, { amount: Number(select.value) });
    write(answer, refused);
    if (refused) announce(refused);
  });
  form.hidden = harm.to_one; // until it is known that there are several
  harms.set(harm.name, { form, button, answer, done });
  return form;
}

function offerHarms(offered) {
  for (const [place, heading] of Object.entries(PLACES)) {
    const group = document.createElement("div");
    const title = document.createElement("h3");
    write(title, heading);
    const forms = offered.filter((harm) => harm.place === place).map(offerHarm);
    group.append(...forms);
    group.className = "harms";
    byId("harms").append(title, group);
  }
}

function offerScenario(scenario) {
  const line = copyOf("of-scenario");
  const button = line.querySelector("button");
  write(button, scenario.title);
  write(line.querySelector("span"), scenario.story);
  button.addEventListener("click", async () => {
    const refused = await ask("POST", `/wishes/${scenario.name}`);
    announce(refused || `${scenario.title}: it begins when this run has its verdict.`);
  });
  byId("scenarios").append(line);
}

function offerChart({ name, title, lines }) {
  const figure = copyOf("of-chart");
  const svg = figure.querySelector("svg");
  const paths = lines.map((_, place) => {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("class", `line-${place + 1}`);
    svg.append(path);
    return path;
  });
  const keys = lines.length < 2 ? [] : lines;
  figure.querySelector("ul").append(
    ...keys.map((line, place) => {
      const key = copyOf("of-key");
      key.querySelector("path").setAttribute("class", `line-${place + 1}`);
      write(key.querySelector("span"), line);
      return key;
    }),
  );
  if (!keys.length) figure.querySelector("ul").remove();
  write(figure.querySelector("strong"), title);
  const [top, summary] = figure.querySelectorAll("small");
  charts.set(name, { svg, paths, top, summary, title, bands: figure.querySelector(".bands") });
  byId("charts").append(figure);
}

function showChart(shown) {
  const chart = charts.get(shown.name);
  if (!chart) return;
  draw(chart.bands, shown.bands);
  shown.lines.forEach((d, place) => draw(chart.paths[place], d));
  write(chart.top, `top: ${shown.top}`);
  write(chart.summary, shown.summary);
  chart.svg.setAttribute("aria-label", `${chart.title}. ${shown.summary}`);
}

function cardOf(incident) {
  const card = copyOf("of-incident");
  const button = card.querySelector("button");
  card.id = `incident-${incident.number}`;
  write(card.querySelector("h3"), incident.title);
  write(card.querySelector(".faint"), `${incident.does} ${incident.should}`);
  button.setAttribute("aria-label", `End it now: ${incident.title}`);
  button.addEventListener("click", () => ask("DELETE", `/api/incidents/${incident.number}`));
  byId("incidents").prepend(card);
  incidents.set(incident.number, card);
  return card;
}

// Beside the button that was pressed, since the account may be out of sight.
function showLatest(incident) {
  const { done } = harms.get(incident.harm);
  const link = done.querySelector("a");
  showState(done.querySelector(".state"), { tone: incident.tone, word: incident.state });
  link.setAttribute("href", `#incident-${incident.number}`);
  write(link, incident.told.length ? incident.told.at(-1) : `${incident.title}: what it does`);
  done.hidden = false;
}

function showIncident(incident) {
  const card = incidents.get(incident.number) ?? cardOf(incident);
  const button = card.querySelector("button");
  if (card.dataset.state !== incident.state) {
    card.dataset.state = incident.state;
    showState(card.querySelector(".state"), { tone: incident.tone, word: incident.state });
    showLatest(incident);
    if (!isNew) announce([`${incident.title}: ${incident.state}.`, ...incident.told.slice(-2)].join(" "));
  }
  if (button && !incident.can_end) {
    if (document.activeElement === button) card.querySelector("h3").focus();
    button.remove();
  }
  const list = card.querySelector("ul");
  if (list.children.length !== incident.told.length) {
    list.replaceChildren(
      ...incident.told.map((sentence) => {
        const item = document.createElement("li");
        write(item, sentence);
        return item;
      }),
    );
  }
}

function showIncidents(shown) {
  byId("no-incidents").hidden = shown.length > 0;
  shown.forEach(showIncident);
  const numbers = new Set(shown.map((incident) => incident.number));
  for (const [number, card] of incidents) {
    if (numbers.has(number)) continue;
    card.remove();
    incidents.delete(number);
  }
}

function showLines(lines) {
  const log = byId("log");
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  for (const { after, level, message, poll } of lines) {
    const item = document.createElement("li");
    item.className = poll ? "poll" : level;
    write(item, `${after} ${level} ${message}`);
    log.append(item);
  }
  while (log.children.length > MOST_LINES) log.firstElementChild.remove();
  if (lines.length && isAtEnd) log.scrollTop = log.scrollHeight;
}

function showCourse({ ends_in_seconds: left, outcome, good, report }) {
  const course = byId("course");
  const isAsking = left !== null && !outcome;
  if (!isAsking) {
    write(course, outcome ? "This run is over." : "");
  } else {
    if (!course.querySelector("button")) {
      const button = document.createElement("button");
      button.type = "button";
      write(button, "Keep it running");
      button.addEventListener("click", () => ask("POST", "/wishes/stay"));
      course.replaceChildren(document.createElement("span"), " ", button);
    }
    const text = left ? `It ends by itself in ${left} s.` : "It ends when all has arrived.";
    write(course.querySelector("span"), text);
  }
  byId("outcome").hidden = !outcome;
  if (outcome) {
    showState(byId("outcome"), { tone: good ? "well" : "ill", word: outcome });
    announce(`This run is over. ${outcome}`);
  }
  byId("report").hidden = !report;
  if (report) byId("report").querySelector("a").setAttribute("href", `/reports/${report}`);
}

function showOrganizations(shown) {
  byId("organizations").hidden = byId("to-organizations").hidden = !shown;
  if (!shown) return;
  showState(states.get("organizations"), shown);
  const body = byId("organizations").querySelector("tbody");
  while (body.children.length > shown.rows.length) body.lastElementChild.remove();
  while (body.children.length < shown.rows.length) body.append(copyOf("of-organization"));
  shown.rows.forEach((row, place) => {
    const [name, state, published, accepted, lag] = body.children[place].children;
    write(name, row.name);
    showState(state, row);
    write(published, row.published);
    write(accepted, row.accepted);
    write(lag, row.lag);
  });
  write(byId("organizations").querySelector(".more"), shown.more);
}

function beginAnew(number) {
  run = number;
  byId("log").replaceChildren();
  byId("incidents").replaceChildren();
  incidents.clear();
  for (const { done } of harms.values()) done.hidden = true;
}

function show(content) {
  isNew = content.run !== run;
  if (isNew) beginAnew(content.run);
  for (const name of ["title", "story"]) write(texts.get(name), content[name]);
  write(texts.get("detail"), content.verdict.detail);
  showState(states.get("verdict"), content.verdict);
  for (const [name, state] of Object.entries(content.states)) showState(states.get(name), state);
  for (const [name, text] of Object.entries(content.figures)) {
    const slot = figures.get(name);
    if (slot) write(slot, text);
  }
  showOrganizations(content.organizations);
  for (const [name, harm] of harms) {
    const reason = content.missing[name];
    harm.form.hidden = reason === undefined;
    if (harm.form.hidden) continue;
    harm.button.setAttribute("aria-disabled", String(Boolean(reason)));
    harm.answer.classList.toggle("faint", Boolean(reason));
    if (reason) write(harm.answer, reason);
    else if (harm.wasMissing) write(harm.answer, "");
    harm.wasMissing = Boolean(reason);
  }
  content.charts.forEach(showChart);
  showIncidents(content.incidents);
  showLines(content.lines);
  showCourse(content);
}

function listen() {
  const stream = new EventSource("/stream");
  stream.onmessage = (event) => show(JSON.parse(event.data));
  stream.onerror = () => {
    write(byId("course"), "The sandbox does not answer: its run has ended, or was stopped.");
  };
}

byId("polls").addEventListener("change", (event) => {
  byId("log").classList.toggle("with-polls", event.target.checked);
});

const offers = await (await fetch("/offers")).json();
offerHarms(offers.harms);
offers.scenarios.forEach(offerScenario);
offers.charts.forEach(offerChart);
listen();
