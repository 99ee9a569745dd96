// A page in a headless Chromium, over pipes: `node browser.js CHROMIUM ORDER` does what ORDER (JSON) says and answers
// with JSON: { url, known, width, height, dark, print, shot, choose }.
"use strict";
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const [program, text] = process.argv.slice(2);
const order = JSON.parse(text);
const profile = fs.mkdtempSync(path.join(os.tmpdir(), "page-"));
const chromium = spawn(program, ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
  `--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const waiting = new Map();
const told = [];
let number = 0;
let rest = "";
chromium.stdio[4].on("data", (chunk) => {
  rest += chunk;
  const messages = rest.split("\0");
  rest = messages.pop();
  for (const message of messages.map((message) => JSON.parse(message))) {
    if (message.id) {
      const { resolve, reject } = waiting.get(message.id);
      message.error ? reject(new Error(message.error.message)) : resolve(message.result);
    } else if (["Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"].includes(message.method)) {
      told.push(JSON.stringify(message.params).slice(0, 600));
    }
  }
});
const call = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
  waiting.set(++number, { resolve, reject });
  chromium.stdio[3].write(`${JSON.stringify({ id: number, method, params, sessionId })}\0`);
});

(async () => {
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const page = (method, params) => call(method, params, sessionId);
  const value = async (expression) => {
    const { result, exceptionDetails } = await page("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await Promise.all(["Page.enable", "Runtime.enable", "Log.enable", "DOM.enable"].map((method) => page(method)));
  const { width = 1100, height = 900 } = order;
  await page("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 500 });
  await page("Emulation.setEmulatedMedia", {
    media: order.print ? "print" : "screen",
    features: [{ name: "prefers-color-scheme", value: order.dark ? "dark" : "light" }],
  });
  await page("Page.navigate", { url: order.url });
  // The page tells when it is done by the class of its verdict.
  const settled = `new Promise((done) => { const look = () => { const at = document.getElementById("verdict");
    if (at && document.readyState === "complete" && at.className !== "grey") done(at.className); else setTimeout(look, 20); }; look(); })`;
  if (order.choose) {
    await value(`new Promise((done) => { const look = () => document.getElementById("choose") ? done() : setTimeout(look, 20); look(); })`);
    const { root } = await page("DOM.getDocument");
    const { nodeId } = await page("DOM.querySelector", { nodeId: root.nodeId, selector: "#choose" });
    await page("DOM.setFileInputFiles", { nodeId, files: [order.choose] });
  }
  const colours = [await value(settled)];
  for (const known of colours[0] === "red" ? [] : order.known ?? []) {
    await value(`new Promise((done) => {
      const at = document.getElementById("words");
      new MutationObserver(() => done()).observe(at, { childList: true, characterData: true, subtree: true });
      document.getElementById("known").value = ${JSON.stringify(known)};
      document.getElementById("check").requestSubmit();
    })`);
    colours.push(await value(`document.getElementById("verdict").className`));
  }
  const names = await value(`[...document.querySelectorAll("svg[role=img]")].map((svg) => svg.querySelector("title").textContent)`);
  const words = await value(`document.getElementById("words").textContent`);
  const wide = await value(`document.documentElement.scrollWidth > innerWidth`);
  if (order.shot) {
    const tall = order.full ? Math.min(await value("document.documentElement.scrollHeight"), 6000) : height;
    await page("Emulation.setDeviceMetricsOverride", { width, height: tall, deviceScaleFactor: 1, mobile: width < 500 });
    const { data } = await page("Page.captureScreenshot", { format: "png" });
    fs.writeFileSync(order.shot, Buffer.from(data, "base64"));
  }
  if (order.pdf) {
    const { data } = await page("Page.printToPDF", { printBackground: true });
    fs.writeFileSync(order.pdf, Buffer.from(data, "base64"));
  }
  console.log(JSON.stringify({ colours, words, names, wide, told }));
})().catch((error) => {
  console.log(JSON.stringify({ failed: String(error), told }));
  process.exitCode = 1;
}).finally(async () => {
  await call("Browser.close").catch(() => {});
  chromium.on("exit", () => fs.rmSync(profile, { recursive: true, force: true }));
});
