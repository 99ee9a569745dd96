"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = (of, id) => (of.getElementById(id)?.textContent ?? "").trim();

  // What judges: beside the page in a worker, or in it where none can be made. No browser's own signatures are
  // asked: some of them accept keys that no signer has.
  const judging = (post) => {
    let wasm;
    const give = (bytes) => {
      // First, since it moves the memory.
      const at = wasm.alloc(bytes.length);
      new Uint8Array(wasm.memory.buffer, at, bytes.length).set(bytes);
    };
    const take = (at) => {
      const length = new DataView(wasm.memory.buffer).getUint32(at, true);
      return JSON.parse(new TextDecoder().decode(new Uint8Array(wasm.memory.buffer, at + 4, length)));
    };
    const inflated = async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      return new Uint8Array(await new Response(stream).arrayBuffer());
    };
    const asked = {
      async judge({ module, question, packs }) {
        const tell = (bytes) => post({ bytes, of: total });
        wasm = (await WebAssembly.instantiate(await inflated(module), { page: { tell } })).instance.exports;
        const parts = [new TextEncoder().encode(question)];
        for (const pack of packs) parts.push(typeof pack === "string" ? await inflated(pack) : pack);
        const total = parts.reduce((sum, part) => sum + part.length, 0);
        const input = new Uint8Array(total + 4 * parts.length);
        let at = 0;
        for (const part of parts) {
          new DataView(input.buffer).setUint32(at, part.length, true);
          input.set(part, at + 4);
          at += 4 + part.length;
        }
        give(input);
        return { judged: take(wasm.judge()) };
      },
      async verdict({ known }) {
        give(new TextEncoder().encode(known));
        return { verdict: take(wasm.verdict()) };
      },
    };
    return async (message) => {
      try {
        post(await asked[message.ask](message));
      } catch (error) {
        post({ failed: String(error) });
      }
    };
  };

  const isJudge = document.documentElement.dataset.mode === "judge";
  let found = null;
  // What stands beside the proven part is nobody's proof: such a page is never green.
  const isStated = Boolean($("stated"));
  const show = (colour, words) => {
    if (isStated && colour === "green") [colour, words] = ["yellow", `${words}; what is stated above is not proven here`];
    $("verdict").className = colour;
    $("colour").textContent = { green: "✔ holds", yellow: "? agrees with itself", red: "✘ does not hold", grey: "…" }[colour];
    $("words").textContent = words;
  };
  const fail = (words) => { found = null; $("ask").hidden = true; show("red", words); };

  // What a page shows, held against what its records come to, node by node.
  const isShown = (shown, body) => {
    const wanted = new DOMParser().parseFromString(`<main id="report">${body}<\/main>`, "text/html");
    return wanted.getElementById("report").isEqualNode(shown);
  };

  let shown = null;
  const hear = (message) => {
    if (message.bytes !== undefined) {
      $("progress").max = message.of;
      $("progress").value = message.bytes;
      return;
    }
    $("progress").hidden = true;
    if (message.failed !== undefined) return fail(`could not be checked: ${message.failed}`);
    if (message.judged) {
      const { fault, colour, words, body, keys } = message.judged;
      if (fault) return fail(fault);
      if (colour === "red") return fail(words);
      if (shown && !isShown(shown, body)) return fail("what the page shows is not what its records come to");
      if (isJudge) $("report").innerHTML = body;
      found = message.judged;
      $("keys").textContent = keys.join(", ");
      $("ask").hidden = false;
      return show(colour, words);
    }
    if (found) show(message.verdict.colour, message.verdict.words);
  };

  let send;
  const start = () => {
    const here = judging((message) => queueMicrotask(() => hear(message)));
    try {
      const code = `"use strict";const judging=${judging};onmessage=(()=>{const hear=judging((m)=>postMessage(m));return (e)=>hear(e.data)})();`;
      const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
      let works = false;
      let last = null;
      worker.onmessage = (event) => { works = true; hear(event.data); };
      // Some browsers refuse a worker only when it starts.
      worker.onerror = () => { if (!works) { send = here; if (last) here(last); } };
      send = (message) => { last = message; worker.postMessage(message); };
    } catch {
      send = here;
    }
  };
  const ask = (question, packs) => {
    show("grey", "is being checked");
    $("progress").hidden = false;
    send({ ask: "judge", module: data(document, "module"), question, packs });
  };
  const packsOf = (of) => [...of.querySelectorAll("script.pack")].map((block) => block.textContent.trim());

  // A page or a pack of somebody else, judged by this page: its figures are written anew.
  const open = async (file) => {
    $("file").textContent = file.name;
    $("report").replaceChildren();
    const bytes = new Uint8Array(await file.arrayBuffer());
    const text = new TextDecoder().decode(bytes);
    shown = null;
    if (text.startsWith('{') && text.slice(0, 400).includes('"pack":"audit-pack-v1"')) {
      return ask(data(document, "question"), [bytes]);
    }
    const page = new DOMParser().parseFromString(text, "text/html");
    shown = page.getElementById("report");
    if (!shown || !packsOf(page).length) return fail("this file is no report and no audit pack");
    ask(data(page, "question"), packsOf(page));
  };

  start();
  $("check").addEventListener("submit", (event) => {
    event.preventDefault();
    if (found) send({ ask: "verdict", known: $("known").value });
  });
  if (isJudge) {
    const input = $("choose");
    input.addEventListener("change", () => input.files[0] && open(input.files[0]));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
    });
    show("grey", "choose a report or an audit pack, or drop it here");
  } else {
    shown = $("report").cloneNode(true);
    // Nothing else is on the page.
    const parts = [...document.body.childNodes].filter((node) => node.nodeType !== 3 || node.data.trim());
    const isPart = (node) => ["verdict", "stated", "report", "question", "module"].includes(node.id) || node.matches?.("script");
    if (!parts.every(isPart)) return fail("there is something on this page that is no part of the report");
    ask(data(document, "question"), packsOf(document));
  }
})();
