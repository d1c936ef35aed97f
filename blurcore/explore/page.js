// The page asks and shows; everything that is shown has been worked out by blurcore's core, on the server.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const state = { image: null, t: 0.15, seed: 0, panels: [] };

async function ask(path, body, raw) {
  const sent = body === undefined ? {} : { method: "POST", body: raw ? body : JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, sent);
  } catch {
    throw new Error("the server does not answer; is blurcore explore still running?");
  }
  const found = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) throw new Error(found.error);
  return found;
}

function tell(place, message) {
  place.textContent = message || "";
  place.hidden = !message;
}

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// Settings ----------------------------------------------------------------------------------------------------------------

// Fill `place` with controls for `settings`; returns a function that reads them as the server wants them.
function controls(place, settings, changed) {
  const readers = settings.map((setting) => {
    if (setting.type === "kind") return kindControl(place, setting, changed);
    const input = valueControl(setting);
    input.addEventListener("input", changed);
    place.append(make("label", {}, setting.label, input));
    return [setting.name, () => readValue(setting, input)];
  });
  return () => Object.fromEntries(readers.map(([name, read]) => [name, read()]));
}

function valueControl(setting) {
  if (setting.type === "choice") return select(setting.choices, setting.value);
  if (setting.type === "flag") return make("input", { type: "checkbox", checked: setting.value });
  const step = setting.type === "integer" ? "1" : "any";
  const input = make("input", { type: "number", step, value: setting.value });
  input.dataset.name = setting.name;
  return input;
}

function readValue(setting, input) {
  if (setting.type === "flag") return input.checked;
  if (setting.type === "choice") return input.value;
  return input.value.trim() === "" ? null : Number(input.value);
}

function select(names, value) {
  const element = make("select", {}, ...names.map((name) => make("option", { value: name, textContent: name })));
  element.value = value;
  return element;
}

function kindControl(place, setting, changed) {
  const choice = select(setting.kinds.map((kind) => kind.kind), setting.value);
  choice.dataset.name = setting.name;
  const own = make("div", { className: "settings" });
  place.append(make("label", {}, setting.label, choice), own);
  let read;
  const fill = () => {
    own.replaceChildren();
    const kind = setting.kinds.find((one) => one.kind === choice.value);
    read = controls(own, kind.settings, changed);
    own.hidden = kind.settings.length === 0;
  };
  choice.addEventListener("change", () => { fill(); changed(); });
  fill();
  return [setting.name, () => ({ kind: choice.value, ...read() })];
}

// Panels ------------------------------------------------------------------------------------------------------------------

class Panel {
  constructor(name, processes, kind) {
    this.root = $("panel").content.cloneNode(true).querySelector(".panel");
    this.name = name;
    this.processes = processes;
    this.busy = this.waiting = false;
    this.choice = make("select", {}, ...processes.map((one) => make("option", { value: one.kind, textContent: one.label })));
    this.choice.value = kind;
    this.choice.dataset.name = "process";
    this.choice.addEventListener("change", () => { this.fill(); this.refresh(); });
    this.error = this.root.querySelector(".error");
    this.fill();
    $("panels").append(this.root);
  }

  fill() {
    const place = this.root.querySelector(".settings");
    place.replaceChildren(make("label", {}, "process", this.choice));
    const process = this.processes.find((one) => one.kind === this.choice.value);
    this.read = controls(place, process.settings, () => this.refresh());
  }

  // One question at a time: what the slider passes meanwhile is dropped, and the last position is asked for.
  async refresh() {
    if (state.image === null) return;
    if (this.busy) { this.waiting = true; return; }
    this.busy = true;
    do {
      this.waiting = false;
      const question = { image: state.image, t: state.t, seed: state.seed, process: { kind: this.choice.value, ...this.read() } };
      try {
        this.show(await ask("/api/view", question), question.t);
        tell(this.error);
        this.root.classList.remove("stale");
      } catch (error) {
        tell(this.error, error.message);
        this.root.classList.add("stale");
      }
    } while (this.waiting && this.root.isConnected);
    this.busy = false;
  }

  show(view, t) {
    const label = this.choice.selectedOptions[0].textContent;
    for (const name of ["noisy", "blurred", "noise"]) {
      const picture = this.root.querySelector(`img.${name}`);
      if (view[name]) picture.src = view[name]; else picture.removeAttribute("src");
    }
    this.root.querySelector(".noisy").alt = `The image under ${label} at t = ${t}`;
    this.root.querySelector(".blurred").alt = `The image with the blur of ${label} alone`;
    this.root.querySelector(".noise").alt = "Noise that the blur is equivalent to, on the sharp image";
    this.root.querySelector(".noise-caption").textContent = noiseCaption(view);
    const { alpha_low, alpha_high, sigma } = view.facts;
    this.root.querySelector(".facts").textContent =
      `α from ${number(alpha_low)} (lowest frequency) to ${number(alpha_high)} (highest), σ = ${number(sigma)}`;
    const powers = ["signal", "white", "total"];
    plot(this.root.querySelector(".spectrum"), view.frequency, view, powers, [-14, 4]);
    plot(this.root.querySelector(".snr"), view.frequency, view, ["log_snr"], [-20, 15]);
  }
}

function noiseCaption(view) {
  if (!view.noise) return "no noise to be equivalent to: this process is deterministic";
  const size = view.noise_std === null ? "without bound" : `std ${number(view.noise_std)}`;
  return `equivalent noise on a sharp image, ${size}`;
}

function number(value) {
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 10000) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

// Plots -------------------------------------------------------------------------------------------------------------------

const BOX = { width: 360, height: 190, left: 38, right: 8, top: 8, bottom: 32 };

function drawn(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Curves over frequency: powers on a logarithmic axis (decades), the log-SNR as it is. Values beyond the range lie on its edge.
function plot(place, frequency, view, names, [low, high]) {
  const powers = names.length > 1;
  const last = Math.max(...frequency) || 1;
  const x = (f) => BOX.left + (f / last) * (BOX.width - BOX.left - BOX.right);
  const y = (v) => BOX.top + ((high - Math.min(high, Math.max(low, v))) / (high - low)) * (BOX.height - BOX.top - BOX.bottom);
  const svg = drawn("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img" });
  svg.append(drawn("title", {}, powers ? "Power of data and noise over frequency" : "log-SNR over frequency"));
  for (let tick = powers ? -12 : -20; tick <= high; tick += powers ? 4 : 5) {
    svg.append(drawn("line", { x1: x(0), x2: x(last), y1: y(tick), y2: y(tick), class: tick === 0 ? "zero" : "axis" }));
    const label = drawn("text", { x: BOX.left - 5, y: y(tick) + 4, "text-anchor": "end" }, powers ? "10" : tick);
    if (powers) label.append(drawn("tspan", { dy: -4, "font-size": 8 }, tick));
    svg.append(label);
  }
  for (let f = 0; f <= last + 1e-9; f += 0.1)
    svg.append(drawn("text", { x: x(f), y: BOX.height - 15, "text-anchor": "middle" }, f.toFixed(1)));
  svg.append(drawn("text", { x: x(last / 2), y: BOX.height - 1, "text-anchor": "middle" }, "frequency (cycles / pixel)"));
  for (const name of [...names].reverse()) {
    const values = view[name].map((v) => (v === null || !powers ? v : Math.log10(v)));
    let path = "";
    values.forEach((v, i) => {
      if (v !== null) path += `${i === 0 || values[i - 1] === null ? "M" : "L"}${x(frequency[i]).toFixed(1)} ${y(v).toFixed(1)}`;
    });
    svg.append(drawn("path", { d: path, class: name }));
  }
  if (view[names[0]].every((v) => v === null) && !powers)
    svg.append(drawn("text", { x: x(last / 2), y: y(0) - 8, "text-anchor": "middle" }, "infinite: no noise"));
  place.replaceChildren(svg);
}

// Image, time, noise ------------------------------------------------------------------------------------------------------

const refreshAll = () => state.panels.forEach((panel) => panel.refresh());

function offer(picture, picked) {
  const image = make("img", { src: `/api/picture?image=${encodeURIComponent(picture.id)}`, alt: picture.name });
  const button = make("button", { type: "button", title: `${picture.name}, ${picture.width} × ${picture.height}` }, image);
  button.setAttribute("role", "radio");
  button.dataset.image = picture.id;
  button.addEventListener("click", () => pick(picture.id));
  const known = $("pictures").querySelector(`[data-image="${picture.id}"]`);
  if (!known) $("pictures").append(button);
  if (picked) pick(picture.id);
}

function pick(id) {
  state.image = id;
  for (const button of $("pictures").children) {
    button.setAttribute("aria-checked", String(button.dataset.image === id));
    button.tabIndex = button.dataset.image === id ? 0 : -1;
  }
  refreshAll();
}

function arrows(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const buttons = [...$("pictures").children];
  const now = buttons.indexOf(document.activeElement);
  if (!step || now < 0) return;
  event.preventDefault();
  const next = buttons[(now + step + buttons.length) % buttons.length];
  next.focus();
  next.click();
}

async function bring(file, most) {
  if (!file) return;
  const error = $("upload-error");
  try {
    if (file.size > most) throw new Error(`“${file.name}” is too large: ${most / 2 ** 20} MiB are the most`);
    offer({ ...(await ask("/api/upload", file, true)), name: file.name }, true);
    tell(error);
  } catch (problem) {
    tell(error, `“${file.name}” was not taken: ${problem.message}`);
  }
}

function setTime() {
  state.t = Number($("t").value) / 1000;
  const text = `t = ${state.t.toFixed(3)}`;
  $("t-value").textContent = text;
  $("t").setAttribute("aria-valuetext", text);
  refreshAll();
}

function compare(processes) {
  const two = $("compare").checked;
  if (two && state.panels.length === 1) {
    const other = processes.find((one) => one.kind !== state.panels[0].choice.value) || processes[0];
    state.panels.push(new Panel("B", processes, other.kind));
    state.panels[1].refresh();
  } else if (!two && state.panels.length === 2) {
    state.panels.pop().root.remove();
  }
  $("panels").classList.toggle("two", two);
  for (const panel of state.panels) panel.root.querySelector("h2").textContent = two ? panel.name : "";
}

// A run -------------------------------------------------------------------------------------------------------------------

const player = { sample: null, states: 0, captions: [], step: 0, timer: null, following: false };

function stopPlaying() {
  clearInterval(player.timer);
  player.timer = null;
  $("run-play").textContent = "Play";
}

function showStep(step) {
  player.step = Math.max(0, Math.min(step, player.states - 1));
  $("run-step").value = player.step;
  $("run-frame").src = `/api/run/frame?sample=${player.sample}&step=${player.step}`;
  $("run-caption").textContent = `step ${player.step} of ${player.captions.length - 1}, ${player.captions[player.step]}`;
}

function play() {
  if (player.timer) { stopPlaying(); return; }
  if (player.step >= player.states - 1) showStep(0);
  $("run-play").textContent = "Pause";
  const wait = Math.max(40, Math.min(250, 6000 / player.captions.length));
  player.timer = setInterval(() => {
    if (player.step < player.states - 1) showStep(player.step + 1); else stopPlaying();
  }, wait);
}

async function draw() {
  const wish = { seed: "run-seed", num_steps: "run-steps", num_samples: "run-samples" };
  const asked = Object.fromEntries(Object.entries(wish).map(([name, id]) => [name, $(id).value === "" ? null : Number($(id).value)]));
  stopPlaying();
  $("run-draw").disabled = true;
  try {
    player.sample = (await ask("/api/run/sample", asked)).sample;
    player.states = 0;
    player.following = true;
    tell($("run-error"));
    await follow();
  } catch (error) {
    tell($("run-error"), error.message);
  }
  $("run-draw").disabled = false;
}

// Show the newest state while the sample is drawn, unless its reader has taken the steps into their own hands.
async function follow() {
  for (;;) {
    const found = await ask(`/api/run/progress?sample=${player.sample}`);
    player.captions = found.captions;
    if (found.states > player.states) {
      player.states = found.states;
      $("run-player").hidden = false;
      $("run-step").max = player.captions.length - 1;
      if (player.following) showStep(player.states - 1);
    }
    if (found.error) throw new Error(found.error);
    if (found.done) return;
    await new Promise((done) => setTimeout(done, 150));
  }
}

function setUpRun(run) {
  $("run").hidden = false;
  $("run-about").textContent = `${run.name}: ${run.process} on ${run.data}, step ${run.step} of its training, sampled by ${run.solver}`;
  $("run-steps").value = run.num_steps;
  $("run-steps").max = run.max_steps;
  $("run-draw").addEventListener("click", draw);
  $("run-play").addEventListener("click", () => { player.following = false; play(); });
  const by = (step) => () => { player.following = false; stopPlaying(); showStep(player.step + step); };
  $("run-back").addEventListener("click", by(-1));
  $("run-next").addEventListener("click", by(1));
  $("run-step").addEventListener("input", () => { player.following = false; stopPlaying(); showStep(Number($("run-step").value)); });
}

// Start -------------------------------------------------------------------------------------------------------------------

async function start() {
  const options = await ask("/api/options");
  $("version").textContent = options.version;
  for (const picture of options.pictures) offer(picture, false);
  state.panels.push(new Panel("A", options.processes, options.processes[0].kind));
  $("t").addEventListener("input", setTime);
  $("noise").addEventListener("click", () => { state.seed = (state.seed + 1) % 2 ** 31; refreshAll(); });
  $("compare").addEventListener("change", () => compare(options.processes));
  $("pictures").addEventListener("keydown", arrows);
  $("file").addEventListener("change", (event) => { bring(event.target.files[0], options.max_upload); event.target.value = ""; });
  for (const name of ["dragover", "dragleave", "drop"])
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
      if (name === "drop") bring(event.dataTransfer.files[0], options.max_upload);
    });
  if (options.run) setUpRun(options.run);
  compare(options.processes);
  state.t = Number($("t").value) / 1000;
  setTime();
  pick(options.pictures[0].id);
}

start().catch((error) => tell($("upload-error"), error.message));
