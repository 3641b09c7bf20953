// What a person with a screen reader, a keyboard, weak eyes or a small screen would stumble over on this page: a list of sentences.
const problems = [];
const say = (element, what) => problems.push(`${element.tagName.toLowerCase()}${element.id ? "#" + element.id : ""} "${(element.textContent || element.name || "").trim().slice(0, 40)}" ${what}`);

if (!document.documentElement.lang) problems.push("the page has no language");
if (!document.title) problems.push("the page has no title");
if (document.querySelectorAll("h1").length !== 1) problems.push("there is not exactly one h1");
if (document.querySelectorAll("main").length !== 1) problems.push("there is not exactly one main");
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
  const own = Number(heading.tagName[1]);
  // Headings before the h1 belong to the frame of the page.
  if (level && own > level + 1) say(heading, `skips a level after h${level}`);
  level = own;
}
for (const control of document.querySelectorAll("input:not([hidden]), textarea, select, button")) {
  const name = control.labels?.length || control.getAttribute("aria-label") || (control.tagName === "BUTTON" && control.textContent.trim());
  if (!name) say(control, "has no name");
}
for (const link of document.querySelectorAll("a[href]")) if (!link.textContent.trim() && !link.getAttribute("aria-label")) say(link, "has no text");
for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) say(image, "has no alt");
for (const picture of document.querySelectorAll("svg")) {
  if (picture.closest("[aria-hidden=true]")) continue;
  if (picture.getAttribute("role") !== "img" || !(picture.querySelector("title")?.textContent || picture.getAttribute("aria-label"))) say(picture, "is a picture without a text");
}
for (const control of document.querySelectorAll("button, input:not([hidden]), select, textarea")) {
  const box = control.getBoundingClientRect();
  if (box.width && box.height < 43.5) say(control, `is ${box.height} px high: too small for a thumb`);
}
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) problems.push(`the page is ${root.scrollWidth} px wide on a screen of ${root.clientWidth}`);

const parse = (text) => {
  const numbers = (text.match(/[\d.]+/g) || []).map(Number);
  // color(srgb r g b / a) counts from 0 to 1.
  const scale = text.startsWith("color(") ? 255 : 1;
  return { r: numbers[0] * scale, g: numbers[1] * scale, b: numbers[2] * scale, a: numbers.length > 3 ? numbers[3] : 1 };
};
const over = (top, ground) => ({ r: top.r * top.a + ground.r * (1 - top.a), g: top.g * top.a + ground.g * (1 - top.a), b: top.b * top.a + ground.b * (1 - top.a), a: 1 });
const luminance = ({ r, g, b }) => {
  const linear = [r, g, b].map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const canvas = () => (matchMedia("(prefers-color-scheme: dark)").matches ? { r: 18, g: 18, b: 18, a: 1 } : { r: 255, g: 255, b: 255, a: 1 });
const ground = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.a > 0) layers.push(colour);
    if (colour.a === 1) break;
  }
  return layers.reduceRight((below, layer) => over(layer, below), canvas());
};
const seen = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || seen.has(element) || !element.checkVisibility({ visibilityProperty: true })) continue;
  if (element.closest("script, style, title, desc, .for-ears, .skip, option")) continue;
  seen.add(element);
  const style = getComputedStyle(element);
  const colour = parse(element instanceof SVGElement ? style.fill : style.color);
  for (let e = element; e; e = e.parentElement) colour.a *= Number(getComputedStyle(e).opacity);
  const below = ground(element);
  const [light, dark] = [luminance(over(colour, below)), luminance(below)].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
  // WCAG 2.2, 1.4.3.
  if (ratio < (large ? 3 : 4.5)) say(element, `has a contrast of ${ratio.toFixed(2)}`);
}
return problems;
