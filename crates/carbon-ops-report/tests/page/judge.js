// The judge of a page, run by node: `node judge.js MODULE` answers each line of its input, a JSON object with a question
// and packs in base64, by a line with the verdict; with `known`, by that on what its reader has by another way.
"use strict";
const fs = require("node:fs");
const readline = require("node:readline");

const wasm = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(process.argv[2])), {
  page: { tell() {} },
}).exports;
const give = (bytes) => {
  const at = wasm.alloc(bytes.length);
  new Uint8Array(wasm.memory.buffer, at, bytes.length).set(bytes);
};
const take = (at) => {
  const length = new DataView(wasm.memory.buffer).getUint32(at, true);
  return JSON.parse(Buffer.from(wasm.memory.buffer, at + 4, length).toString());
};
const counted = (part) => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(part.length);
  return Buffer.concat([length, part]);
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { question, packs, known } = JSON.parse(line);
  const parts = [Buffer.from(question), ...packs.map((pack) => Buffer.from(pack, "base64"))];
  give(Buffer.concat(parts.map(counted)));
  const started = process.hrtime.bigint();
  let answer = take(wasm.judge());
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  if (known !== undefined && !answer.fault) {
    give(Buffer.from(known));
    Object.assign(answer, take(wasm.verdict()));
  }
  console.log(JSON.stringify({ ...answer, seconds }));
});
