// A page in a headless Firefox, by Marionette: `node firefox.js FIREFOX ORDER` does what ORDER (JSON) says and answers
// with JSON, as browser.js does: { url, known, width, height, pdf }.
"use strict";
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");

const [program, text] = process.argv.slice(2);
const order = JSON.parse(text);
const profile = fs.mkdtempSync(path.join(os.tmpdir(), "page-"));
// Port 0 takes a free one, which stands in a file of the profile afterwards.
fs.writeFileSync(path.join(profile, "user.js"), 'user_pref("marionette.port", 0);\n');
const firefox = spawn(program, ["--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile],
  { stdio: "ignore", env: { ...process.env, HOME: profile } });
firefox.on("error", (error) => fail(error));

const fail = (error) => {
  console.log(JSON.stringify({ failed: String(error), told: [] }));
  process.exitCode = 1;
};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const port = async () => {
  const file = path.join(profile, "MarionetteActivePort");
  for (;;) {
    const found = fs.existsSync(file) && Number(fs.readFileSync(file, "utf8"));
    if (found) return found;
    if (firefox.exitCode !== null) throw new Error(`firefox ended with ${firefox.exitCode}`);
    await pause(50);
  }
};

(async () => {
  const socket = net.connect(await port(), "127.0.0.1");
  const waiting = new Map();
  let [rest, number] = [Buffer.alloc(0), 0];
  socket.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      // LENGTH:JSON; the first one is a greeting.
      const colon = rest.indexOf(":");
      const length = Number(rest.subarray(0, Math.max(colon, 0)));
      if (colon < 0 || rest.length < colon + 1 + length) return;
      const message = JSON.parse(rest.subarray(colon + 1, colon + 1 + length));
      rest = rest.subarray(colon + 1 + length);
      if (!Array.isArray(message)) continue;
      const [, id, error, result] = message;
      const { resolve, reject } = waiting.get(id);
      error ? reject(new Error(`${error.error}: ${error.message}`)) : resolve(result);
    }
  });
  const call = (method, params = {}) => new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    const message = JSON.stringify([0, number, method, params]);
    socket.write(`${Buffer.byteLength(message)}:${message}`);
  });
  const value = async (script, ...args) => {
    const { value } = await call("WebDriver:ExecuteAsyncScript", { script: `const [${args.map((_, n) => `a${n}`).join()}] = arguments;
      const done = arguments[arguments.length - 1]; ${script}`, args, newSandbox: false });
    return value;
  };
  await call("WebDriver:NewSession", { capabilities: { alwaysMatch: { timeouts: { script: 60000, pageLoad: 60000 } } } });
  const { width = 1100, height = 900 } = order;
  await call("WebDriver:SetWindowRect", { width, height });
  await call("WebDriver:Navigate", { url: order.url });
  // The page tells when it is done by the class of its verdict.
  const colours = [await value(`const look = () => { const at = document.getElementById("verdict");
    if (at && document.readyState === "complete" && at.className !== "grey") done(at.className); else setTimeout(look, 20); }; look();`)];
  for (const known of colours[0] === "red" ? [] : order.known ?? []) {
    colours.push(await value(`const at = document.getElementById("words");
      new MutationObserver(() => done(document.getElementById("verdict").className)).observe(at, { childList: true, characterData: true, subtree: true });
      document.getElementById("known").value = a0;
      document.getElementById("check").requestSubmit();`, known));
  }
  const names = await value(`done([...document.querySelectorAll("svg[role=img]")].map((svg) => svg.querySelector("title").textContent));`);
  const words = await value(`done(document.getElementById("words").textContent);`);
  const wide = await value("done(document.documentElement.scrollWidth > innerWidth);");
  if (order.pdf) {
    const { value: data } = await call("WebDriver:Print", { background: true });
    fs.writeFileSync(order.pdf, Buffer.from(data, "base64"));
  }
  // What went wrong in the page, of all that the console keeps.
  await call("Marionette:SetContext", { value: "chrome" });
  const { value: told } = await call("WebDriver:ExecuteScript", { args: [order.url], script: `
    const of = (message) => message instanceof Ci.nsIScriptError && message.sourceName.startsWith(arguments[0]);
    return Services.console.getMessageArray().filter(of).map(String);` });
  console.log(JSON.stringify({ colours, words, names, wide, told }));
  await call("Marionette:Quit", { flags: ["eForceQuit"] }).catch(() => {});
  socket.destroy();
})().catch(fail).finally(() => {
  if (firefox.exitCode !== null) fs.rmSync(profile, { recursive: true, force: true });
  firefox.on("exit", () => fs.rmSync(profile, { recursive: true, force: true }));
  setTimeout(() => firefox.kill("SIGKILL"), 5000).unref();
});
