// Puts changed parts of the page in place as the server sends them. Without this script the page is complete, and still.
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const root = document.documentElement;
  let source = null;

  const place = (id, html) => {
    const part = document.getElementById(id);
    if (!part) return;
    // A part with an unfinished form or a selection is left alone: what a person does wins.
    if (part.querySelector("form :focus") || (getSelection().type === "Range" && part.contains(getSelection().anchorNode))) return;
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
    part.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  };

  const watch = () => {
    source = new EventSource(main.dataset.live);
    source.onopen = () => root.removeAttribute("data-lost");
    source.onerror = () => root.setAttribute("data-lost", "");
    source.onmessage = (event) => Object.entries(JSON.parse(event.data)).forEach(([id, html]) => place(id, html));
  };

  // A page nobody looks at asks for nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) source?.close();
    else watch();
  });
  watch();
})();
