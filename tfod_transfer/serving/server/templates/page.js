"use strict";
const find = (id) => document.getElementById(id);
const NAMESPACE = "http://www.w3.org/2000/svg";
const COLORS = ["#ffd23f", "#4fd3e6", "#ff9255", "#8ce05a", "#ff83b8", "#9db8ff", "#3ccf98", "#d9a6ff"];
const TYPES = ["image/jpeg", "image/png"];
let answer = null, latest = 0, chosen = null;

const say = (text, isWrong = false) => {
  find("state").textContent = text;
  find("state").classList.toggle("wrong", isWrong);
};
const color = (index) => COLORS[(answer.classes[index] - 1) % COLORS.length];
const label = (index) => String(answer.labels[answer.classes[index]] ?? answer.classes[index]);
const score = (index) => answer.scores[index].toFixed(2);
const shown = () => answer.scores.map((_, index) => index).filter((index) => answer.scores[index] >= find("threshold").value);
const make = (name, attributes, parent) => {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
};

// The form of SageMaker's Object Detection: rows of class from 0, score and box; label numbers start at 1.
const fromPrediction = (rows) => ({
  normalized_boxes: rows.map((row) => row.slice(2)),
  classes: rows.map((row) => row[0] + 1),
  scores: rows.map((row) => row[1]),
  labels: JSON.parse(document.body.dataset.labels),
});

const drawBox = (index, width, height) => {
  const [xmin, ymin, xmax, ymax] = answer.normalized_boxes[index];
  const group = make("g", { "data-index": index, style: `--color: ${color(index)}` }, find("boxes"));
  const place = { x: xmin * width, y: ymin * height, width: (xmax - xmin) * width, height: (ymax - ymin) * height };
  make("rect", { class: "halo", ...place }, group);
  make("rect", { class: "box", ...place }, group);
  const plate = make("rect", { class: "plate", rx: 2, height: 18 }, group);
  const text = make("text", {}, group);
  text.textContent = `${label(index)} ${score(index)}`;
  const long = text.getComputedTextLength() + 10;
  const x = Math.max(0, Math.min(place.x - 1, width - long));
  const y = place.y >= 19 ? place.y - 19 : Math.min(place.y + 2, height - 18);
  for (const [name, value] of Object.entries({ x, y, width: long })) plate.setAttribute(name, value);
  text.setAttribute("x", x + 5);
  text.setAttribute("y", y + 13.5);
};

const light = (index) => {
  find("boxes").classList.toggle("one", index !== null);
  for (const group of find("boxes").children) group.classList.toggle("lit", Number(group.dataset.index) === index);
};

const addRow = (index) => {
  const row = document.createElement("li"), button = document.createElement("button");
  const texts = [["key", ""], ["name", label(index)], ["score", score(index)]];
  for (const [kind, text] of texts) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    button.append(part);
  }
  button.type = "button";
  button.dataset.index = index;
  button.style.setProperty("--color", color(index));
  button.setAttribute("aria-pressed", index === chosen);
  button.onclick = () => {
    chosen = chosen === index ? null : index;
    for (const other of find("list").querySelectorAll("button")) other.setAttribute("aria-pressed", other === button && chosen === index);
    light(chosen);
  };
  button.onmouseenter = button.onfocus = () => light(index);
  button.onmouseleave = button.onblur = () => light(chosen);
  row.append(button);
  find("list").append(row);
};

const drawBoxes = () => {
  if (!answer) return;
  const { width, height } = find("image").getBoundingClientRect();
  find("boxes").replaceChildren();
  find("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
  // The surest last, so that its label lies on top.
  for (const index of shown().reverse()) drawBox(index, width, height);
  const focused = document.activeElement.closest("#list button");
  light(focused ? Number(focused.dataset.index) : chosen);
};

const draw = () => {
  find("value").textContent = Number(find("threshold").value).toFixed(2);
  if (!answer) return;
  const indices = shown();
  if (!indices.includes(chosen)) chosen = null;
  find("list").replaceChildren();
  indices.forEach(addRow);
  drawBoxes();
  const all = answer.scores.length;
  find("count").textContent = `${indices.length} of ${all} ${all === 1 ? "box" : "boxes"}`;
};

const show = async (file) => {
  const turn = ++latest;
  if (!TYPES.includes(file.type)) return say(`${file.name} is no JPEG or PNG picture (${file.type || "unknown type"}).`, true);
  if (file.size > document.body.dataset.maxBytes) {
    const megabytes = (bytes) => (bytes / 2 ** 20).toFixed(1);
    return say(`${file.name} has ${megabytes(file.size)} MB; this server takes ${megabytes(document.body.dataset.maxBytes)}.`, true);
  }
  say(`Looking at ${file.name} …`);
  const started = performance.now();
  try {
    const headers = { "Content-Type": file.type, Accept: "application/json;verbose" };
    const response = await fetch("invocations", { method: "POST", headers, body: file });
    const content = await response.json();
    if (turn !== latest) return;
    if (!response.ok) return say(content.error, true);
    const image = find("image");
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(file);
    await image.decode();
    answer = content.prediction ? fromPrediction(content.prediction) : content;
    chosen = null;
    image.alt = file.name;
    find("picture").style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
    find("result").hidden = false;
    say(`${file.name}: ${image.naturalWidth} × ${image.naturalHeight} pixels, answered in ${Math.round(performance.now() - started)} ms.`);
    draw();
  } catch (error) {
    if (turn === latest) say(`No answer: ${error.message}`, true);
  }
};

const first = (files) => { if (files && files.length) show(files[0]); };
find("file").onchange = (event) => { first(event.target.files); event.target.value = ""; };
find("threshold").oninput = draw;
new ResizeObserver(drawBoxes).observe(find("image"));
document.onpaste = (event) => first(event.clipboardData.files);
document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); };
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  first(event.dataTransfer.files);
};

const waitUntilReady = async () => {
  const isReady = await fetch("ping").then((response) => response.text().then(() => response.ok)).catch(() => false);
  if (isReady) return say("");
  say("The model is being loaded …");
  setTimeout(waitUntilReady, 1000);
};
waitUntilReady();
