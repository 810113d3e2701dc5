// `node run.mjs REFERENCE_SERVER PAGE_FOLDER`: serves the page, opens it in Chromium, and ends with what it reports.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PATIENCE = 60_000;
const [program, folder] = process.argv.slice(2);

const page = (socket) => `<!doctype html><script type="module">
const tell = (outcome) => fetch("/outcome", { method: "POST", body: outcome });
addEventListener("error", (event) => tell(JSON.stringify({ error: event.message })));
addEventListener("unhandledrejection", (event) => tell(JSON.stringify({ error: String(event.reason) })));
const { default: init, run } = await import("/bennu_client_web_test.js");
await init({ module_or_path: "/bennu_client_web_test_bg.wasm" });
const handle = run("${socket}", tell);
setTimeout(() => tell(handle.report()), ${PATIENCE / 2});
</script>`;

const server = spawn(program, ["clients", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "ignore"] });
const profile = await mkdtemp(join(tmpdir(), "bennu-web-"));
let browser;

async function conversation() {
    let address;
    for await (const line of createInterface({ input: server.stdout })) {
        address = line.match(/listening on (\S+)/)?.[1];
        if (address) break;
    }
    let told;
    const outcome = new Promise((resolve, reject) => {
        told = resolve;
        setTimeout(() => reject(new Error("Chromium did not run the page")), PATIENCE);
    });
    const site = createServer(async (request, response) => {
        if (request.url === "/") {
            response.setHeader("content-type", "text/html");
            response.end(page(`ws://${address}/socket/websocket?vsn=2.0.0`));
        } else if (request.url === "/outcome") {
            const chunks = [];
            for await (const chunk of request) chunks.push(chunk);
            response.end();
            told(JSON.parse(Buffer.concat(chunks).toString()));
        } else {
            const type = request.url.endsWith(".wasm") ? "application/wasm" : "text/javascript";
            try {
                response.setHeader("content-type", type);
                response.end(await readFile(join(folder, request.url.slice(1))));
            } catch {
                response.writeHead(404).end();
            }
        }
    });
    await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
    // Root has no sandbox, and containers have a small /dev/shm.
    const options = ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"];
    browser = spawn("chromium", [...options, `--user-data-dir=${profile}`, `http://127.0.0.1:${site.address().port}/`], {
        stdio: "ignore",
    });
    return outcome;
}

let failure;
try {
    const outcome = await conversation();
    if (outcome.step !== "Done") failure = JSON.stringify(outcome, null, 2);
} catch (error) {
    failure = error.message;
}
browser?.kill();
server.kill();
await rm(profile, { recursive: true, force: true, maxRetries: 5 });
console.log(failure ? `the client in the browser failed: ${failure}` : "the client in the browser did all that it should");
process.exit(failure ? 1 : 0);
